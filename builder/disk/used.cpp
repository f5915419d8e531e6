#include <algorithm>
#include <array>
#include <cstring>

#include "builder/disk/disk.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

/// As wide as any file system's signature lies from the ends of its partition (btrfs: 64 KiB from the beginning, ZFS:
/// 512 KiB from both ends, MD: 128 KiB from the end).
constexpr std::uint64_t ends_of_partition = std::uint64_t{1} << 20;

std::uint32_t little(const char* bytes, std::size_t count) {
    std::uint32_t number = 0;
    for (std::size_t i = count; i-- > 0;) number = number << 8 | static_cast<unsigned char>(bytes[i]);
    return number;
}

/// The fields of a FAT's first sector that say where things are (Microsoft, "FAT: General Overview of On-Disk Format",
/// 1.03: BPB).
struct FatShape {
    std::uint64_t sector = 0;      ///< bytes
    std::uint64_t cluster = 0;     ///< bytes
    std::uint64_t table = 0;       ///< where the first table begins
    std::uint64_t table_size = 0;  ///< bytes of one table
    std::uint64_t first = 0;       ///< where cluster 2 begins
    std::uint64_t count = 0;       ///< of clusters
    std::uint64_t size = 0;        ///< of the whole file system
    [[nodiscard]] unsigned bits() const { return count < 4085 ? 12 : count < 65525 ? 16 : 32; }
};

FatShape read_shape(const PatchedImage& image, const Partition& partition) {
    std::array<char, 512> boot{};
    image.read(partition.offset, boot.data(), boot.size());
    FatShape shape;
    shape.sector = little(&boot[11], 2);
    shape.cluster = shape.sector * little(&boot[13], 1);
    const std::uint64_t tables = little(&boot[16], 1);
    const std::uint64_t root = (little(&boot[17], 2) * 32 + shape.sector - 1);
    const bool is_fat = little(&boot[510], 2) == 0xaa55 && (shape.sector == 512 || shape.sector == 4096) &&
                        shape.cluster != 0 && tables != 0;
    if (!is_fat) throw Error("no FAT file system at byte " + std::to_string(partition.offset));
    const std::uint64_t sectors = little(&boot[19], 2) != 0 ? little(&boot[19], 2) : little(&boot[32], 4);
    const std::uint64_t per_table = little(&boot[22], 2) != 0 ? little(&boot[22], 2) : little(&boot[36], 4);
    shape.size = sectors * shape.sector;
    shape.table = little(&boot[14], 2) * shape.sector;
    shape.table_size = per_table * shape.sector;
    shape.first = shape.table + tables * shape.table_size + root / shape.sector * shape.sector;
    if (shape.size > partition.size || shape.first >= shape.size || shape.table_size == 0)
        throw Error("the FAT file system at byte " + std::to_string(partition.offset) + " is damaged");
    shape.count = (shape.size - shape.first) / shape.cluster;
    if ((shape.count + 2) * shape.bits() > shape.table_size * 8)
        throw Error("the FAT file system at byte " + std::to_string(partition.offset) + " is damaged");
    return shape;
}

bool is_free(const std::string& table, unsigned bits, std::uint64_t cluster) {
    if (bits == 12) {
        const std::uint32_t pair = little(&table[cluster * 3 / 2], 2);
        return (cluster % 2 == 0 ? pair & 0xfff : pair >> 4) == 0;
    }
    if (bits == 16) return little(&table[cluster * 2], 2) == 0;
    return (little(&table[cluster * 4], 4) & 0x0fffffff) == 0;
}

/// What a partition's own file system says; the whole partition where nothing is known of it.
std::vector<Extent> used_by_partition(PatchedImage& image, const Partition& partition) {
    const std::uint64_t ends = std::min(ends_of_partition, partition.size);
    std::vector<Extent> used = {{partition.offset, ends}, {partition.offset + partition.size - ends, ends}};
    try {
        if (partition.type == 0x83) {
            for (const Extent& extent : Ext4(image, partition).used())
                used.push_back({partition.offset + extent.offset, extent.size});
        } else {
            for (const Extent& extent : used_by_fat(image, partition)) used.push_back(extent);
        }
    } catch (const Error&) {
        // Another file system, or one that has to be repaired first: nothing is left out.
        return {{partition.offset, partition.size}};
    }
    return used;
}

}  // namespace

std::vector<Extent> used_by_fat(const PatchedImage& image, const Partition& partition) {
    const FatShape shape = read_shape(image, partition);
    std::string table(shape.table_size, '\0');
    image.read(partition.offset + shape.table, table.data(), table.size());
    std::vector<Extent> used = {{partition.offset, shape.first}};
    for (std::uint64_t cluster = 0; cluster < shape.count; ++cluster) {
        if (is_free(table, shape.bits(), cluster + 2)) continue;
        const std::uint64_t offset = partition.offset + shape.first + cluster * shape.cluster;
        if (used.back().end() == offset) {
            used.back().size += shape.cluster;
        } else {
            used.push_back({offset, shape.cluster});
        }
    }
    return used;
}

std::vector<Extent> used_by_image(PatchedImage& image) {
    std::vector<Extent> whole = {{0, image.size()}};
    PartitionTable table;
    try {
        table = read_partition_table(image.base());
    } catch (const Error&) {
        return whole;
    }
    std::vector<Extent> partitions;
    std::vector<Extent> used;
    for (const Partition& partition : table.partitions) {
        // An extended partition contains others.
        if (partition.type == 0x05 || partition.type == 0x0f) return whole;
        partitions.push_back({partition.offset, partition.size});
        for (const Extent& extent : used_by_partition(image, partition)) used.push_back(extent);
    }
    for (const Extent& extent : without(whole, in_order(partitions))) used.push_back(extent);
    return in_both(in_order(std::move(used)), whole);
}

}  // namespace makina
