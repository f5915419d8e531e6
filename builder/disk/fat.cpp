#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <sstream>

#include "builder/disk/disk.hpp"
#include "builder/disk/temporary.hpp"
#include "builder/process.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

/// mtools reads the clock for folders unless told the time, and the time zone for every entry.
std::map<std::string, std::string> fixed_time(std::int64_t mtime) {
    return {{"SOURCE_DATE_EPOCH", std::to_string(mtime)}, {"TZ", "UTC"}, {"MTOOLSRC", "/dev/null"}};
}

void check_name(const std::string& path) {
    if (path.empty() || path[0] == '/' || path.find_first_of("\\:*?\"<>|\n") != std::string::npos) {
        throw Error("not a name for a FAT file system: " + path);
    }
}

}  // namespace

Fat::Fat(std::filesystem::path image, std::uint64_t offset) : image_(std::move(image)), offset_(offset) {
    // The BIOS parameter block ends with the signature 55 aa; FAT32 names itself at 82, FAT12/16 at 54.
    std::ifstream file(image_, std::ios::binary);
    std::array<char, 512> sector{};
    file.seekg(static_cast<std::streamoff>(offset));
    if (!file.read(sector.data(), sector.size()))
        throw Error(image_.string() + ": no FAT file system: the image is truncated");
    const bool named = std::memcmp(&sector[82], "FAT32", 5) == 0 || std::memcmp(&sector[54], "FAT1", 4) == 0;
    if (!named || sector[510] != '\x55' || sector[511] != '\xaa') {
        throw Error(image_.string() + ": no FAT file system at byte " + std::to_string(offset) +
                    ": the image is damaged");
    }
}

std::string Fat::drive() const {
    return image_.string() + "@@" + std::to_string(offset_);
}

bool Fat::exists(const std::string& path) const {
    return run({{"mdir", "-i", drive(), "-b", "::" + path}, fixed_time(0)}).status == 0;
}

std::string Fat::read_file(const std::string& path) const {
    check_name(path);
    return during("reading " + path + " from the boot partition", [&] {
        return run_checked({{"mcopy", "-i", drive(), "-n", "::" + path, "-"}, fixed_time(0)});
    });
}

std::vector<std::string> Fat::list() const {
    const Result listing = run({{"mdir", "-i", drive(), "-/", "-b", "::"}, fixed_time(0)});
    if (listing.status != 0 && listing.output.empty() && listing.errors.find("not found") == std::string::npos) {
        throw Error("listing the boot partition of " + image_.string() + ": " + listing.errors);
    }
    std::vector<std::string> files;
    std::istringstream lines(listing.output);
    for (std::string line; std::getline(lines, line);) {
        if (line.rfind("::/", 0) == 0 && line.back() != '/') files.push_back(line.substr(3));
    }
    std::sort(files.begin(), files.end());
    return files;
}

std::string Fat::label() const {
    // "Volume label is BOOT (abbr=BOOT       )", or "Volume has no label"
    const Result shown = run({{"mlabel", "-s", "-i", drive(), "::"}, fixed_time(0)});
    constexpr std::string_view before = "Volume label is ";
    const auto begin = shown.output.find(before);
    if (begin == std::string::npos) return {};
    std::string label = shown.output.substr(begin + before.size());
    label.resize(std::min({label.size(), label.find('\n'), label.find(" (abbr=")}));
    label.erase(label.find_last_not_of(' ') + 1);
    return label;
}

std::uint64_t Fat::free_bytes() const {
    // The listing of a folder ends with "    171 016 192 bytes free".
    const std::string listing = run_checked({{"mdir", "-i", drive(), "::"}, fixed_time(0)});
    const auto end = listing.rfind(" bytes free");
    if (end == std::string::npos) throw Error("asking for the free space of the boot partition: mdir did not say");
    std::string digits;
    for (const char letter : listing.substr(listing.rfind('\n', end) + 1, end - listing.rfind('\n', end))) {
        if (letter >= '0' && letter <= '9') digits += letter;
    }
    return std::stoull(digits);
}

void Fat::make_folders(const std::string& path, std::int64_t mtime) {
    for (auto slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1)) {
        const std::string folder = path.substr(0, slash);
        if (exists(folder)) continue;
        run_checked({{"mmd", "-i", drive(), "-D", "s", "::" + folder}, fixed_time(mtime)});
    }
}

void Fat::write(const std::string& path, std::string_view content, std::int64_t mtime) {
    check_name(path);
    during("writing " + path + " to the boot partition", [&] {
        make_folders(path, mtime);
        const TemporaryFile copy;
        copy.fill(content);
        const std::array<timespec, 2> times = {timespec{mtime, 0}, timespec{mtime, 0}};
        if (futimens(copy.descriptor(), times.data()) != 0) throw_system("setting a time");
        run_checked({{"mcopy", "-i", drive(), "-m", "-D", "o", copy.path().string(), "::" + path}, fixed_time(mtime)});
    });
}

void Fat::remove(const std::string& path) {
    check_name(path);
    if (!exists(path)) return;
    during("removing " + path + " from the boot partition", [&] {
        return run_checked({{"mdeltree", "-i", drive(), "::" + path}, fixed_time(0)});
    });
}

namespace {

/// Copies [offset, offset + size) of the image into an empty file, leaving holes where the base has holes.
void copy_region(const PatchedImage& image, std::uint64_t offset, std::uint64_t size, int file) {
    if (ftruncate(file, static_cast<off_t>(size)) != 0) throw_system("making a copy of the boot partition");
    std::vector<char> buffer(1 << 20);
    for (const Extent& extent : data_extents(image.descriptor(), offset, size)) {
        for (std::uint64_t done = 0; done < extent.size;) {
            const std::size_t part = std::min<std::uint64_t>(buffer.size(), extent.size - done);
            image.read(extent.offset + done, buffer.data(), part);
            const auto at = static_cast<off_t>(extent.offset + done - offset);
            if (pwrite(file, buffer.data(), part, at) != static_cast<ssize_t>(part)) {
                throw_system("copying the boot partition");
            }
            done += part;
        }
    }
}

/// Writes back the blocks in which the file differs from the image.
void copy_changes(int file, PatchedImage& image, std::uint64_t offset, std::uint64_t size) {
    std::vector<char> now(1 << 20);
    std::vector<char> before(1 << 20);
    for (const Extent& extent : data_extents(file, 0, size)) {
        for (std::uint64_t done = 0; done < extent.size;) {
            const std::size_t part = std::min<std::uint64_t>(now.size(), extent.size - done);
            const std::uint64_t at = extent.offset + done;
            if (pread(file, now.data(), part, static_cast<off_t>(at)) != static_cast<ssize_t>(part)) {
                throw_system("reading the changed boot partition");
            }
            image.read(offset + at, before.data(), part);
            for (std::size_t i = 0; i < part; i += PatchedImage::block_size) {
                const std::size_t count = std::min<std::size_t>(PatchedImage::block_size, part - i);
                if (std::memcmp(&now[i], &before[i], count) != 0) image.write(offset + at + i, &now[i], count);
            }
            done += part;
        }
    }
}

}  // namespace

void edit_fat(PatchedImage& image, const Partition& partition, const std::function<void(Fat&)>& edit) {
    const TemporaryFile copy;
    copy_region(image, partition.offset, partition.size, copy.descriptor());
    Fat fat(copy.path(), 0);
    edit(fat);
    copy_changes(copy.descriptor(), image, partition.offset, partition.size);
}

}  // namespace makina
