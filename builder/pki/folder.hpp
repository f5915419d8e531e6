#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "firstboot/bundle/handle.hpp"

namespace makina {

/// Files by their path below a folder: "cluster", "signing-1/ca.crt"; at most one folder deep.
using Files = std::map<std::string, std::string>;

/// Reads a file that nobody else may read. Throws Error if it is missing, no regular file, open to others (a mode with
/// bits for group or others) or larger than `most` bytes.
[[nodiscard]] std::string read_private(const std::filesystem::path& file, std::uint64_t most = std::uint64_t{16} << 20);

/// A new file (O_EXCL), 0600 whatever the umask is, synced; the caller syncs the folder. Like everything that is made
/// here by root it belongs to the owner of the folder that it is in. Throws Error if it exists.
void write_new(const std::filesystem::path& file, std::string_view content);
/// Makes the names in a folder durable.
void sync_folder(const std::filesystem::path& folder);
/// Replaces a file: written beside, synced, renamed, the folder synced. After a power cut it is the old one or the new.
void replace_file(const std::filesystem::path& file, std::string_view content);
/// Makes a folder (0700) with these files, whole or not at all: it is made under the name `.NAME.making` beside,
/// synced and renamed. Leftovers of one that was cut off are removed first. Throws Error if the folder exists and is
/// not empty, or if another process is making it.
void make_folder(const std::filesystem::path& folder, const Files& files);
/// Takes a folder away: renamed to `.NAME.wiping`, its files overwritten and removed. After a power cut it is there as
/// a whole, or clean_folder ends the work.
void wipe_folder(const std::filesystem::path& folder);
/// Removes what a power cut has left half done inside.
void clean_folder(const std::filesystem::path& folder);

/// Opens a folder that only we can read and locks it, as long as the descriptor lives. Waits 5 s for another holder.
/// Throws Error if it is missing, another user's, open to others, or still locked.
[[nodiscard]] Descriptor lock_folder(const std::filesystem::path& folder);

/// True if there is something in it (a missing folder has nothing).
[[nodiscard]] bool has_entries(const std::filesystem::path& folder);

}  // namespace makina
