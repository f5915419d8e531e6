#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "builder/flash/medium.hpp"
#include "builder/flash/source.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {

enum class FlashPhase { preparing, writing, verifying, finishing };
[[nodiscard]] std::string to_string(FlashPhase phase);

struct FlashProgress {
    FlashPhase phase = FlashPhase::preparing;
    std::uint64_t done = 0, total = 0;  ///< of this phase, in bytes
};

struct FlashOptions {
    unsigned in_flight = 4;     ///< reads or writes at a time
    bool probe = true;          ///< look for a capacity that is not there
    double stall_seconds = 60;  ///< without any progress, a device is given up; a file after ten times as long
    /// Medium::sequence when a person chose it; another one now is another card.
    std::optional<std::uint64_t> sequence;
    /// Called several times a second by the thread that called flash.
    std::function<void(const FlashProgress&)> on_progress = [](const FlashProgress&) {};
    /// Asked as often; true ends the work with an Error.
    std::function<bool()> is_interrupted = [] { return false; };
};

struct Flashed {
    std::uint64_t size = 0;     ///< of the image
    std::uint64_t written = 0;  ///< bytes that were sent, every one of them read back
    std::uint64_t zeroed = 0;   ///< bytes that read as zero, read back too
    /// SHA-256 over a line "OFFSET SIZE SHA256" for each piece, in order; "zero" stands for the hash of zeros.
    std::string digest;
    double write_seconds = 0, verify_seconds = 0;
};

/// Writes an image and proves that it is there. The first MiB is zero from the beginning, and is written when all the
/// rest has been read back, the block with the partition table last of all: whatever interrupts the work, the medium
/// is either not bootable or complete. An Error says what failed and in which state the medium is. A medium that
/// hangs is left to threads that keep both alive.
[[nodiscard]] Flashed flash(const std::shared_ptr<Source>& source, const std::shared_ptr<Medium>& medium,
                            const FlashOptions& options);

}  // namespace makina
