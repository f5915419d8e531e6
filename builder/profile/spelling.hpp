#pragma once

#include <string>
#include <vector>

namespace makina {

/// `text` fit for a terminal: what a screen would not show as it is becomes \xNN, long texts are cut.
[[nodiscard]] std::string visible(const std::string& text, std::size_t longest);

/// `text` visible and in double quotes.
[[nodiscard]] std::string in_quotes(const std::string& text);

/// `, did you mean "role"?` if a candidate is near, else empty.
[[nodiscard]] std::string suggestion(const std::string& word, const std::vector<std::string>& candidates);

/// "pair, static-pod or none"; `last` stands before the last one.
[[nodiscard]] std::string enumerate(const std::vector<std::string>& words, const std::string& last = " or ");

}  // namespace makina
