#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "firstboot/host.hpp"
#include "firstboot/machine/files.hpp"

namespace makina {

/// Finds bundles that are handed over: on the boot partition, and with `sticks` on USB sticks with a FAT or exFAT file
/// system, which are mounted for the moment of reading alone: read-only, in a folder that is root's.
class Deliveries {
  public:
    Deliveries(const Files& files, bool sticks) : files_(files), sticks_(sticks) {}
    [[nodiscard]] std::vector<Delivery> all();
    void wipe(const Delivery& delivery);

  private:
    /// A stick is read once for each time it is plugged in: reading it again every minute wears it for nothing.
    struct Seen {
        std::uint64_t plugged = 0;  ///< the kernel's sequence number of the disk
        std::optional<Delivery> delivery;
    };
    const Files& files_;
    bool sticks_;
    std::map<std::string, Seen> seen_;
};

/// The delivery in an open folder; nothing if there is none. `place` is how it is called. A file that is too large, no
/// regular one or not readable is a delivery without bytes.
[[nodiscard]] std::optional<Delivery> delivery_in(int folder, const std::string& place);

/// A partition on a USB stick.
struct Stick {
    std::string name;           ///< "sda1"
    std::uint64_t plugged = 0;  ///< 0 if the kernel has no sequence numbers (before 5.15)
};
/// The partitions of removable USB disks that `sysfs` (usually /sys) tells of, at most eight.
[[nodiscard]] std::vector<Stick> usb_sticks(const std::string& sysfs);

}  // namespace makina
