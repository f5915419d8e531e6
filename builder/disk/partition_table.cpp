#include <libfdisk/libfdisk.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>

#include "builder/disk/disk.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

constexpr std::uint64_t sector = 512;

using Context = Handle<fdisk_context, fdisk_unref_context>;
using Entry = Handle<fdisk_partition, fdisk_unref_partition>;
using Table = Handle<fdisk_table, fdisk_unref_table>;
using Type = Handle<fdisk_parttype, fdisk_unref_parttype>;

/// libfdisk gives a negative errno.
void require(int code, const std::string& what) {
    if (code < 0) throw Error(what + ": " + system_message(-code));
}

/// A number with leading zeros.
std::string padded(std::uint32_t number, int base, std::size_t width) {
    std::array<char, 16> text{};
    const auto end = std::to_chars(text.data(), text.data() + text.size(), number, base).ptr;
    const std::string digits(text.data(), end);
    return std::string(width - std::min(width, digits.size()), '0') + digits;
}

Context open_table(const std::filesystem::path& image, bool read_only) {
    const bool can_be = std::filesystem::is_regular_file(image) || (read_only && std::filesystem::is_block_file(image));
    if (!can_be) throw Error(image.string() + ": no such image file");
    Context context(fdisk_new_context());
    if (context == nullptr) throw Error("out of memory");
    fdisk_disable_dialogs(context.get(), 1);
    require(fdisk_assign_device(context.get(), image.c_str(), read_only ? 1 : 0), "opening " + image.string());
    return context;
}

Partition read_entry(const std::filesystem::path& image, fdisk_partition* entry, std::uint64_t image_size) {
    Partition partition;
    partition.number = static_cast<int>(fdisk_partition_get_partno(entry)) + 1;
    partition.offset = fdisk_partition_get_start(entry) * sector;
    partition.size = fdisk_partition_get_size(entry) * sector;
    if (fdisk_parttype* const type = fdisk_partition_get_type(entry); type != nullptr) {
        partition.type = static_cast<std::uint8_t>(fdisk_parttype_get_code(type));
    }
    if (partition.offset > image_size || partition.size > image_size - partition.offset) {
        throw Error(image.string() + ": partition " + std::to_string(partition.number) +
                    " reaches behind the end of the file: the image is truncated, fetch it again");
    }
    return partition;
}

}  // namespace

const Partition* PartitionTable::find(int number) const {
    for (const Partition& partition : partitions) {
        if (partition.number == number) return &partition;
    }
    return nullptr;
}

PartitionTable read_partition_table(const std::filesystem::path& image) {
    const Context context = open_table(image, true);
    if (fdisk_has_label(context.get()) == 0 || fdisk_is_label(context.get(), DOS) == 0) {
        throw Error(image.string() +
                    ": no MBR partition table: this is not an image for a Raspberry Pi, or it is damaged");
    }
    PartitionTable table;
    char* id = nullptr;
    if (fdisk_get_disklabel_id(context.get(), &id) == 0 && id != nullptr) {
        const Handle<char, free> owned(id);
        table.disk_id = static_cast<std::uint32_t>(std::stoul(id, nullptr, 16));
    }
    fdisk_table* raw = nullptr;
    require(fdisk_get_partitions(context.get(), &raw), "reading the partition table of " + image.string());
    const Table entries(raw);
    const std::uint64_t size = PatchedImage(image).size();
    for (std::size_t i = 0; i < fdisk_table_get_nents(entries.get()); ++i) {
        fdisk_partition* const entry = fdisk_table_get_partition(entries.get(), i);
        if (entry != nullptr && fdisk_partition_is_container(entry) == 0) {
            table.partitions.push_back(read_entry(image, entry, size));
        }
    }
    return table;
}

void write_partition_table(const std::filesystem::path& image, const PartitionTable& table) {
    const Context context = open_table(image, false);
    require(fdisk_create_disklabel(context.get(), "dos"), "making a partition table");
    const std::string id = "0x" + padded(table.disk_id, 16, 8);
    require(fdisk_set_disklabel_id_from_string(context.get(), id.c_str()), "setting the disk id");
    for (const Partition& partition : table.partitions) {
        const Entry entry(fdisk_new_partition());
        const Type type(fdisk_label_get_parttype_from_code(fdisk_get_label(context.get(), "dos"), partition.type));
        if (entry == nullptr || type == nullptr) throw Error("out of memory");
        fdisk_partition_set_partno(entry.get(), static_cast<std::size_t>(partition.number - 1));
        fdisk_partition_set_start(entry.get(), partition.offset / sector);
        fdisk_partition_set_size(entry.get(), partition.size / sector);
        fdisk_partition_set_type(entry.get(), type.get());
        require(fdisk_add_partition(context.get(), entry.get(), nullptr),
                "adding partition " + std::to_string(partition.number));
    }
    require(fdisk_write_disklabel(context.get()), "writing the partition table of " + image.string());
    require(fdisk_deassign_device(context.get(), 0), "closing " + image.string());
}

std::string partuuid(const PartitionTable& table, int number) {
    return padded(table.disk_id, 16, 8) + "-" + padded(static_cast<std::uint32_t>(number), 10, 2);
}

}  // namespace makina
