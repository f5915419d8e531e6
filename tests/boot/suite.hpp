#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

// What the tests of the boot suite share: images, boots and the line of figures at the end.
namespace makina::boot {

/// True in the long form.
[[nodiscard]] bool all_asked();
/// The value of an environment variable, empty if it is not set.
[[nodiscard]] std::string environment(const char* name);
/// Why nothing can be booted here; empty if it can.
[[nodiscard]] std::string why_not();

/// The image of a node of one of the tree's profiles: one that was built before (in the folder MAKINA_BOOT_IMAGES), or
/// a new one in `folder`. Throws Error.
[[nodiscard]] std::filesystem::path image_of(const std::string& node, const std::string& profile,
                                             const std::filesystem::path& folder);

/// Puts a number into the suite's last line.
void figure(const std::string& name, const nlohmann::json& value);
/// Puts a number, unless a larger one was put.
void longest(const std::string& name, double value);
/// Adds to a number that was put, or begins at 0.
void count(const std::string& name, int more);

}  // namespace makina::boot
