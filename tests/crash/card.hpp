#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace makina::crash {

namespace fs = std::filesystem;

/// The size of the cards, in bytes.
inline constexpr std::uint64_t card_size = 768ULL << 20;
/// What of a card is to become the spare partition, in bytes.
inline constexpr std::uint64_t spare_size = 64ULL << 20;
inline constexpr std::uint64_t root_offset = 2ULL << 20;
/// Size of the root partition before the first boot. Where the kernel does not let us grow a mounted file system it is
/// as large as in the end, and only the spare partition is missing.
[[nodiscard]] std::uint64_t root_size();
/// True if we have CAP_SYS_RESOURCE: Linux, fs/ext4/resize.c.
[[nodiscard]] bool may_grow();
inline constexpr int root_partition = 2;

/// Makes a card file: an MBR with room for a FAT and a small ext4 root partition as the builder makes it, with the
/// files of `tree` in it.
void make_card(const fs::path& card, const fs::path& tree);

/// What must be true of a node's card at any moment: the old or the new, never a mixture, and no step ahead of its
/// turn.
struct Promise {
    std::string bundle;                           ///< as it was sealed
    std::string delivered = {};                   ///< a newer one that lies on the boot partition; empty for none
    std::map<std::string, std::string> payloads;  ///< path -> what it is in the end; before that it is not there
    std::string joined;                           ///< the done-mark
    std::vector<std::string> tables;              ///< first sectors that the card may have, the last one in the end
    std::uint64_t largest_root = root_size();     ///< of the file system in the end, bytes
};

/// What a kernel finds on a card that lost its power.
struct Found {
    std::vector<std::string> damage;  ///< of the file system or the table
    std::string table;
    std::uint64_t file_system = 0;  ///< bytes
    std::optional<std::string> bundle, delivered, journal, joined;
    std::map<std::string, std::string> payloads;  ///< those that are there
};

/// Mounts the card's root, which replays its journal, reads the files, unmounts it and has it checked.
[[nodiscard]] Found look_at(const fs::path& card, const Promise& promise);
/// The sector with the card's partition table.
[[nodiscard]] std::string first_sector(const fs::path& card);
/// Size of the file system in the card's root partition, bytes.
[[nodiscard]] std::uint64_t file_system_size(const fs::path& card);
/// The same of a mounted root; knows nothing of the table.
void read_node(const fs::path& root, const Promise& promise, Found& found);

/// What breaks the promise, for people; empty if nothing does.
[[nodiscard]] std::vector<std::string> broken(const Promise& promise, const Found& found);

/// What is missing of the end: the promise with everything done. A root that is no card has no table.
[[nodiscard]] std::vector<std::string> unfinished(const Promise& promise, const Found& found);

/// A file's content, nothing if there is none. Throws Error if it cannot be read.
[[nodiscard]] std::optional<std::string> content_of(const fs::path& file);

/// Writes a file and the folders above it.
void put(const fs::path& file, const std::string& content, mode_t mode = 0644);
/// Letters that look like nothing else, and are the same in every run.
[[nodiscard]] std::string filler(std::size_t size, unsigned seed);

/// Where a partition lies, as the card's own table says; bytes.
struct Place {
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
};
[[nodiscard]] Place place_of(const std::string& table, int partition);

}  // namespace makina::crash
