#pragma once

#include <string>
#include <vector>

#include "builder/profile/complaint.hpp"

namespace makina {

/// A place in a file, both counted from 1; columns count characters, not bytes.
struct Position {
    int line = 1;
    int column = 1;
};

constexpr std::size_t largest_profile = 65536;  ///< bytes

/// What keeps `text` from being plain UTF-8 that looks on every screen as a program reads it: too long, another
/// encoding, invalid bytes, control characters, invisible direction marks. yaml-cpp accepts all of them.
[[nodiscard]] std::vector<Complaint> check_text(const std::string& text);

/// The code point that begins at `text[at]` and how many bytes it takes; 0 bytes if it is not valid UTF-8
/// (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF).
struct CodePoint {
    char32_t value = 0;
    std::size_t bytes = 0;
};
[[nodiscard]] CodePoint code_point(const std::string& text, std::size_t at);

/// True for what a screen shows as it is: no control characters, no invisible or reordering ones.
[[nodiscard]] bool is_visible(char32_t value);

}  // namespace makina
