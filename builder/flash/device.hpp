#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "builder/flash/backing.hpp"
#include "builder/flash/medium.hpp"

namespace makina {

/// How a block device is connected, as far as it decides whether it can be a card.
enum class Bus { other, usb, mmc, loop };

/// What the kernel tells of a block device: /sys (Documentation/ABI/stable/sysfs-block), /proc/PID/mountinfo
/// (proc(5)), /proc/swaps; and what udev has noted in /run/udev/data.
struct DeviceFacts {
    /// A partition of it, or itself if a file system has all of it.
    struct Part {
        std::string name;         ///< "sdb1"
        std::uint64_t size = 0;   ///< bytes
        std::string file_system;  ///< as udev calls it: "vfat", "LVM2_member"; empty if it does not say
        std::string label;
    };
    std::string name;    ///< "sdb"
    std::string number;  ///< "8:16"
    Bus bus = Bus::other;
    bool is_partition = false;
    bool read_only = false;
    bool removable = false;                 ///< the medium is
    bool zeroes = false;                    ///< it makes ranges zero by itself
    std::uint64_t size = 0;                 ///< bytes; 0 without a medium
    std::optional<std::uint64_t> sequence;  ///< Medium::sequence; none before Linux 5.15
    std::string type;                       ///< device/type: "SD", "MMC"; SCSI's peripheral type, "0" for disks
    std::string model, serial;
    std::optional<unsigned> slot;    ///< counts from 1, in a USB reader that has several; they share its serial number
    std::optional<Backing> backing;  ///< of a loop device
    /// Names in /dev/disk/by-id, less those that another device has as well: which of both has it is left to chance.
    std::vector<std::string> ids;
    std::vector<std::string> uses;  ///< whatever has it open: "sdb1 is mounted on /media/card"
    std::vector<Part> parts;
};

/// Reads it all for a device number "8:16"; `root` is another / in tests. Throws Error if the kernel knows no such
/// device or does not tell what decides.
[[nodiscard]] DeviceFacts read_device(const std::string& number, const std::filesystem::path& root = "/");
/// Of every whole block device, by name; those that cannot be read are left out.
[[nodiscard]] std::vector<DeviceFacts> list_devices(const std::filesystem::path& root = "/");

/// No card is larger, for the moment; disks are. 512 GB and what makers round up.
inline constexpr std::uint64_t largest_card = std::uint64_t{550} * 1000 * 1000 * 1000;

/// Why this device may not be written: it is no card, or it is in use, or too small for `image_size` bytes. Nothing if
/// it may. `allow_large` is for cards above largest_card; nothing allows the rest.
[[nodiscard]] std::optional<std::string> refusal(const DeviceFacts& facts, std::uint64_t image_size, bool allow_large);

/// What a person types to confirm: the last four characters of the serial number, or the name if there is none.
[[nodiscard]] std::string confirmation_of(const DeviceFacts& facts);

/// The device number of a path, links followed; none if it is no block device or does not exist.
[[nodiscard]] std::optional<std::string> device_number(const std::filesystem::path& path);

/// Opens a device that was chosen (O_EXCL, and nothing else will do), reads its facts again by its descriptor, and
/// refuses it if they allow it no longer, if it is not the card that was chosen, or if it shows one of `sources`.
/// Throws Error.
[[nodiscard]] std::shared_ptr<Medium> open_card(const DeviceFacts& chosen, std::uint64_t image_size, bool allow_large,
                                                const std::vector<std::filesystem::path>& sources = {});

/// Refuses a file that must not be overwritten: one that a loop device shows, or that is swapped to. Throws Error.
void require_free_file(const std::filesystem::path& file, const std::filesystem::path& root = "/");

/// Why a target may not be written while `sources` are read: it is one of these files, by whatever name. Of a device
/// `target` is what it shows. A device on whose file system one of them lies is in use, and refused for that.
[[nodiscard]] std::optional<std::string> overlap(const std::string& name, const std::optional<FileId>& target,
                                                 const std::vector<std::filesystem::path>& sources);

}  // namespace makina
