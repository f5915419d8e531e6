#include "builder/base/facts.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>

#include "builder/base/kubernetes.hpp"
#include "builder/disk/disk.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

constexpr std::uint64_t largest_text = 1 << 20;
constexpr std::uint64_t largest_status = 64 << 20;

/// Texts on the ext4 that plans edit or look at.
constexpr std::array root_texts = {"/etc/passwd", "/etc/group",           "/etc/shadow",         "/etc/gshadow",
                                   "/etc/fstab",  "/etc/cloud/cloud.cfg", "/etc/dphys-swapfile", "/etc/rpi/swap.conf"};
/// Texts on the FAT, below /boot/firmware on the node; the last three are cloud-init's NoCloud seed.
constexpr std::array boot_texts = {"cmdline.txt", "config.txt", "user-data", "meta-data", "network-config"};

/// A hostile image must not make us read gigabytes or follow a link into something that is no text.
std::optional<std::string> read_text(const Ext4& root, const std::string& path, std::uint64_t limit = largest_text) {
    const auto found = root.stat(path);
    if (!found) return std::nullopt;
    std::string text;
    root.read_file(path, [&](const char* data, std::size_t size) {
        text.append(data, size);
        if (text.size() > limit) throw Error(path + " of the image is larger than any such file: it is damaged");
    });
    if (text.find('\0') != std::string::npos) throw Error(path + " of the image is no text: it is damaged");
    return text;
}

/// The value of KEY=value or KEY="value" (os-release(5)); empty if the file has no such line.
std::string os_release_value(const std::string& text, const std::string& key) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        if (line.rfind(key + "=", 0) != 0) continue;
        std::string value = line.substr(key.size() + 1);
        if (value.size() >= 2 && (value.front() == '"' || value.front() == '\'') && value.back() == value.front()) {
            value = value.substr(1, value.size() - 2);
        }
        return value;
    }
    return {};
}

/// The volume label in the boot sector: at byte 71 of FAT32, at byte 43 of FAT12 and FAT16 (Microsoft's FAT
/// specification 1.03), padded with spaces. For people only: what was found.
std::string fat_label(const std::filesystem::path& image, std::uint64_t offset) {
    std::ifstream file(image, std::ios::binary);
    std::array<char, 512> sector{};
    file.seekg(static_cast<std::streamoff>(offset));
    if (!file.read(sector.data(), sector.size())) return {};
    const std::string_view view(sector.data(), sector.size());
    std::string label(view.substr(view.substr(82, 5) == "FAT32" ? 71 : 43, 11));
    while (!label.empty() && label.back() == ' ') label.pop_back();
    const bool printable =
        std::all_of(label.begin(), label.end(), [](unsigned char c) { return std::isprint(c) != 0; });
    return printable ? label : std::string();
}

/// Only printable characters: the text goes to a terminal, the image is not ours.
std::string shown(const std::string& text) {
    std::string safe;
    for (const char c : text.substr(0, 64)) safe += std::isprint(static_cast<unsigned char>(c)) != 0 ? c : '?';
    return safe.empty() ? "none" : safe;
}

Layout recognise(const Ext4& root, const std::string& boot_label) {
    if (root.stat("/usr/lib/makina/base")) return Layout::debian;
    // Before anything of cloud-init or pi-gen is looked at, the distribution must be one whose habits are known.
    const std::string release = read_text(root, "/etc/os-release").value_or("");
    const std::string id = os_release_value(release, "ID");
    const std::string codename = os_release_value(release, "VERSION_CODENAME");
    const std::string version = os_release_value(release, "VERSION_ID");
    const bool raspberry = root.stat("/etc/rpi-issue").has_value();
    const std::string label = root.label();
    if (raspberry && label == "rootfs" && codename == "bookworm") return Layout::rpios_bookworm;
    if (raspberry && label == "rootfs" && codename == "trixie") return Layout::rpios_trixie;
    if (id == "ubuntu" && version == "24.04" && label == "writable") return Layout::ubuntu_2404;
    const std::string hint =
        label == "RASPIROOT" ? "; for plain Debian use a base of packages instead of an image" : "";
    throw Error("no layout that is known: found ID=" + shown(id) + ", VERSION_ID=" + shown(version) +
                ", VERSION_CODENAME=" + shown(codename) + ", " + (raspberry ? "with" : "without") +
                " /etc/rpi-issue, labels " + shown(boot_label) + " and " + shown(label) +
                "; supported are Raspberry Pi OS bookworm and trixie (bootfs, rootfs) and Ubuntu 24.04 for the "
                "Raspberry Pi (system-boot, writable)" +
                hint);
}

/// The machine of the first program that is there (ELF specification: e_machine is 16 bits at byte 18, EI_CLASS at 4).
Architecture read_architecture(const Ext4& root) {
    for (const char* const program : {"/usr/bin/dpkg", "/usr/bin/bash", "/bin/bash", "/bin/sh"}) {
        if (!root.stat(program)) continue;
        std::string head;
        root.read_file(program, [&](const char* data, std::size_t size) {
            if (head.size() < 20) head.append(data, std::min<std::size_t>(size, 20));
        });
        if (head.size() < 20 || head.substr(0, 4) !=
                                    "\x7f"
                                    "ELF") {
            throw Error(std::string(program) + " of the image is no program: it is damaged");
        }
        const int machine = static_cast<unsigned char>(head[18]) + 256 * static_cast<unsigned char>(head[19]);
        if (machine == 183) return Architecture::arm64;
        if (machine == 62) return Architecture::amd64;
        if (machine == 40) throw Error("the image is for 32-bit ARM (armhf): take the 64-bit image (arm64)");
        throw Error("the programs of the image are for the ELF machine " + std::to_string(machine) +
                    ": take the image for arm64");
    }
    throw Error("the image has neither dpkg nor a shell: this is not the root file system of a distribution");
}

