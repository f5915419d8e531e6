#include "builder/rehearse/machine.hpp"

#include <algorithm>
#include <fstream>
#include <optional>

#include "builder/disk/temporary.hpp"
#include "builder/process.hpp"
#include "builder/rehearse/option_value.hpp"
#include "builder/rehearse/overlay_disk.hpp"
#include "builder/rehearse/probe.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

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

std::string path_of(int descriptor) {
    return "/proc/self/fd/" + std::to_string(descriptor);
}

std::vector<std::string> card_arguments(const NetworkCard& card, const std::string& id) {
    // restrict=on keeps the guest from everything but QEMU's own DHCP, which stands for the home's router. A hub port
    // without a peer would lead nowhere too, but never takes a packet, and Linux complains of a dead card.
    const std::string way = card.socket < 0 ? std::string("user,ipv6=off,restrict=") + (card.internet ? "off" : "on")
                                            : "socket,fd=" + std::to_string(card.socket);
    return {"-netdev", way + ",id=" + id, "-device",
            "virtio-net-pci,romfile=,netdev=" + id + (card.mac.empty() ? "" : ",mac=" + card.mac)};
}

std::vector<std::string> qemu_arguments(const Machine& machine, const std::string& changes) {
    std::vector<std::string> argv = {"qemu-system-aarch64",
                                     "-M",
                                     "virt",
                                     "-cpu",
                                     "cortex-a72",
                                     "-smp",
                                     std::to_string(machine.processors),
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
    add({"-kernel", path_of(machine.kernel), "-append", machine.arguments});
    if (machine.initrd >= 0) add({"-initrd", path_of(machine.initrd)});
    const std::vector<std::string> disk = disk_arguments(machine, changes);
    argv.insert(argv.end(), disk.begin(), disk.end());
    const std::vector<std::string> sticks = stick_arguments(machine);
    argv.insert(argv.end(), sticks.begin(), sticks.end());
    add({"-device", "virtio-rng-pci"});
    // Standard output is the console, standard error the probe's port; both are pipes to us.
    add({"-chardev", "file,id=console,path=/dev/stdout", "-serial", "chardev:console"});
    add({"-device", "virtio-serial-pci", "-chardev",
         machine.probe < 0 ? "file,id=probe,path=/dev/stderr" : "socket,id=probe,fd=" + std::to_string(machine.probe),
         "-device", std::string("virtserialport,chardev=probe,name=") + probe_port});
    if (machine.monitor >= 0) {
        add({"-chardev", "socket,id=monitor,fd=" + std::to_string(machine.monitor), "-mon",
             "chardev=monitor,mode=control"});
    }
    for (std::size_t i = 0; i < machine.network_cards.size(); ++i) {
        const auto card = card_arguments(machine.network_cards[i], "net" + std::to_string(i));
        argv.insert(argv.end(), card.begin(), card.end());
    }
    return argv;
}

/// Everything of ours that QEMU opens by its number.
std::vector<int> descriptors_of(const Machine& machine, int changes) {
    std::vector<int> all = {machine.kernel, machine.initrd, changes, machine.monitor, machine.probe};
    for (const NetworkCard& card : machine.network_cards) all.push_back(card.socket);
    std::erase(all, -1);
    return all;
}

}  // namespace

void run_machine(const Machine& machine) {
    const std::uint64_t disk_size = std::max(machine.disk_size, std::filesystem::file_size(machine.image));
    std::optional<TemporaryFile> passing;
    int changes = machine.changes;
    if (!machine.write_log.empty()) {
        std::filesystem::resize_file(machine.image, disk_size);
        if (!std::ofstream(machine.write_log, std::ios::binary)) throw_system("writing " + machine.write_log.string());
    } else if (changes < 0) {
        changes = passing.emplace().descriptor();
        passing->fill(overlay_disk(disk_size));
    }
    Command command;
    command.argv = qemu_arguments(machine, path_of(changes));
    command.descriptors = descriptors_of(machine, changes);
    command.on_line = machine.on_line;
    command.on_tick = machine.on_tick;
    run_streaming(command,
                  [&](const char* data, std::size_t size) { machine.on_console(std::string_view(data, size)); });
}

}  // namespace makina
