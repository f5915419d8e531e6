#pragma once

#include <string>
#include <vector>

#include "firstboot/host.hpp"

namespace makina {

/// What has been handed over, and what this node makes of it. Changes nothing.
struct Judged {
    enum class Verdict {
        take,   ///< genuine, for this node, newer than what it has
        wipe,   ///< what is left of one that was taken: the same bundle, or a copy of it that is wiped in part
        refuse  ///< left where it lies
    } verdict = Verdict::refuse;
    Delivery delivery;
    std::string reason;       ///< why it is refused
    std::uint64_t epoch = 0;  ///< of one to take
};
[[nodiscard]] std::vector<Judged> judged_deliveries(Host& host);

/// The refused ones, for people: "/media/stick/makina.bundle is refused: epoch 3 is older than 5, ..."
[[nodiscard]] std::string notice_of(const std::vector<Judged>& deliveries);

/// Makes the newest one to take the node's own, and wipes what is to be wiped: durable on the root file system, then
/// wiped where it lay, then its epoch is remembered; the one that was there is overwritten. Repeated after a power cut
/// at any point, it comes to the same end.
void take_deliveries(Host& host);

/// The node's own bundle, opened. It was believed when it came, so also if the trust that it has brought would not
/// believe its signer any more. Throws Untrusted.
[[nodiscard]] Opened open_own(Host& host, const std::string& sealed);

}  // namespace makina
