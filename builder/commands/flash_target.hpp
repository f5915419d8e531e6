#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "builder/flash/device.hpp"

namespace makina {

/// Where an image is to go: a card, or a plain file.
struct FlashTarget {
    std::optional<DeviceFacts> device;  ///< as it was chosen
    std::filesystem::path file;         ///< without a device
    [[nodiscard]] std::string name() const { return device ? "/dev/" + device->name : file.string(); }
    /// For the ledger: the card's name that stays, or what there is instead of one.
    [[nodiscard]] std::string id() const;
};

struct TargetOptions {
    /// --yes-device: names in /dev/disk/by-id, or paths of loop devices and plain files.
    std::vector<std::string> confirmed;
    bool allow_large = false;
    std::uint64_t image_size = 0;                ///< bytes; 0 if not known yet
    std::vector<std::filesystem::path> sources;  ///< files that are read meanwhile: no target may be one of them
    std::filesystem::path machine = "/";         ///< where its /sys, /proc, /run and /dev are
};

/// The target that a person named. Throws Mistake for a device that may not be written.
[[nodiscard]] FlashTarget target_named(const std::filesystem::path& path, const TargetOptions& options);
/// Lists the cards that there are, and lets a person choose one. Throws Mistake if there is none, or no terminal.
[[nodiscard]] FlashTarget ask_for_target(const std::string& what, const TargetOptions& options);
/// Shows the target and what is on it, and has the end of its serial number typed, or its name if it has none or
/// another card that is there has the same, unless it is among options.confirmed. A new or empty file needs no
/// confirmation. Throws Mistake if it is not confirmed.
void confirm(const FlashTarget& target, const std::string& what, const TargetOptions& options);
/// Every device that could be written, and why the others could not.
[[nodiscard]] std::string list_of_targets(const TargetOptions& options);
/// The same for programs, a JSON object a line.
[[nodiscard]] std::string json_of_targets(const TargetOptions& options);
/// Throws Mistake if the target is one of options.sources, or shows one.
void require_apart(const FlashTarget& target, const TargetOptions& options);
/// Opens it for writing. Throws Error.
[[nodiscard]] std::shared_ptr<Medium> open_target(const FlashTarget& target, const TargetOptions& options);

}  // namespace makina
