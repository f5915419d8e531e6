#include "builder/disk/fat_table.hpp"

#include <algorithm>
#include <array>

#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

constexpr std::uint64_t entry_of_folder = 32;

bool is_power_of_two(std::uint64_t number) {
    return number != 0 && (number & (number - 1)) == 0;
}

/// What only FAT32 has in its first sector.
void read_fat32(const char* boot, FatShape& shape) {
    const std::uint32_t flags = little(boot + 40, 2);
    shape.mirrored = (flags & 0x80) == 0;
    shape.active = shape.mirrored ? 0 : flags & 0xf;
    shape.root_cluster = little(boot + 44, 4);
    const std::uint32_t sector = little(boot + 48, 2);
    if (sector != 0xffff) shape.information = sector * shape.sector;
}

FatShape read_shape(const PatchedImage& image, const Partition& partition) {
    std::array<char, 512> boot{};
    image.read(partition.offset, boot.data(), boot.size());
    FatShape shape;
    shape.sector = little(&boot[11], 2);
    shape.cluster = shape.sector * little(&boot[13], 1);
    shape.tables = little(&boot[16], 1);
    const bool is_fat = little(&boot[510], 2) == 0xaa55 && is_power_of_two(shape.sector) && shape.sector >= 512 &&
                        shape.sector <= 4096 && is_power_of_two(shape.cluster) && shape.tables != 0;
    if (!is_fat)
        throw Error("no FAT file system at byte " + std::to_string(partition.offset) + ": the image is damaged");
    const std::uint64_t sectors = little(&boot[19], 2) != 0 ? little(&boot[19], 2) : little(&boot[32], 4);
    const std::uint64_t size = sectors * shape.sector;
    const bool is_fat32 = little(&boot[22], 2) == 0;
    shape.table = little(&boot[14], 2) * shape.sector;
    shape.table_size = (is_fat32 ? little(&boot[36], 4) : little(&boot[22], 2)) * shape.sector;
    shape.root = shape.table + shape.tables * shape.table_size;
    shape.root_size = (little(&boot[17], 2) * entry_of_folder + shape.sector - 1) / shape.sector * shape.sector;
    shape.first = shape.root + shape.root_size;
    if (is_fat32) read_fat32(boot.data(), shape);
    shape.count = size > shape.first ? (size - shape.first) / shape.cluster : 0;
    // Linux goes by the table's field too (fs/fat/inode.c); mkfs.fat makes FAT32 with few clusters if it is asked to.
    shape.bits = is_fat32 ? 32 : shape.count < 4085 ? 12 : 16;
    const bool can_be = size <= partition.size && shape.count != 0 && shape.table != 0 &&
                        (shape.count + 2) * shape.bits <= shape.table_size * 8 && shape.active < shape.tables &&
                        shape.information < shape.table;
    if (!can_be) throw Error("the FAT file system at byte " + std::to_string(partition.offset) + " is damaged");
    return shape;
}

}  // namespace

std::uint32_t little(const char* bytes, std::size_t count) {
    std::uint32_t number = 0;
    for (std::size_t i = count; i-- > 0;) number = number << 8 | static_cast<unsigned char>(bytes[i]);
    return number;
}

void put_little(char* bytes, std::size_t count, std::uint32_t number) {
    for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<char>(number >> (8 * i) & 0xff);
}

FatTable::FatTable(const PatchedImage& image, const Partition& partition)
    : partition_(partition), shape_(read_shape(image, partition)) {
    const std::uint64_t needed = ((shape_.count + 2) * shape_.bits + 7) / 8;
    bytes_.resize((needed + shape_.sector - 1) / shape_.sector * shape_.sector);
    image.read(partition.offset + shape_.table + shape_.active * shape_.table_size, bytes_.data(), bytes_.size());
    for (std::uint32_t cluster = 2; cluster < shape_.count + 2; ++cluster) free_ += is_free(cluster) ? 1 : 0;
}

