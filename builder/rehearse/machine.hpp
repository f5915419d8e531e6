#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace makina {

/// An emulated machine to start once.
struct Machine {
    std::filesystem::path image;  ///< its disk, never written: changes go to a file that has no name
    std::uint64_t disk_size = 0;  ///< bytes; what is behind the image's end reads as zeros; 0: the image's own size
    /// If not empty: the image itself is written, and every write and flush is noted in this file, as the kernel's
    /// dm-log-writes does it (Documentation/admin-guide/device-mapper/log-writes.rst).
    std::filesystem::path write_log;
    std::string_view kernel;  ///< bytes
    std::string_view initrd;  ///< bytes, may be empty
    std::string arguments;    ///< the kernel command line
    unsigned memory_mib = 2048;
    std::vector<std::string> network_cards;            ///< MAC addresses, empty for any
    std::function<void(std::string_view)> on_console;  ///< bytes of the serial console
    std::function<void(const std::string&)> on_line;   ///< lines of the probe's port and QEMU's own words
    std::function<void()> on_tick;                     ///< about once a second; may throw to end it
    /// Images of USB sticks that are plugged in; they are written.
    std::vector<std::filesystem::path> sticks;
};

/// Runs the machine until it stops. An exception from one of the functions ends it and passes on. No file is left
/// behind however this ends, and the machine does not outlive us. Throws Error if QEMU is missing or refuses.
void run_machine(const Machine& machine);

}  // namespace makina
