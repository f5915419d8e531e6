#include "builder/rehearse/boot_files.hpp"

#include <algorithm>
#include <sstream>

#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

constexpr const char* firmware = "/boot/firmware/";

std::string trimmed(std::string_view text) {
    const auto begin = text.find_first_not_of(" \t\r\n");
    if (begin == std::string_view::npos) return {};
    return std::string(text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1));
}

/// Sections that hold on a Raspberry Pi 4 running 64 bits, the board whose processor is emulated.
bool section_applies(const std::string& section) {
    return section == "[all]" || section == "[pi4]" || section == "[board-type=0x11]";
}

/// "6.12.117+deb13" is newer than "6.12.9": runs of digits compare as numbers.
bool older(const std::string& a, const std::string& b) {
    std::size_t i = 0;
    std::size_t j = 0;
    const auto is_digit = [](char letter) { return letter >= '0' && letter <= '9'; };
    const auto digits = [&](const std::string& text, std::size_t& at) {
        const std::size_t begin = at;
        while (at < text.size() && is_digit(text[at])) ++at;
        return text.substr(begin, at - begin);
    };
    while (i < a.size() && j < b.size()) {
        if (is_digit(a[i]) && is_digit(b[j])) {
            const std::string one = digits(a, i);
            const std::string two = digits(b, j);
            if (one.size() != two.size()) return one.size() < two.size();
            if (one != two) return one < two;
        } else if (a[i] != b[j]) {
            return a[i] < b[j];
        } else {
            ++i;
            ++j;
        }
    }
    return j < b.size();
}

std::string newest(const Ext4& root, const std::string& prefix) {
    std::string best;
    for (const std::string& name : root.list("/boot")) {
        if (name.rfind(prefix, 0) == 0 && (best.empty() || older(best, name))) best = name;
    }
    return best;
}

/// What the boot ROM and the GPU load before they look for a kernel; one set of several is enough, because an image is
/// made for one board. A Pi 5 has its own in the board's EEPROM and needs only its device tree.
void check_firmware(const Card& card) {
    for (const char* const loader :
         {"start4.elf", "start4cd.elf", "start.elf", "start_cd.elf", "bcm2712-rpi-5-b.dtb"}) {
        if (!card.exists(std::string(firmware) + loader)) continue;
        std::string fixup = loader;
        if (fixup.rfind("start", 0) != 0) return;
        fixup = "fixup" + fixup.substr(5, fixup.size() - 8) + "dat";
        if (card.exists(firmware + fixup)) return;
        throw Error(std::string(firmware) + fixup + " is missing: a Raspberry Pi would not boot");
    }
    throw Error(std::string(firmware) + "start4.elf is missing: a Raspberry Pi would not boot");
}

std::string read_or_explain(const Card& card, const std::string& path) {
    if (!card.exists(path)) throw Error(path + " is missing: the image cannot boot");
    return card.read_file(path);
}

BootFiles read_pi_files(const Card& card) {
    check_firmware(card);
    const BootConfig config = parse_boot_config(card.read_file(std::string(firmware) + "config.txt"));
    BootFiles files;
    const std::string folder = firmware + config.prefix;
    files.kernel_path = folder + config.kernel;
    files.kernel = read_or_explain(card, files.kernel_path);
    if (!config.initramfs.empty()) {
        files.initrd_path = folder + config.initramfs;
        files.initrd = read_or_explain(card, files.initrd_path);
    }
    files.arguments = trimmed(read_or_explain(card, folder + config.cmdline));
    if (files.arguments.find('\n') != std::string::npos) {
        throw Error(folder + config.cmdline + ": more than one line, a Raspberry Pi reads only the first");
    }
    return files;
}

