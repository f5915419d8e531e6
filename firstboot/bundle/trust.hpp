#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace makina {

/// Whom a card believes, and who it is itself. In every image at Trust::path, root:root 0644; a bundle that was
/// accepted may bring a newer one (payload "trust"), which is kept beside the bundle.
struct Trust {
    static constexpr std::string_view path = "/usr/lib/makina/trust";
    static constexpr std::size_t largest = 64 << 10;  ///< bytes
    static constexpr std::size_t most_anchors = 4;

    std::string cluster_id;  ///< as Bundle::cluster_id
    std::string node;
    std::string role;
    std::vector<std::string> anchors;  ///< DER certificates of signing authorities; more than one during a rotation
    std::vector<std::string> revoked;  ///< SHA-256 of signers' DER certificates that are believed no more, hex
    bool operator==(const Trust&) const = default;
};

/// Lines of text, each ended by a newline, in this order:
///     makina-trust 1
///     cluster-id HEX
///     node NAME
///     role ROLE
///     anchor BASE64         1 to 4 times
///     revoked HEX           up to 64 times
[[nodiscard]] std::string encode(const Trust& trust);

/// Reads what `encode` wrote, and nothing else; throws Untrusted "<what>, line 3".
[[nodiscard]] Trust decode_trust(std::string_view text);

}  // namespace makina
