#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "builder/disk/disk.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

void read_file_at(int file, std::uint64_t offset, char* data, std::size_t count) {
    while (count > 0) {
        const ssize_t got = pread(file, data, count, static_cast<off_t>(offset));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) throw_system("reading the image");
        if (got == 0) {
            std::memset(data, 0, count);
            return;
        }
        data += got;
        offset += static_cast<std::uint64_t>(got);
        count -= static_cast<std::size_t>(got);
    }
}

}  // namespace

PatchedImage::PatchedImage(const std::filesystem::path& base)
    : path_(base), file_(open(base.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (!file_) throw_system("opening " + base.string());
    struct stat status {};
    if (fstat(file_.get(), &status) != 0) throw_system("asking for the size of " + base.string());
    if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode)) throw Error(base.string() + ": not a regular file");
    // A device has no st_size.
    const off_t end = lseek(file_.get(), 0, SEEK_END);
    if (end < 0) throw_system("asking for the size of " + base.string());
    size_ = static_cast<std::uint64_t>(end);
}

void PatchedImage::read(std::uint64_t offset, char* data, std::size_t count) const {
    while (count > 0) {
        const std::uint64_t begin = offset % block_size;
        const auto found = blocks_.lower_bound(offset - begin);
        std::size_t part = count;
        if (found != blocks_.end() && found->first == offset - begin) {
            part = std::min<std::size_t>(count, block_size - begin);
            std::memcpy(data, found->second.data() + begin, part);
        } else {
            // One read for the whole run up to the next changed block.
            if (found != blocks_.end()) part = std::min<std::uint64_t>(count, found->first - offset);
            read_file_at(file_.get(), offset, data, part);
        }
        data += part;
        offset += part;
        count -= part;
    }
}

void PatchedImage::write(std::uint64_t offset, const char* data, std::size_t count) {
    if (offset > size_ || count > size_ - offset) throw Error("writing behind the end of the image");
    while (count > 0) {
        const std::uint64_t begin = offset % block_size;
        const std::size_t part = std::min<std::size_t>(count, block_size - begin);
        const auto [place, is_new] = blocks_.try_emplace(offset - begin);
        if (is_new) {
            place->second.resize(block_size);
            if (part < block_size) read_file_at(file_.get(), offset - begin, place->second.data(), block_size);
        }
        std::memcpy(place->second.data() + begin, data, part);
        data += part;
        offset += part;
        count -= part;
    }
}

void PatchedImage::write_changes(int file) const {
    for (const auto& [offset, block] : blocks_) {
        write_file_at(file, offset, block.data(), std::min<std::uint64_t>(block.size(), size_ - offset));
    }
}

void PatchedImage::apply() {
    const Descriptor file(open(path_.c_str(), O_WRONLY | O_CLOEXEC));
    if (!file) throw_system("opening " + path_.string());
    write_changes(file.get());
    blocks_.clear();
}

void write_file_at(int file, std::uint64_t offset, const char* data, std::size_t count) {
    while (count > 0) {
        const ssize_t put = pwrite(file, data, count, static_cast<off_t>(offset));
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) throw_system("writing the image");
        data += put;
        offset += static_cast<std::uint64_t>(put);
        count -= static_cast<std::size_t>(put);
    }
}

std::vector<Extent> data_extents(int file, std::uint64_t offset, std::uint64_t size) {
    std::vector<Extent> extents;
    const std::uint64_t end = offset + size;
    while (offset < end) {
        const off_t data = lseek(file, static_cast<off_t>(offset), SEEK_DATA);
        if (data < 0 && errno == ENXIO) break;  // nothing but a hole up to the end of the file
        if (data < 0) return {{offset, end - offset}};
        const off_t hole = lseek(file, data, SEEK_HOLE);
        const std::uint64_t begin = static_cast<std::uint64_t>(data);
        if (begin >= end) break;
        const std::uint64_t stop = hole < 0 ? end : std::min<std::uint64_t>(static_cast<std::uint64_t>(hole), end);
        extents.push_back({begin, stop - begin});
        offset = stop;
    }
    return extents;
}

}  // namespace makina
