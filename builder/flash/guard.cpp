#include <algorithm>

#include "builder/flash/device.hpp"

namespace makina {
namespace {

bool ends(const std::string& text, const std::string& with) {
    return text.size() >= with.size() && text.compare(text.size() - with.size(), with.size(), with) == 0;
}

/// Why the device is no card; nothing if it is one.
std::optional<std::string> other_kind(const DeviceFacts& facts) {
    const std::string path = "/dev/" + facts.name;
    switch (facts.bus) {
        case Bus::loop:
            if (facts.size == 0 || (facts.backing && facts.backing->file)) return std::nullopt;
            return path + " shows " + (facts.backing ? facts.backing->path : "nothing that the kernel tells") +
                   ", which is no plain file: disks of this machine are never written, under no name";
        case Bus::mmc:
            // boot and RPMB areas of an eMMC have names of their own.
            if (facts.type == "SD" && facts.name.rfind("mmcblk", 0) == 0 &&
                facts.name.find_first_not_of("0123456789", 6) == std::string::npos)
                return std::nullopt;
            return path + " is memory that is soldered in (" + (facts.type.empty() ? "no SD card" : facts.type) +
                   "), no card";
        case Bus::usb:
            if (facts.type != "0" || facts.name.rfind("sd", 0) != 0) return path + " is no disk but another USB device";
            if (facts.removable) return std::nullopt;
            return path + " is a USB disk, no card reader: its medium cannot be taken out";
        case Bus::other:
            break;
    }
    return path + " is neither an SD card nor in a USB reader: disks of this machine are never written";
}

/// A disk of a volume group, a RAID or a pool, even if that is not started.
std::optional<std::string> membership(const DeviceFacts& facts) {
    for (const DeviceFacts::Part& part : facts.parts) {
        if (ends(part.file_system, "_member")) {
            return "/dev/" + part.name + " belongs to a group of disks (" + part.file_system +
                   "): if it is of no use any more, wipefs -a it first";
        }
    }
    return std::nullopt;
}

}  // namespace

std::optional<std::string> refusal(const DeviceFacts& facts, std::uint64_t image_size, bool allow_large) {
    const std::string path = "/dev/" + facts.name;
    if (facts.is_partition) return path + " is a partition: name the whole card";
    if (auto reason = other_kind(facts)) return reason;
    if (facts.size == 0) return path + " has no card in it";
    if (!facts.uses.empty()) {
        std::string all;
        for (const std::string& use : facts.uses) all += (all.empty() ? "" : ", ") + use;
        return path + " is in use: " + all + "; if it is the card that you mean, unmount it first";
    }
    if (auto reason = membership(facts)) return reason;
    if (!facts.sequence) {
        return path +
               ": this kernel does not count the media in a reader (diskseq, since Linux 5.15), so that a card that "
               "was "
               "changed for another would be overwritten: use a machine with a newer kernel";
    }
    if (facts.read_only) return path + " is read-only: look at the card's slider";
    if (facts.size < image_size) {
        return path + " is too small: it has " + std::to_string(facts.size) + " bytes, the image " +
               std::to_string(image_size);
    }
    if (facts.size > largest_card && !allow_large) {
        return path + " has " + std::to_string(facts.size / 1000000000) +
               " GB, which is more than cards have: if it is a card, say --allow-large";
    }
    return std::nullopt;
}

std::string confirmation_of(const DeviceFacts& facts) {
    if (facts.serial.size() < 4) return facts.name;
    return facts.serial.substr(facts.serial.size() - 4);
}

}  // namespace makina
