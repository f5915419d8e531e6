#include "tests/flash/machine_model.hpp"

#include <cctype>

namespace makina::flashing {

namespace fs = std::filesystem;

DiskModel disk_inside() {
    DiskModel disk;
    disk.name = "sda";
    disk.number = "8:0";
    disk.bus = "pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0";
    disk.type = "0";
    return disk;
}

std::string MachineModel::part_name(const DiskModel& disk, int number) {
    const bool digit = std::isdigit(static_cast<unsigned char>(disk.name.back())) != 0;
    return disk.name + (digit ? "p" : "") + std::to_string(number);
}

std::string MachineModel::part_number(const DiskModel& disk, int number) {
    const std::size_t colon = disk.number.find(':');
    return disk.number.substr(0, colon + 1) + std::to_string(std::stoi(disk.number.substr(colon + 1)) + number);
}

void MachineModel::add(const DiskModel& disk) {
    const std::string folder = "sys/devices/" + disk.bus + "/block/" + disk.name;
    const auto put = [&](const std::string& name, const std::string& text) {
        scratch_.write(folder + "/" + name, text + "\n");
    };
    put("dev", disk.number);
    put("size", std::to_string(disk.size / 512));
    put("ro", disk.read_only ? "1" : "0");
    put("removable", disk.removable ? "1" : "0");
    if (disk.sequence) put("diskseq", "9");
    if (!disk.file.empty()) put("loop/backing_file", disk.file);
    put("queue/write_zeroes_max_bytes", "0");
    const bool is_virtual = disk.bus.rfind("virtual", 0) == 0;
    if (!is_virtual) {
        put("device/type", disk.type);
        put("device/model", disk.model);
        put("device/vendor", "Generic");
        if (disk.usb.empty() || disk.type == "SD") put("device/serial", disk.serial);
    }
    if (!disk.usb.empty()) {
        scratch_.write("sys/devices/" + disk.usb + "/idVendor", "05e3\n");
        scratch_.write("sys/devices/" + disk.usb + "/serial",
                       (disk.type == "SD" ? "20100201396000000" : disk.serial) + "\n");
    }
    fs::create_directories(root() / folder / "holders");
    fs::create_directories(root() / "sys/dev/block");
    fs::create_directories(root() / "sys/block");
    fs::create_directory_symlink("../../devices/" + disk.bus + "/block/" + disk.name,
                                 root() / "sys/dev/block" / disk.number);
    fs::create_directory_symlink("../devices/" + disk.bus + "/block/" + disk.name, root() / "sys/block" / disk.name);
    for (int i = 1; i <= disk.partitions; ++i) {
        const std::string part = part_name(disk, i);
        put(part + "/partition", std::to_string(i));
        put(part + "/dev", part_number(disk, i));
        put(part + "/size", std::to_string(disk.size / 512 / static_cast<unsigned>(disk.partitions + 1)));
        put(part + "/ro", "0");
        fs::create_directories(root() / folder / part / "holders");
        fs::create_directory_symlink("../../devices/" + disk.bus + "/block/" + disk.name + "/" + part,
                                     root() / "sys/dev/block" / part_number(disk, i));
    }
    fs::create_directories(root() / "dev/disk/by-id");
    if (disk.by_id) fs::create_symlink("../../" + disk.name, root() / "dev/disk/by-id" / ("id-" + disk.name));
}

void MachineModel::mount(const std::string& number, const std::string& where, const std::string& source) {
    mounts_ += "30 1 " + number + " / " + where + " rw,relatime shared:1 - ext4 " + source + " rw\n";
}

void MachineModel::mount_elsewhere(const std::string& number, const std::string& where) {
    elsewhere_ += "31 1 " + number + " / " + where + " rw - ext4 none rw\n";
}

void MachineModel::swap_to(const std::string& device) {
    swaps_ += device + "                               partition\t8388604\t\t0\t\t-2\n";
}

void MachineModel::hold(const DiskModel& disk, const std::string& name, const std::string& holder) {
    const std::string folder =
        "sys/devices/" + disk.bus + "/block/" + disk.name + (name == disk.name ? "" : "/" + name);
    scratch_.write(folder + "/holders/" + holder + "/dev", "253:0\n");
}

void MachineModel::btrfs(const std::string& name) {
    scratch_.write("sys/fs/btrfs/0d1e/devices/" + name + "/dev", "8:1\n");
}

void MachineModel::loop_over(const std::string& path) {
    DiskModel loop;
    loop.name = "loop3";
    loop.number = "7:3";
    loop.bus = "virtual";
    loop.partitions = 0;
    loop.file = path;
    add(loop);
}

void MachineModel::file(const std::string& path) {
    scratch_.write(path.substr(1), "x");
}

void MachineModel::udev(const std::string& number, const std::string& key, const std::string& value) {
    udev_[number] += "E:" + key + "=" + value + "\n";
}

void MachineModel::udev_link(const std::string& number, const std::string& name) {
    udev_[number] += "S:" + name + "\n";
}

void MachineModel::finish() {
    scratch_.write("proc/self/mountinfo", mounts_);
    fs::create_directories(root() / "proc/self/ns");
    fs::create_symlink("mnt:[4026531841]", root() / "proc/self/ns/mnt");
    scratch_.write("proc/77/mountinfo", elsewhere_);
    fs::create_directories(root() / "proc/77/ns");
    fs::create_symlink("mnt:[4026532000]", root() / "proc/77/ns/mnt");
    scratch_.write("proc/swaps", swaps_);
    for (const auto& [number, text] : udev_) scratch_.write("run/udev/data/b" + number, "S:disk\nI:1\n" + text);
}

}  // namespace makina::flashing
