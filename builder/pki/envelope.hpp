#pragma once

#include <string>
#include <string_view>

namespace makina {

/// Bytes under a passphrase: salt (16 bytes), nonce (12), ciphertext, tag (16). The key is scrypt's (RFC 7914; N
/// 131072, r 8, p 1: 128 MiB of memory), the cipher AES-256-GCM. `kind` says what is inside and is bound to it: an
/// envelope of another kind does not open.
[[nodiscard]] std::string put_in_envelope(std::string_view content, std::string_view kind,
                                          const std::string& passphrase);
/// Throws Untrusted "the passphrase is wrong, or a byte has changed".
[[nodiscard]] std::string open_envelope(std::string_view envelope, std::string_view kind,
                                        const std::string& passphrase);

}  // namespace makina
