#pragma once

#include <string>

namespace makina {

/// A value of a QEMU option, where a comma would begin the next key.
[[nodiscard]] inline std::string option_value(const std::string& text) {
    std::string value;
    for (const char letter : text) value += letter == ',' ? std::string(",,") : std::string(1, letter);
    return value;
}

}  // namespace makina