/// Orders "6.12.9" before "6.12.48": runs of digits count as numbers.
bool older(const std::string& a, const std::string& b) {
    const auto digits = [](const std::string& text, std::size_t from) {
        return std::min(text.find_first_not_of("0123456789", from), text.size()) - from;
    };
    std::size_t i = 0;
    std::size_t j = 0;
    while (i < a.size() && j < b.size()) {
        const std::size_t m = digits(a, i);
        const std::size_t n = digits(b, j);
        if (m > 0 && n > 0) {
            if (m != n) return m < n;
            if (const int order = a.compare(i, m, b, j, n); order != 0) return order < 0;
            i += m;
            j += n;
        } else if (a[i] != b[j]) {
            return a[i] < b[j];
        } else {
            ++i;
            ++j;
        }
    }
    return a.size() - i < b.size() - j;
}

std::string newest_kernel(const Ext4& root) {
    const std::vector<std::string> kernels = root.list("/usr/lib/modules");
    const auto newest = std::max_element(kernels.begin(), kernels.end(), older);
    return newest == kernels.end() ? std::string() : *newest;
}

std::int64_t newest_change(const Ext4& root) {
    std::int64_t newest = 0;
    for (const char* const path : {"/var/lib/dpkg/status", "/usr/lib/os-release", "/etc/os-release", "/etc/rpi-issue",
                                   "/var/lib/systemd/timesync/clock", "/usr/lib/makina/base"}) {
        if (const auto found = root.stat(path)) newest = std::max(newest, found->mtime);
    }
    return newest;
}

/// Packages whose third status word is "installed" (dpkg-query(1)).
std::map<std::string, std::string> installed_packages(const std::string& status) {
    std::map<std::string, std::string> packages;
    std::string name;
    std::string version;
    bool installed = false;
    const auto finish = [&] {
        if (installed && !name.empty()) packages[name] = version;
        name.clear();
        version.clear();
        installed = false;
    };
    std::istringstream lines(status);
    for (std::string line; std::getline(lines, line);) {
        if (line.empty()) finish();
        if (line.rfind("Package: ", 0) == 0) name = line.substr(9);
        if (line.rfind("Version: ", 0) == 0) version = line.substr(9);
        if (line.rfind("Status: ", 0) == 0)
            installed = line.size() > 18 && line.substr(line.size() - 10) == " installed";
    }
    finish();
    return packages;
}

/// Adds what stands in the list of programs that came without a package; a package of the same name is stronger.
void add_programs(const Ext4& root, std::map<std::string, std::string>& packages) {
    std::istringstream lines(read_text(root, programs_list).value_or(""));
    for (std::string name, version; lines >> name >> version;) packages.emplace(name, version);
}

std::map<std::string, std::string> read_texts(const Ext4& root, const Fat& boot) {
    std::map<std::string, std::string> texts;
    for (const char* const path : root_texts) {
        if (auto text = read_text(root, path)) texts[path] = std::move(*text);
    }
    for (const char* const name : boot_texts) {
        if (!boot.exists(name)) continue;
        std::string text = boot.read_file(name);
        if (text.size() > largest_text || text.find('\0') != std::string::npos) {
            throw Error(std::string(name) + " on the boot partition is no text: the image is damaged");
        }
        texts[std::string("/boot/firmware/") + name] = std::move(text);
    }
    return texts;
}

/// A vendor's firmware partition always has both; plans edit them.
void require_boot_texts(const BaseFacts& facts) {
    for (const char* const name : {"cmdline.txt", "config.txt"}) {
        if (facts.files.count(std::string("/boot/firmware/") + name) == 0) {
            throw Error(std::string("no ") + name + " on the boot partition: the image is damaged, fetch it again");
        }
    }
}

const Partition& require_partition(const PartitionTable& table, int number, const std::string& what) {
    const Partition* const found = table.find(number);
    if (found == nullptr || found->size == 0) {
        throw Error("no partition " + std::to_string(number) + " (" + what +
                    "): this is not an image for a Raspberry Pi's card, or it is damaged");
    }
    return *found;
}

}  // namespace

BaseFacts read_facts(const std::filesystem::path& image) {
    return during("reading the image " + image.string(), [&] {
        const PartitionTable table = read_partition_table(image);
        const Partition& boot = require_partition(table, 1, "FAT, boot files");
        const Fat fat(image, boot.offset);
        const Ext4 root(image, require_partition(table, 2, "ext4, root file system").offset, false);
        BaseFacts facts;
        facts.disk_id = table.disk_id;
        facts.architecture = read_architecture(root);
        facts.layout = recognise(root, fat_label(image, boot.offset));
        if (facts.layout == Layout::debian) facts.kernel = newest_kernel(root);
        facts.built = newest_change(root);
        facts.packages = installed_packages(read_text(root, "/var/lib/dpkg/status", largest_status).value_or(""));
        add_programs(root, facts.packages);
        facts.files = read_texts(root, fat);
        if (facts.layout != Layout::debian) require_boot_texts(facts);
        return facts;
    });
}

}  // namespace makina
