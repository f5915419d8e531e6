#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "builder/disk/disk.hpp"

namespace makina {

/// A number of `count` bytes, the lowest first, as FAT has them everywhere.
[[nodiscard]] std::uint32_t little(const char* bytes, std::size_t count);
/// Puts one there.
void put_little(char* bytes, std::size_t count, std::uint32_t number);

/// The fields of a FAT's first sector that say where things are (Microsoft, "FAT: General Overview of On-Disk Format",
/// 1.03: BPB). Offsets and sizes in bytes; offsets count from the file system's beginning.
struct FatShape {
    std::uint64_t sector = 0;
    std::uint64_t cluster = 0;
    std::uint64_t table = 0;       ///< where the first table begins
    std::uint64_t table_size = 0;  ///< of one table
    std::uint64_t tables = 0;      ///< how many there are
    std::uint64_t active = 0;      ///< the table that counts
    bool mirrored = true;          ///< every table is written, not the active one alone
    std::uint64_t root = 0;        ///< where the root folder of FAT12 and FAT16 begins
    std::uint64_t root_size = 0;   ///< 0 for FAT32
    std::uint32_t root_cluster = 0;
    std::uint64_t information = 0;  ///< where FAT32's sector with the count of free clusters is; 0: nowhere
    std::uint64_t first = 0;        ///< where cluster 2 begins
    std::uint64_t count = 0;        ///< of clusters
    unsigned bits = 0;              ///< of an entry in the table: 12, 16 or 32
};

/// The allocation table of a FAT file system: read whole, changed in memory, and written back where it changed.
class FatTable {
  public:
    /// Throws Error if there is no FAT in the partition, or if its fields cannot be.
    FatTable(const PatchedImage& image, const Partition& partition);

    [[nodiscard]] const FatShape& shape() const { return shape_; }
    [[nodiscard]] bool is_free(std::uint32_t cluster) const { return get(cluster) == 0; }
    [[nodiscard]] std::uint64_t free_clusters() const { return free_; }
    /// The clusters of a file or folder in order; none for cluster 0. Throws Error if they lead nowhere or in a circle.
    [[nodiscard]] std::vector<std::uint32_t> chain(std::uint32_t first) const;
    /// Makes a chain as long as wanted: what is too much becomes free, what is missing are the lowest free clusters.
    /// There must be as many.
    void resize(std::vector<std::uint32_t>& chain, std::size_t count);
    /// Where these clusters are in the image, runs joined, in the chain's order.
    [[nodiscard]] std::vector<Extent> places(const std::vector<std::uint32_t>& chain) const;
    /// Writes the sectors that changed into every table that counts, and the number of free clusters.
    void save(PatchedImage& image);

  private:
    [[nodiscard]] std::uint32_t get(std::uint32_t cluster) const;
    void set(std::uint32_t cluster, std::uint32_t value);
    /// From this value on an entry is the last of its chain.
    [[nodiscard]] std::uint32_t end_mark() const { return (bits_mask() & ~std::uint32_t{7}); }
    [[nodiscard]] std::uint32_t bits_mask() const;

    Partition partition_;
    FatShape shape_;
    std::string bytes_;              ///< of the active table
    std::set<std::uint64_t> dirty_;  ///< offsets of changed sectors in the table
    std::uint64_t free_ = 0;
};

}  // namespace makina
