#pragma once

#include <string>

#include "firstboot/host.hpp"

namespace makina {

// The card below the folder `root` (an open descriptor). The promises are those of Host.

/// Throws Error if the folder's file system is on no partition of a disk, or is not ext4.
[[nodiscard]] Disk disk_of(int root);
void write_table(int root, const std::string& sector);
void tell_partition(int root, int number, std::uint64_t start, std::uint64_t sectors);
void grow_file_system(int root);

/// True if the folder is the top of a file system on a disk: it may be asked and changed as a card.
[[nodiscard]] bool is_card(int root);
/// What a folder that is no card looks like: one that is grown already.
[[nodiscard]] Disk grown_disk(int root);

}  // namespace makina
