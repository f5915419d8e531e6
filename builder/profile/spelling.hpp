#pragma once

#include <string>
#include <vector>

namespace makina {

/// `text` in double quotes, fit for a terminal: whatever is not printable ASCII as \xNN, long texts cut.
[[nodiscard]] std::string in_quotes(const std::string& text);

/// `, did you mean "role"?` if a candidate is near, else empty.
[[nodiscard]] std::string suggestion(const std::string& word, const std::vector<std::string>& candidates);

/// "pair, static-pod or none"
[[nodiscard]] std::string enumerate(const std::vector<std::string>& words);

}  // namespace makina
