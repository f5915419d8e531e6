#pragma once

#include <filesystem>
#include <string>

// What the tests of the boot suite share: images and boots.
namespace makina::boot {

/// The value of an environment variable, empty if it is not set.
[[nodiscard]] std::string environment(const char* name);
/// Why nothing can be booted here; empty if it can.
[[nodiscard]] std::string why_not();

/// The image of a node of one of the tree's profiles: one that was built before (in the folder MAKINA_BOOT_IMAGES), or
/// a new one in `folder`. Throws Error.
[[nodiscard]] std::filesystem::path image_of(const std::string& node, const std::string& profile,
                                             const std::filesystem::path& folder);

}  // namespace makina::boot
