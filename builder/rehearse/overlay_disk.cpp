#include "builder/rehearse/overlay_disk.hpp"

#include <cstddef>

#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

constexpr std::uint64_t cluster_bits = 16;
constexpr std::uint64_t cluster = 1ULL << cluster_bits;
// In clusters: the header, the table of reference counts, its first block, and the table of tables of clusters.
constexpr std::uint64_t counts_at = 1, first_counts_at = 2, tables_at = 3, used = 4;
/// One entry of the last one stands for a cluster full of entries of 8 bytes, each for a cluster.
constexpr std::uint64_t entry_covers = cluster / 8 * cluster;

/// Writes `value` with its highest byte first, as everything in the format is.
template <std::size_t bytes>
void put(std::string& disk, std::uint64_t offset, std::uint64_t value) {
    for (std::size_t i = 0; i < bytes; ++i) disk[offset + i] = static_cast<char>(value >> 8 * (bytes - 1 - i) & 0xff);
}

}  // namespace

std::string overlay_disk(std::uint64_t size) {
    const std::uint64_t entries = (size + entry_covers - 1) / entry_covers;
    if (entries > cluster / 8) throw Error("a disk of more than 4 TiB cannot be emulated");
    std::string disk(used * cluster, '\0');
    disk.replace(0, 4, "QFI\xfb");
    put<4>(disk, 4, 2);
    put<4>(disk, 20, cluster_bits);
    put<8>(disk, 24, size);
    put<4>(disk, 36, entries);
    put<8>(disk, 40, tables_at * cluster);
    put<8>(disk, 48, counts_at * cluster);
    put<4>(disk, 56, 1);
    put<8>(disk, counts_at * cluster, first_counts_at * cluster);
    for (std::uint64_t i = 0; i < used; ++i) put<2>(disk, first_counts_at * cluster + 2 * i, 1);
    return disk;
}

}  // namespace makina
