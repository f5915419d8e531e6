#include <algorithm>

#include "builder/disk/fat_table.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

/// As wide as any file system's signature lies from the ends of its partition (btrfs: 64 KiB from the beginning, ZFS:
/// 512 KiB from both ends, MD: 128 KiB from the end).
constexpr std::uint64_t ends_of_partition = std::uint64_t{1} << 20;

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
    const FatTable table(image, partition);
    std::vector<std::uint32_t> clusters;
    for (std::uint32_t cluster = 2; cluster < table.shape().count + 2; ++cluster) {
        if (!table.is_free(cluster)) clusters.push_back(cluster);
    }
    std::vector<Extent> used = table.places(clusters);
    used.push_back({partition.offset, table.shape().first});
    return in_order(std::move(used));
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
