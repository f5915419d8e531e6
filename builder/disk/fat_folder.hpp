#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace makina {

/// A file or folder as a folder of a FAT file system names it (Microsoft, "FAT: General Overview of On-Disk Format",
/// 1.03: directory entries and long names). An entry takes one slot, and one more for each 13 letters of a long name.
struct FatEntry {
    static constexpr std::size_t slot = 32;  ///< bytes
    static constexpr std::uint8_t is_folder = 0x10;
    static constexpr std::uint8_t is_changed = 0x20;  ///< "archive": what every new file has

    std::string name;        ///< for people, UTF-8
    std::string short_name;  ///< the 11 bytes of the slot
    std::uint8_t attributes = 0;
    std::uint8_t letter_case = 0;  ///< Windows NT's: the short name (8) or its ending (16) is in small letters
    std::uint32_t cluster = 0;     ///< its first; 0 for an empty file
    std::uint32_t size = 0;        ///< bytes; 0 for a folder
    std::size_t at = 0;            ///< byte in the folder where its first slot is
    std::size_t slots = 0;

    [[nodiscard]] bool folder() const { return (attributes & is_folder) != 0; }
};

/// What a folder's bytes name, without "." and "..", removed entries and the label.
[[nodiscard]] std::vector<FatEntry> entries_of(std::string_view folder);
/// The label that a root folder's bytes hold; empty if there is none.
[[nodiscard]] std::string label_of(std::string_view root);
/// The entry with this name, as a long or a short one; FAT does not tell a from A.
[[nodiscard]] std::optional<FatEntry> find_entry(std::string_view folder, std::string_view name);

/// True if FAT can have it as a name of a file.
[[nodiscard]] bool is_fat_name(std::string_view name);
/// Slots that a new entry of this name takes.
[[nodiscard]] std::size_t slots_for(const std::string& name);
/// Where so many free slots in a row begin, which may be at the end of the folder or reach behind it.
[[nodiscard]] std::size_t find_room(std::string_view folder, std::size_t slots);
/// The slots of a new entry, whose short name is one that nothing in the folder has. `mtime` in seconds since 1970.
[[nodiscard]] std::string make_slots(std::string_view folder, const FatEntry& entry, std::int64_t mtime);
/// The last slot of an entry, which says all but the long name; also for the names "." and "..", written as 11 bytes.
[[nodiscard]] std::string make_slot(const FatEntry& entry, std::int64_t mtime);

}  // namespace makina