BootFiles read_debian_files(const Card& card) {
    if (!card.root()) throw Error("neither a config.txt nor a root file system: the image cannot boot");
    const std::string kernel = newest(*card.root(), "vmlinuz-");
    if (kernel.empty()) throw Error("neither /boot/firmware/config.txt nor a kernel in /boot: the image cannot boot");
    BootFiles files;
    files.kernel_path = "/boot/" + kernel;
    files.kernel = card.read_file(files.kernel_path);
    const std::string initrd = "/boot/initrd.img-" + kernel.substr(8);
    if (card.exists(initrd)) {
        files.initrd_path = initrd;
        files.initrd = card.read_file(initrd);
    }
    files.arguments = card.exists("/etc/kernel/cmdline") ? trimmed(card.read_file("/etc/kernel/cmdline")) : "";
    if (files.arguments.find("root=") == std::string::npos) {
        const int number = card.root_partition()->number;
        files.arguments += " root=PARTUUID=" + partuuid(card.table(), number) + " rw net.ifnames=0";
    }
    return files;
}

}  // namespace

BootConfig parse_boot_config(std::string_view text) {
    BootConfig config;
    bool applies = true;
    bool automatic = false;
    std::istringstream lines{std::string(text)};
    for (std::string raw; std::getline(lines, raw);) {
        const std::string line = trimmed(std::string_view(raw).substr(0, raw.find('#')));
        if (!line.empty() && line.front() == '[') applies = section_applies(line);
        if (!applies || line.empty()) continue;
        const auto value = [&](std::string_view key) { return line.rfind(key, 0) == 0; };
        if (value("kernel=")) config.kernel = line.substr(7);
        if (value("cmdline=")) config.cmdline = line.substr(8);
        if (value("os_prefix=")) config.prefix = line.substr(10);
        if (value("auto_initramfs=")) automatic = line.substr(15) == "1";
        // "initramfs NAME followkernel", and NAME may be several files joined by commas: the first is the initrd.
        if (value("initramfs ")) config.initramfs = line.substr(10, line.find_first_of(" ,", 10) - 10);
    }
    // With auto_initramfs, kernel8.img takes initramfs8.
    if (automatic && config.initramfs.empty() && config.kernel.rfind("kernel", 0) == 0) {
        config.initramfs = "initramfs" + config.kernel.substr(6, config.kernel.rfind('.') - 6);
    }
    return config;
}

BootFiles read_boot_files(const Card& card) {
    return card.exists(std::string(firmware) + "config.txt") ? read_pi_files(card) : read_debian_files(card);
}

/// Linux' Documentation/arch/arm64/booting.rst: "ARM\x64" at byte 56; arch/x86/boot.rst: "HdrS" at byte 0x202. A
/// compressed arm64 kernel (gzip) is unpacked by QEMU as by a Raspberry Pi.
void require_arm64(const BootFiles& files) {
    const auto has = [&](std::size_t at, std::string_view magic) {
        return files.kernel.size() > at + magic.size() && files.kernel.compare(at, magic.size(), magic) == 0;
    };
    if (has(56, "ARM\x64") || has(0, "\x1f\x8b")) return;
    if (has(0x202, "HdrS")) throw Error(files.kernel_path + " is for x86: only arm64 images can be rehearsed yet");
    throw Error(files.kernel_path + " is not an arm64 kernel: only arm64 images can be rehearsed yet");
}

std::string adapt_arguments(const std::string& arguments, const PartitionTable& table) {
    constexpr std::string_view sd_card = "root=/dev/mmcblk0p";
    std::istringstream words(arguments);
    std::string adapted;
    for (std::string word; words >> word;) {
        if (word == "quiet" || word == "splash" || word.rfind("panic=", 0) == 0) continue;
        if (word.rfind(sd_card, 0) == 0 && word.size() == sd_card.size() + 1) {
            word = "root=PARTUUID=" + partuuid(table, word.back() - '0');
        }
        adapted += word + ' ';
    }
    // The last console is the one that init writes to. After a panic the machine restarts, which ends the emulator.
    return adapted + "console=ttyAMA0 panic=1 systemd.show_status=1";
}

}  // namespace makina
