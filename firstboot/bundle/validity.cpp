#include "firstboot/bundle/validity.hpp"

#include <algorithm>

namespace makina {

Validity judge(const Opened& opened, const Moment& moment) {
    // Both ends count as valid, as X.509 has it (RFC 5280, 4.1.2.5).
    if (moment.now < std::max(opened.bundle.issued, opened.not_before)) return Validity::not_yet;
    const bool late = moment.now > std::min(opened.bundle.expires, opened.not_after);
    return late && moment.synced ? Validity::expired : Validity::valid;
}

std::int64_t clock_floor(std::int64_t built, std::int64_t issued, std::int64_t last_known) {
    return std::max({built, issued, last_known});
}

std::string epoch_objection(std::optional<std::uint64_t> seen, std::uint64_t epoch) {
    if (!seen || epoch == *seen) return {};
    const std::string which = std::to_string(*seen) + ", which this node has used";
    if (epoch < *seen) return "epoch " + std::to_string(epoch) + " is older than " + which;
    if (epoch - *seen > largest_epoch_step) {
        return "epoch " + std::to_string(epoch) + " is more than " + std::to_string(largest_epoch_step) + " above " +
               which;
    }
    return {};
}

}  // namespace makina
