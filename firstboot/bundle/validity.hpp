#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "firstboot/bundle/sealed.hpp"

namespace makina {

/// A clock as the node has it. Without synchronisation it may say anything.
struct Moment {
    std::int64_t now = 0;  ///< seconds since 1970
    bool synced = false;   ///< true if a time server has set it
};

enum class Validity {
    valid,
    not_yet,  ///< wait: the clock has to come forward
    expired   ///< said only of a synchronised clock: final until there is a newer bundle
};

/// Boards without a battery wake up in 1970: an unsynchronised clock is never too late, and too early only means to
/// wait.
[[nodiscard]] Validity judge(const Opened& opened, const Moment& moment);

/// What the clock is never below, once the bundle is known to be genuine: the newest of when the image was built, when
/// the bundle was issued, and when this node last knew the time (0 if never, or if the clock is synchronised).
[[nodiscard]] std::int64_t clock_floor(std::int64_t built, std::int64_t issued, std::int64_t last_known);

/// The highest step by which an epoch may rise at once: a stolen signer cannot use up all numbers.
inline constexpr std::uint64_t largest_epoch_step = 1000;

/// Empty if a bundle of `epoch` may be used by a node that has seen `seen` (none: a new card), else the reason: "epoch
/// 3 is older than 5, which this node has used". The same epoch may be used again: it is the same bundle.
[[nodiscard]] std::string epoch_objection(std::optional<std::uint64_t> seen, std::uint64_t epoch);

}  // namespace makina
