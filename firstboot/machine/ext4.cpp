#include "firstboot/machine/ext4.hpp"

#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

std::uint64_t little(const std::string& bytes, std::size_t at, std::size_t size) {
    std::uint64_t value = 0;
    for (std::size_t index = size; index > 0; --index) {
        value = (value << 8U) | static_cast<unsigned char>(bytes[at + index - 1]);
    }
    return value;
}

constexpr std::uint64_t magic = 0xEF53;
constexpr std::uint64_t incompat_64bit = 0x80;

}  // namespace

Ext4Size ext4_size(const std::string& superblock) {
    if (superblock.size() < 1024 || little(superblock, 0x38, 2) != magic || little(superblock, 0x18, 4) > 6) {
        throw Error("the root file system is not ext4");
    }
    const bool wide = (little(superblock, 0x60, 4) & incompat_64bit) != 0;
    Ext4Size size;
    size.blocks = little(superblock, 0x04, 4) | (wide ? little(superblock, 0x150, 4) << 32U : 0);
    size.block_size = std::uint64_t{1024} << little(superblock, 0x18, 4);
    size.blocks_per_group = little(superblock, 0x20, 4);
    if (size.blocks_per_group == 0) throw Error("the root file system's superblock has no block groups");
    const std::uint64_t inode_table = little(superblock, 0x28, 4) * little(superblock, 0x58, 2) / size.block_size;
    const std::uint64_t descriptor = wide ? little(superblock, 0xFE, 2) : 32;
    const std::uint64_t groups = size.blocks / size.blocks_per_group + 1;
    const std::uint64_t descriptors = groups * descriptor / size.block_size + 1;
    const std::uint64_t reserved = little(superblock, 0xCE, 2);
    // Superblock, two bitmaps, and 50 blocks of use: resize2fs' own measure.
    size.least_last_group = 1 + descriptors + reserved + 2 + inode_table + 50;
    return size;
}

std::uint64_t grown_blocks(const Ext4Size& size, std::uint64_t bytes) {
    const std::uint64_t blocks = bytes / size.block_size;
    const std::uint64_t rest = blocks % size.blocks_per_group;
    const std::uint64_t wanted = rest != 0 && rest < size.least_last_group ? blocks - rest : blocks;
    return wanted > size.blocks ? wanted : size.blocks;
}

}  // namespace makina
