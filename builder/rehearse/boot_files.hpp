#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "builder/card/card.hpp"

namespace makina {

/// What a boot loader would hand to the kernel, read out of an image.
struct BootFiles {
    std::string kernel_path, initrd_path;  ///< as the node knows them; no initrd leaves it empty
    std::string kernel, initrd;            ///< the bytes
    std::string arguments;                 ///< the kernel command line as the image has it, one line
};

/// Reads the files that config.txt names, or for an image without a config.txt the newest kernel in /boot. Throws Error
/// with the name of the first file that a Raspberry Pi would miss.
[[nodiscard]] BootFiles read_boot_files(const Card& card);

/// Throws Error if the kernel is not for arm64.
void require_arm64(const BootFiles& files);

/// The names that a Raspberry Pi 4 takes from a config.txt (sections for other boards are passed over).
struct BootConfig {
    std::string kernel = "kernel8.img";  ///< relative to os_prefix, as are the next two
    std::string initramfs;
    std::string cmdline = "cmdline.txt";
    std::string prefix;
};
[[nodiscard]] BootConfig parse_boot_config(std::string_view text);

/// The image's kernel arguments made fit for the emulator: its serial console, no `quiet`, a panic ends the machine,
/// and a root that is named as an SD card is named by its PARTUUID.
[[nodiscard]] std::string adapt_arguments(const std::string& arguments, const PartitionTable& table);

}  // namespace makina
