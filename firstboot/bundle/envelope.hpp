#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "firstboot/bundle/trust.hpp"

namespace makina {

/// A CMS message (RFC 5652) in the one form that bundles have, taken apart. Every view is into the message.
struct Envelope {
    std::string_view content;
    std::vector<std::string_view> certificates;  ///< DER, 1 to 3, the signer's first
};

/// Takes a message apart by hand, before any library sees it. Whatever no signature covers has exactly one form here,
/// so that no message can be changed into another good one. Verifies no signature. Throws Untrusted.
[[nodiscard]] Envelope read_envelope(std::string_view sealed);

/// When all certificates of a chain are valid, seconds since 1970.
struct Window {
    std::int64_t not_before = 0;
    std::int64_t not_after = 0;
};

/// Verifies that the signer (the first) leads over the others, all of them used, to an anchor; that it may sign
/// bundles; and that no certificate on the way is revoked. Says nothing of the time. Throws Untrusted.
[[nodiscard]] Window verify_chain(const std::vector<std::string_view>& certificates, const Trust& trust);

/// The last reason that OpenSSL noted, for a message; forgets all of them.
[[nodiscard]] std::string library_reason();

}  // namespace makina
