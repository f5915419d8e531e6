#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

// Writing files so that they outlast a power cut, and the ways to get it wrong.
namespace makina::crash {

/// What a program does wrong.
enum class Fault {
    none,
    file_not_synced,    ///< renames a file whose content is not on the card yet
    folder_not_synced,  ///< does not wait for the rename of the done-mark before it wipes
    in_place,           ///< overwrites a file instead of writing beside
    secrets_first       ///< wipes the bundle before the done-mark is written
};
/// "none", "file-not-synced", ...
[[nodiscard]] std::optional<Fault> fault_named(std::string_view name);

/// Writes a file the way the fault says.
void write_file(const std::filesystem::path& path, const std::string& content, mode_t mode, Fault fault);
/// Overwrites a file with zeros and removes it.
void wipe_file(const std::filesystem::path& path, Fault fault);

}  // namespace makina::crash
