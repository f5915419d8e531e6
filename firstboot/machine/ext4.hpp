#pragma once

#include <cstdint>
#include <string>

namespace makina {

/// How large an ext4 file system is, from its superblock: kernel.org, Documentation/filesystems/ext4/super.rst.
struct Ext4Size {
    std::uint64_t blocks = 0;
    std::uint64_t block_size = 0;  ///< bytes
    std::uint64_t blocks_per_group = 0;
    std::uint64_t least_last_group = 0;  ///< blocks that a last group needs to be of use
};

/// Of the 1024 bytes at offset 1024 of the partition. Throws Error if they are no ext4 superblock.
[[nodiscard]] Ext4Size ext4_size(const std::string& superblock);

/// How many blocks the file system has when it is grown to so many bytes: a last group that is too small for its own
/// tables is left out, as resize2fs(8) does.
[[nodiscard]] std::uint64_t grown_blocks(const Ext4Size& size, std::uint64_t bytes);

}  // namespace makina
