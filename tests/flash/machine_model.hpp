#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "tests/unit/scratch.hpp"

namespace makina::flashing {

/// A block device as sysfs shows it.
struct DiskModel {
    std::string name = "sdb";
    std::string number = "8:16";
    /// Below /sys/devices, without "/block/NAME": "pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/host6/target6:0:0/6:0:0:0".
    std::string bus;
    std::uint64_t size = std::uint64_t{32} * 1000 * 1000 * 1000 / 512 * 512;
    bool removable = false, read_only = false;
    std::string type;  ///< device/type
    std::string model = "STORAGE DEVICE";
    std::string serial = "000000000819";
    std::string usb;       ///< the folder of the USB device below /sys/devices, if it is one
    std::string file;      ///< what a loop device shows
    bool sequence = true;  ///< the kernel counts what is in the reader
    bool by_id = true;     ///< udev has given it a name in /dev/disk/by-id
    int partitions = 2;
};

/// A disk at the machine's own controller: no card.
[[nodiscard]] DiskModel disk_inside();

/// /sys, /proc, /run/udev and /dev/disk of a machine, in a folder of its own.
class MachineModel {
  public:
    [[nodiscard]] const std::filesystem::path& root() const { return scratch_.path(); }
    void add(const DiskModel& disk);
    void mount(const std::string& number, const std::string& where, const std::string& source);
    /// A mount that only another process sees.
    void mount_elsewhere(const std::string& number, const std::string& where);
    void swap_to(const std::string& device);
    /// `name` (a disk or a partition of it) is held by another device.
    void hold(const DiskModel& disk, const std::string& name, const std::string& holder);
    void btrfs(const std::string& name);
    void loop_over(const std::string& path);
    /// A plain file of this machine.
    void file(const std::string& path);
    void udev(const std::string& number, const std::string& key, const std::string& value);
    /// udev has given it this name below /dev too.
    void udev_link(const std::string& number, const std::string& name);
    /// Writes what was mounted and swapped to.
    void finish();

    static std::string part_name(const DiskModel& disk, int number);
    static std::string part_number(const DiskModel& disk, int number);

  private:
    Scratch scratch_;
    std::string mounts_ = "25 1 0:5 / /proc rw - proc proc rw\n";
    std::string elsewhere_ = mounts_;
    std::string swaps_ = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
    std::map<std::string, std::string> udev_;
};

}  // namespace makina::flashing
