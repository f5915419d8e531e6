#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace makina {

/// The lines of a file, without their ends; a last line need not be ended.
[[nodiscard]] std::vector<std::string_view> lines_of(std::string_view text);
/// The words between spaces and tabs.
[[nodiscard]] std::vector<std::string_view> words_of(std::string_view line);
/// "a, b, c"; of more than five only the first, and how many more there are.
[[nodiscard]] std::string some_of(const std::vector<std::string>& names);

/// The last line that is not empty: what a program said before it gave up.
[[nodiscard]] std::string last_line(std::string_view text);

}  // namespace makina
