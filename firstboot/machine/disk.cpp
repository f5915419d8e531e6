#include "firstboot/machine/disk.hpp"

#include <fcntl.h>
#include <linux/blkpg.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>

#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/handle.hpp"
#include "firstboot/machine/ext4.hpp"

namespace makina {
namespace {

constexpr std::uint64_t sector = 512;
// fs/ext4/ext4.h; older headers do not export it.
constexpr unsigned long resize_ext4 = _IOW('f', 16, __u64);

std::uint64_t number_in(const std::filesystem::path& file) {
    std::ifstream stream(file);
    std::uint64_t number = 0;
    if (!(stream >> number)) throw Error("reading " + file.string());
    return number;
}

/// The partition that a folder's file system is on, as sysfs has it.
struct Partition {
    std::filesystem::path folder;  ///< /sys/devices/.../mmcblk0/mmcblk0p2
    [[nodiscard]] std::string name() const { return folder.filename(); }
    [[nodiscard]] std::string disk() const { return folder.parent_path().filename(); }
};

struct stat facts_of(int root) {
    struct stat facts {};
    if (fstat(root, &facts) != 0) throw_system("asking for the root file system");
    return facts;
}

std::filesystem::path in_sysfs(dev_t device) {
    return "/sys/dev/block/" + std::to_string(major(device)) + ":" + std::to_string(minor(device));
}

Partition partition_of(int root) {
    std::error_code failed;
    const auto folder = std::filesystem::canonical(in_sysfs(facts_of(root).st_dev), failed);
    if (failed || !std::filesystem::exists(folder / "partition", failed)) {
        throw Error("the root file system is on no partition of a disk");
    }
    return {folder};
}

/// A node below /dev; sysfs writes "!" for the "/" in a name.
Descriptor open_device(std::string name, int flags) {
    std::replace(name.begin(), name.end(), '!', '/');
    Descriptor device(open(("/dev/" + name).c_str(), flags | O_CLOEXEC));
    if (!device) throw_system("opening /dev/" + name);
    return device;
}

std::string read_at(const Descriptor& device, off_t offset, std::size_t size, const std::string& name) {
    std::string bytes(size, '\0');
    const ssize_t count = pread(device.get(), bytes.data(), size, offset);
    if (count < 0) throw_system("reading /dev/" + name);
    if (static_cast<std::size_t>(count) != size) throw Error("reading /dev/" + name + ": it ends early");
    return bytes;
}

Ext4Size file_system_of(const Partition& partition) {
    // Through the partition's own node: the mounted file system keeps its superblock in that node's page cache.
    return ext4_size(read_at(open_device(partition.name(), O_RDONLY), 1024, 1024, partition.name()));
}

int change_partition(const Descriptor& disk, int operation, int number, std::uint64_t start, std::uint64_t sectors) {
    blkpg_partition where{};
    where.pno = number;
    const std::uint64_t first_byte = start * sector;
    const std::uint64_t bytes = sectors * sector;
    where.start = static_cast<long long>(first_byte);
    where.length = static_cast<long long>(bytes);
    blkpg_ioctl_arg argument{operation, 0, sizeof where, &where};
    return ioctl(disk.get(), BLKPG, &argument);
}

}  // namespace

bool is_card(int root) {
    struct stat above {};
    const struct stat facts = facts_of(root);
    const bool is_root = fstatat(root, "..", &above, 0) == 0 && above.st_ino == facts.st_ino;
    std::error_code none;
    return (above.st_dev != facts.st_dev || is_root) &&
           std::filesystem::exists(in_sysfs(facts.st_dev) / "partition", none);
}

Disk grown_disk(int root) {
    struct statvfs room {};
    if (fstatvfs(root, &room) != 0) throw_system("asking for the room of the root folder");
    constexpr std::uint64_t start = 2048;
    Disk disk;
    disk.name = "folder";
    disk.root_partition = 1;
    // In whole mebibytes, as partitions are.
    disk.root_sectors = std::max<std::uint64_t>(room.f_blocks * room.f_frsize / sector / 2048, 1) * 2048;
    disk.file_system_sectors = disk.root_sectors;
    disk.sectors = start + disk.root_sectors;
    disk.partitions = {1};
    disk.table.assign(512, '\0');
    const auto put = [&](std::size_t at, std::uint64_t value) {
        for (std::size_t byte = 0; byte < 4; ++byte) disk.table[at + byte] = static_cast<char>(value >> (8 * byte));
    };
    disk.table[446 + 4] = static_cast<char>(0x83);
    put(446 + 8, start);
    put(446 + 12, std::min<std::uint64_t>(disk.root_sectors, 0xFFFFFFFF));
    disk.table[510] = static_cast<char>(0x55);
    disk.table[511] = static_cast<char>(0xAA);
    return disk;
}

Disk disk_of(int root) {
    const Partition partition = partition_of(root);
    Disk disk;
    disk.name = partition.disk();
    disk.sectors = number_in(partition.folder.parent_path() / "size");
    disk.table = read_at(open_device(disk.name, O_RDONLY), 0, sector, disk.name);
    disk.root_partition = static_cast<int>(number_in(partition.folder / "partition"));
    disk.root_sectors = number_in(partition.folder / "size");
    const Ext4Size size = file_system_of(partition);
    const bool full = grown_blocks(size, disk.root_sectors * sector) == size.blocks;
    disk.file_system_sectors = full ? disk.root_sectors : size.blocks * (size.block_size / sector);
    for (const auto& entry : std::filesystem::directory_iterator(partition.folder.parent_path())) {
        if (!std::filesystem::exists(entry.path() / "partition")) continue;
        disk.partitions.push_back(static_cast<int>(number_in(entry.path() / "partition")));
    }
    std::sort(disk.partitions.begin(), disk.partitions.end());
    return disk;
}

void write_table(int root, const std::string& bytes) {
    if (bytes.size() != sector) throw Error("a partition table is one sector of 512 bytes");
    const std::string name = partition_of(root).disk();
    const Descriptor device = open_device(name, O_WRONLY);
    const ssize_t count = pwrite(device.get(), bytes.data(), bytes.size(), 0);
    if (count != static_cast<ssize_t>(bytes.size()) || fsync(device.get()) != 0) {
        throw_system("writing the partition table of /dev/" + name);
    }
}

void tell_partition(int root, int number, std::uint64_t start, std::uint64_t sectors) {
    const std::string name = partition_of(root).disk();
    const Descriptor device = open_device(name, O_RDONLY);
    if (change_partition(device, BLKPG_RESIZE_PARTITION, number, start, sectors) == 0) return;
    if (errno == ENXIO && change_partition(device, BLKPG_ADD_PARTITION, number, start, sectors) == 0) return;
    throw_system("telling the kernel of partition " + std::to_string(number) + " of /dev/" + name);
}

void grow_file_system(int root) {
    const Partition partition = partition_of(root);
    const Ext4Size size = file_system_of(partition);
    const __u64 wanted = grown_blocks(size, number_in(partition.folder / "size") * sector);
    if (wanted == size.blocks) return;
    if (ioctl(root, resize_ext4, &wanted) != 0) throw_system("growing the root file system");
    if (syncfs(root) != 0) throw_system("syncing the root file system");
}

}  // namespace makina
