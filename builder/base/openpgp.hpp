#pragma once

#include <string>
#include <vector>

namespace makina {

/// What a file of OpenPGP public keys holds.
struct PublicKeys {
    std::string packets;                    ///< the binary packets, as they were read
    std::vector<std::string> fingerprints;  ///< of the primary keys, 40 upper-case hex digits each
};

/// Reads public keys, binary or ASCII-armored, to know them by fingerprint before any program is given them. Only keys
/// of version 4 are known (RFC 9580: armor 6.2, packets 4.2, fingerprints 5.5.4.2). Nothing is verified here: a
/// fingerprint covers the key itself, and who uses the key checks what it signed. Throws Error for anything else than
/// public keys.
[[nodiscard]] PublicKeys read_public_keys(const std::string& file);

}  // namespace makina
