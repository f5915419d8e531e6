#include "firstboot/node/partitions.hpp"

#include <algorithm>
#include <array>
#include <optional>

namespace makina {
namespace {

constexpr std::uint64_t mebibyte = 2048;  // in sectors
/// An MBR has 32 bits for a start and for a size (UEFI 2.10, 5.2.1).
constexpr std::uint64_t largest_number = 0xffffffff;
constexpr std::size_t table_offset = 446;
constexpr std::size_t entry_size = 16;
constexpr int entries = 4;
constexpr unsigned char type_gpt = 0xee;
constexpr unsigned char type_linux = 0x83;

struct Entry {
    int number = 0;
    unsigned char type = 0;
    std::uint64_t start = 0;
    std::uint64_t sectors = 0;
};

std::size_t offset_of(int number) {
    return table_offset + static_cast<std::size_t>(number - 1) * entry_size;
}

std::uint64_t number_at(const std::string& sector, std::size_t offset) {
    std::uint64_t number = 0;
    for (std::size_t i = 4; i-- > 0;) number = number << 8 | static_cast<unsigned char>(sector[offset + i]);
    return number;
}

void put_number(std::string& sector, std::size_t offset, std::uint64_t number) {
    for (std::size_t i = 0; i < 4; ++i) sector[offset + i] = static_cast<char>(number >> 8 * i & 0xff);
}

Entry entry_at(const std::string& sector, int number) {
    const std::size_t offset = offset_of(number);
    return {number, static_cast<unsigned char>(sector[offset + 4]), number_at(sector, offset + 8),
            number_at(sector, offset + 12)};
}

void put_spare(std::string& sector, const Place& spare) {
    const std::size_t offset = offset_of(spare.number);
    // Cylinders, heads and sectors are "beyond what can be said": everything reads the 32-bit numbers.
    constexpr std::array<unsigned char, 8> head = {0, 0xfe, 0xff, 0xff, type_linux, 0xfe, 0xff, 0xff};
    for (std::size_t i = 0; i < head.size(); ++i) sector[offset + i] = static_cast<char>(head[i]);
    put_number(sector, offset + 8, spare.start);
    put_number(sector, offset + 12, spare.sectors);
}

std::uint64_t round_down(std::uint64_t sectors) {
    return sectors / mebibyte * mebibyte;
}

std::string in_mebibytes(std::uint64_t sectors) {
    return std::to_string((sectors + mebibyte - 1) / mebibyte) + " MiB";
}

/// Why the table is not one to change; empty if it is.
std::string objection_to(const Disk& disk) {
    const std::string& sector = disk.table;
    if (sector.size() != 512 || sector[510] != '\x55' || static_cast<unsigned char>(sector[511]) != 0xaa) {
        return "there is no partition table that this program knows";
    }
    for (int number = 1; number <= entries; ++number) {
        if (entry_at(sector, number).type == type_gpt) return "its partition table is GPT";
    }
    if (disk.root_partition < 1 || disk.root_partition > entries) return "the root partition is no primary one";
    const Entry root = entry_at(sector, disk.root_partition);
    if (root.type != type_linux || root.start == 0 || root.sectors == 0) {
        return "the root partition is not in the partition table";
    }
    return {};
}

/// Partitions that begin after the root partition, and the first free entry.
struct Around {
    std::vector<Entry> later;
    int free = 0;
};

Around around(const std::string& sector, const Entry& root) {
    Around around;
    for (int number = 1; number <= entries; ++number) {
        const Entry entry = entry_at(sector, number);
        if (entry.type == 0 || entry.sectors == 0) {
            if (around.free == 0 && number > root.number) around.free = number;
        } else if (entry.start > root.start) {
            around.later.push_back(entry);
        }
    }
    return around;
}

}  // namespace

Layout layout_of(const Disk& disk, std::uint64_t spare) {
    Layout layout;
    layout.table = disk.table;
    if (std::string objection = objection_to(disk); !objection.empty()) {
        layout.left = disk.name + " is left as it is: " + objection;
        return layout;
    }
    const Entry root = entry_at(disk.table, disk.root_partition);
    layout.root = {root.number, root.start, root.sectors};
    const Around others = around(disk.table, root);
    const std::uint64_t asked = (spare + mebibyte * 512 - 1) / (mebibyte * 512) * mebibyte;
    if (others.later.size() == 1 && asked > 0 && others.later[0].type == type_linux) {
        // Made earlier. It may hold data by now, so it stays where it is.
        layout.spare = {others.later[0].number, others.later[0].start, others.later[0].sectors};
        return layout;
    }
    if (!others.later.empty()) {
        layout.left = disk.name + " is left as it is: the root partition is not the last one";
        return layout;
    }
    const std::uint64_t end = std::min(disk.sectors, largest_number);
    const std::uint64_t room = end > root.start ? end - root.start : 0;
    if (asked > 0 && room < root.sectors + asked) {
        layout.wants = "a card of " + in_mebibytes(root.start + root.sectors + asked) + ", " + in_mebibytes(asked) +
                       " of it to spare: " + disk.name + " has " + in_mebibytes(disk.sectors);
        return layout;
    }
    if (asked > 0 && others.free == 0) {
        layout.left = disk.name + " is left as it is: there is no free entry for the spare partition";
        return layout;
    }
    layout.root.sectors = std::max(root.sectors, room < asked ? 0 : round_down(room - asked));
    put_number(layout.table, offset_of(root.number) + 12, layout.root.sectors);
    if (asked > 0) {
        const std::uint64_t start = root.start + layout.root.sectors;
        layout.spare = {others.free, start, round_down(end - start)};
        put_spare(layout.table, layout.spare);
    }
    return layout;
}

}  // namespace makina
