#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace makina {

/// A network card of an emulated machine.
struct NetworkCard {
    std::string mac;  ///< empty for any
    /// The datagram socket that its frames go through, each a packet; -1: it leads to a router of QEMU's own.
    int socket = -1;
    bool internet = false;  ///< that router leads to what this computer reaches; else it only gives an address
};

/// An emulated machine to start once.
struct Machine {
    std::filesystem::path image;  ///< its disk, never written: changes go to a file that has no name
    std::uint64_t disk_size = 0;  ///< bytes; what is behind the image's end reads as zeros; 0: the image's own size
    /// If not empty: the image itself is written, and every write and flush is noted in this file, as the kernel's
    /// dm-log-writes does it (Documentation/admin-guide/device-mapper/log-writes.rst).
    std::filesystem::path write_log;
    /// Descriptor of a file that began as overlay_disk and keeps the changes from one run to the next; -1: they are
    /// gone when the machine is.
    int changes = -1;
    /// Descriptors of the kernel and of the initrd, -1 for none, as files that QEMU can read.
    int kernel = -1, initrd = -1;
    std::string arguments;  ///< the kernel command line
    unsigned memory_mib = 2048;
    unsigned processors = 2;
    std::vector<NetworkCard> network_cards;
    /// A stream socket on which QEMU takes commands (docs/interop/qmp-spec.txt of QEMU), -1 for none. The first network
    /// card is called net0.
    int monitor = -1;
    /// A stream socket for the probe's port, on which the guest is told something as well; -1: it only speaks, see
    /// on_line.
    int probe = -1;
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
