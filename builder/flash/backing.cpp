#include "builder/flash/backing.hpp"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <fstream>

#include "firstboot/bundle/handle.hpp"

namespace makina {
namespace {

namespace fs = std::filesystem;

std::string first_line(const fs::path& file) {
    std::ifstream stream(file);
    std::string line;
    std::getline(stream, line);
    return line;
}

/// The kernel tells a device number in 32 bits: 12 of the major one amid 20 of the minor one (linux/kdev_t.h).
std::uint64_t device_of(std::uint64_t told) {
    const auto bits = static_cast<unsigned>(told);
    return makedev((bits & 0xfff00) >> 8, (bits & 0xff) | ((bits >> 12) & 0xfff00));
}

/// True if the device itself told.
bool ask(const std::string& name, const fs::path& root, Backing& backing) {
    const Descriptor device(open((root / "dev" / name).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
    struct stat status {};
    if (!device || fstat(device.get(), &status) != 0 || !S_ISBLK(status.st_mode)) return false;
    if (device_number(status.st_rdev) != first_line(root / "sys/block" / name / "dev")) return false;
    loop_info64 info{};
    if (ioctl(device.get(), LOOP_GET_STATUS64, &info) != 0) return false;
    if (info.lo_rdevice != 0) {
        backing.device = device_number(device_of(info.lo_rdevice));
    } else {
        backing.file = FileId{device_of(info.lo_device), info.lo_inode};
    }
    return true;
}

/// A name as proc(5) spells it: "\040" is a blank.
std::string unescaped(const std::string& word) {
    const auto is_octal = [](char c) { return c >= '0' && c <= '7'; };
    std::string text;
    for (std::size_t i = 0; i < word.size(); ++i) {
        if (word[i] == '\\' && i + 3 < word.size() && std::all_of(&word[i + 1], &word[i + 4], is_octal)) {
            text += static_cast<char>(std::stoi(word.substr(i + 1, 3), nullptr, 8));
            i += 3;
        } else {
            text += word[i];
        }
    }
    return text;
}

}  // namespace

std::optional<FileId> file_id(const fs::path& path) {
    struct stat status {};
    if (stat(path.c_str(), &status) != 0) return std::nullopt;
    return FileId{status.st_dev, status.st_ino};
}

std::string device_number(std::uint64_t device) {
    return std::to_string(major(device)) + ":" + std::to_string(minor(device));
}

std::vector<fs::path> swap_areas(const fs::path& root) {
    std::vector<fs::path> areas;
    std::ifstream swaps(root / "proc/swaps");
    for (std::string line; std::getline(swaps, line);) {
        // The first line is a heading.
        fs::path path = unescaped(line.substr(0, line.find_first_of(" \t")));
        if (path.is_absolute()) areas.push_back(std::move(path));
    }
    return areas;
}

std::optional<Backing> backing_of(const std::string& name, const fs::path& root) {
    Backing backing;
    backing.path = first_line(root / "sys/block" / name / "loop/backing_file");
    if (backing.path.empty()) return std::nullopt;
    if (ask(name, root, backing)) return backing;
    struct stat status {};
    const fs::path path = root / fs::path(backing.path).relative_path();
    if (stat(path.c_str(), &status) != 0) return backing;
    if (S_ISBLK(status.st_mode)) backing.device = device_number(status.st_rdev);
    if (S_ISREG(status.st_mode)) backing.file = FileId{status.st_dev, status.st_ino};
    return backing;
}

std::vector<std::string> uses_of(const FileId& file, const std::string& except, const fs::path& root) {
    std::vector<std::string> uses;
    std::error_code failed;
    for (fs::directory_iterator at(root / "sys/block", failed), end; !failed && at != end; at.increment(failed)) {
        const std::string name = at->path().filename();
        if (name == except) continue;
        if (const auto backing = backing_of(name, root); backing && backing->file == file)
            uses.push_back("is shown by /dev/" + name + " (losetup -d ends that)");
    }
    for (const fs::path& area : swap_areas(root)) {
        if (file_id(root / area.relative_path()) == file) uses.emplace_back("is swapped to (swapoff ends that)");
    }
    return uses;
}

}  // namespace makina