std::uint32_t FatTable::bits_mask() const {
    // The upper four bits of FAT32 belong to nobody.
    return shape_.bits == 32 ? 0x0fffffff : (std::uint32_t{1} << shape_.bits) - 1;
}

std::uint32_t FatTable::get(std::uint32_t cluster) const {
    const std::size_t at = std::size_t{cluster} * shape_.bits / 8;
    if (shape_.bits != 12) return little(&bytes_[at], shape_.bits / 8) & bits_mask();
    const std::uint32_t pair = little(&bytes_[at], 2);
    return cluster % 2 == 0 ? pair & 0xfff : pair >> 4;
}

void FatTable::set(std::uint32_t cluster, std::uint32_t value) {
    const std::size_t at = std::size_t{cluster} * shape_.bits / 8;
    const std::size_t size = shape_.bits == 32 ? 4 : 2;
    const unsigned shift = shape_.bits == 12 && cluster % 2 != 0 ? 4 : 0;
    const std::uint32_t kept = little(&bytes_[at], size) & ~(bits_mask() << shift);
    put_little(&bytes_[at], size, kept | value << shift);
    for (const std::size_t changed : {at, at + size - 1}) dirty_.insert(changed / shape_.sector * shape_.sector);
}

std::vector<std::uint32_t> FatTable::chain(std::uint32_t first) const {
    std::vector<std::uint32_t> clusters;
    if (first == 0) return clusters;
    for (std::uint32_t cluster = first; clusters.empty() || cluster < end_mark(); cluster = get(cluster)) {
        if (cluster < 2 || cluster >= shape_.count + 2 || clusters.size() == shape_.count)
            throw Error("a chain of clusters leads nowhere: the file system is damaged");
        clusters.push_back(cluster);
    }
    return clusters;
}

void FatTable::resize(std::vector<std::uint32_t>& chain, std::size_t count) {
    for (; chain.size() > count; ++free_, chain.pop_back()) set(chain.back(), 0);
    const std::size_t kept = chain.size();
    for (std::uint32_t cluster = 2; chain.size() < count; ++cluster) {
        if (cluster >= shape_.count + 2) throw Error("the file system is full");
        if (!is_free(cluster)) continue;
        chain.push_back(cluster);
        --free_;
    }
    if (chain.empty()) return;
    for (std::size_t i = std::max<std::size_t>(kept, 1); i < chain.size(); ++i) set(chain[i - 1], chain[i]);
    if (get(chain.back()) < end_mark()) set(chain.back(), bits_mask());
}

std::vector<Extent> FatTable::places(const std::vector<std::uint32_t>& chain) const {
    std::vector<Extent> extents;
    for (const std::uint32_t cluster : chain) {
        const std::uint64_t offset = partition_.offset + shape_.first + (cluster - 2) * shape_.cluster;
        if (!extents.empty() && extents.back().end() == offset) {
            extents.back().size += shape_.cluster;
        } else {
            extents.push_back({offset, shape_.cluster});
        }
    }
    return extents;
}

void FatTable::save(PatchedImage& image) {
    for (std::uint64_t table = 0; table < shape_.tables; ++table) {
        if (!shape_.mirrored && table != shape_.active) continue;
        const std::uint64_t begin = partition_.offset + shape_.table + table * shape_.table_size;
        for (const std::uint64_t sector : dirty_) image.write(begin + sector, &bytes_[sector], shape_.sector);
    }
    if (!dirty_.empty() && shape_.information != 0) {
        // FSInfo: three signatures, and the count at 488. The hint beside it may be anything.
        std::array<char, 512> sector{};
        image.read(partition_.offset + shape_.information, sector.data(), sector.size());
        const bool is_there = little(sector.data(), 4) == 0x41615252 && little(&sector[484], 4) == 0x61417272;
        put_little(&sector[488], 4, static_cast<std::uint32_t>(free_));
        if (is_there) image.write(partition_.offset + shape_.information, sector.data(), sector.size());
    }
    dirty_.clear();
}

}  // namespace makina
