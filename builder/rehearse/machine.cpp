#include "builder/rehearse/machine.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>

#include "builder/disk/temporary.hpp"
#include "builder/process.hpp"
#include "builder/rehearse/overlay_disk.hpp"
#include "builder/rehearse/probe.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/handle.hpp"

namespace makina {
namespace {

/// A file in memory that a child inherits: nothing to clean up, however we end.
class MemoryFile {
  public:
    explicit MemoryFile(std::initializer_list<std::string_view> parts) : file_(memfd_create("makina-rehearse", 0)) {
        if (!file_) throw_system("making a file in memory");
        for (std::string_view part : parts) {
            while (!part.empty()) {
                const ssize_t count = write(file_.get(), part.data(), part.size());
                if (count < 0 && errno == EINTR) continue;
                if (count <= 0) throw_system("filling a file in memory");
                part.remove_prefix(static_cast<std::size_t>(count));
            }
        }
    }
    [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(file_.get()); }

  private:
    Descriptor file_;
};

/// A value of a QEMU option, where a comma would begin the next key.
std::string option_value(const std::string& text) {
    std::string value;
    for (const char letter : text) value += letter == ',' ? std::string(",,") : std::string(1, letter);
    return value;
}

/// Sticks, as a person would plug them in.
std::vector<std::string> stick_arguments(const Machine& machine) {
    if (machine.sticks.empty()) return {};
    std::vector<std::string> arguments = {"-device", "qemu-xhci"};
    for (std::size_t i = 0; i < machine.sticks.size(); ++i) {
        const std::string id = "stick" + std::to_string(i);
        const std::string image = option_value(std::filesystem::absolute(machine.sticks[i]).string());
        arguments.insert(arguments.end(), {"-drive", "if=none,format=raw,id=" + id + ",file=" + image, "-device",
                                           "usb-storage,removable=on,drive=" + id});
    }
    return arguments;
}

/// The card as a virtio disk. Nothing is flushed to ours: if the power goes here, it goes in the machine as well.
std::vector<std::string> disk_arguments(const Machine& machine, const std::string& changes) {
    const std::string image = option_value(std::filesystem::absolute(machine.image).string());
    if (machine.write_log.empty()) {
        return {"-drive",
                "if=none,id=disk,cache=unsafe,driver=qcow2,file.driver=file,file.filename=" + changes +
                    ",backing.driver=raw,backing.read-only=on,backing.file.driver=file,backing.file.filename=" + image,
                "-device", "virtio-blk-pci,drive=disk"};
    }
    const std::string log = option_value(std::filesystem::absolute(machine.write_log).string());
    // With cache=unsafe flushes would not even be noted. QEMU up to 9.0 notes a write of zeros in two steps, between
    // which others may come.
    return {
        "-drive",
        "if=none,id=disk,cache=writeback,driver=blklogwrites,file.driver=file,file.cache.no-flush=on,file.filename=" +
            image + ",log.driver=file,log.cache.no-flush=on,log.filename=" + log,
        "-device", "virtio-blk-pci,drive=disk,discard=off,write-zeroes=off"};
}

std::vector<std::string> qemu_arguments(const Machine& machine, const std::string& kernel, const std::string& initrd,
                                        const std::string& changes) {
    std::vector<std::string> argv = {"qemu-system-aarch64",
                                     "-M",
                                     "virt",
                                     "-cpu",
                                     "cortex-a72",
                                     "-smp",
                                     "2",
                                     "-m",
                                     std::to_string(machine.memory_mib),
                                     "-nodefaults",
                                     "-no-user-config",
                                     "-display",
                                     "none",
                                     "-monitor",
                                     "none",
                                     "-no-reboot"};
    const auto add = [&](std::initializer_list<std::string> more) { argv.insert(argv.end(), more); };
    // A Raspberry Pi has no clock that runs without power.
    add({"-rtc", "base=1970-01-01T00:00:00"});
    add({"-kernel", kernel, "-append", machine.arguments});
    if (!initrd.empty()) add({"-initrd", initrd});
    const std::vector<std::string> disk = disk_arguments(machine, changes);
    argv.insert(argv.end(), disk.begin(), disk.end());
    const std::vector<std::string> sticks = stick_arguments(machine);
    argv.insert(argv.end(), sticks.begin(), sticks.end());
    add({"-device", "virtio-rng-pci"});
    // Standard output is the console, standard error the probe's port; both are pipes to us.
    add({"-chardev", "file,id=console,path=/dev/stdout", "-serial", "chardev:console"});
    add({"-device", "virtio-serial-pci", "-chardev", "file,id=probe,path=/dev/stderr", "-device",
         std::string("virtserialport,chardev=probe,name=") + probe_port});
    for (std::size_t i = 0; i < machine.network_cards.size(); ++i) {
        const std::string id = "net" + std::to_string(i);
        const std::string& mac = machine.network_cards[i];
        // restrict=on keeps the guest from everything but QEMU's own DHCP, which stands for the home's router. A hub
        // port without a peer would lead nowhere too, but never takes a packet, and Linux complains of a dead card.
        add({"-netdev", "user,restrict=on,ipv6=off,id=" + id, "-device",
             "virtio-net-pci,romfile=,netdev=" + id + (mac.empty() ? "" : ",mac=" + mac)});
    }
    return argv;
}

}  // namespace

void run_machine(const Machine& machine) {
    const MemoryFile kernel({machine.kernel});
    const MemoryFile initrd({machine.initrd});
    const std::uint64_t disk_size = std::max(machine.disk_size, std::filesystem::file_size(machine.image));
    const TemporaryFile changes;
    if (machine.write_log.empty()) {
        changes.fill(overlay_disk(disk_size));
    } else {
        std::filesystem::resize_file(machine.image, disk_size);
        if (!std::ofstream(machine.write_log, std::ios::binary)) throw_system("writing " + machine.write_log.string());
    }
    Command command;
    command.argv =
        qemu_arguments(machine, kernel.path(), machine.initrd.empty() ? "" : initrd.path(), changes.path().string());
    command.on_line = machine.on_line;
    command.on_tick = machine.on_tick;
    run_streaming(command,
                  [&](const char* data, std::size_t size) { machine.on_console(std::string_view(data, size)); });
}

}  // namespace makina
