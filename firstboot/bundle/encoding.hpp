#pragma once

#include <string>
#include <string_view>

namespace makina {

/// Two lower-case hex digits a byte.
[[nodiscard]] std::string to_hex(std::string_view bytes);
/// RFC 4648, 4: padded, on one line.
[[nodiscard]] std::string to_base64(std::string_view bytes);
/// The bytes of strict base64, as to_base64 writes it, or nothing at all.
[[nodiscard]] std::string from_base64(std::string_view text);

}  // namespace makina
