#include "builder/base/unpack.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/handle.hpp"

namespace makina {
namespace {

constexpr std::size_t block = 4096;
constexpr std::string_view mbr_signature = "\x55\xaa";

using Reader = Handle<archive, archive_read_free>;

enum class Packing { plain, gzip, xz, zstd, zip };

/// The packed file: hands its bytes to libarchive and hashes them on the way.
class Source {
  public:
    explicit Source(const std::filesystem::path& path) : path_(path), file_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
        if (!file_) throw_system("opening " + path.string());
        struct stat status {};
        if (fstat(file_.get(), &status) != 0) throw_system("asking for the size of " + path.string());
        if (!S_ISREG(status.st_mode)) throw Error(path.string() + ": not a regular file");
        if (status.st_size == 0) throw Error(path.string() + ": the file is empty");
        size_ = static_cast<std::uint64_t>(status.st_size);
    }

    [[nodiscard]] Packing packing() const;
    [[nodiscard]] const std::filesystem::path& path() const { return path_; }
    [[nodiscard]] std::uint64_t size() const { return size_; }
    [[nodiscard]] std::uint64_t consumed() const { return consumed_; }
    /// The next bytes; 0 at the end, -1 with errno set for a fault.
    ssize_t next(const void** data) {
        ssize_t count = 0;
        do {
            count = ::read(file_.get(), buffer_.data(), buffer_.size());
        } while (count < 0 && errno == EINTR);
        if (count > 0) {
            sum_.update({buffer_.data(), static_cast<std::size_t>(count)});
            consumed_ += static_cast<std::uint64_t>(count);
        }
        *data = buffer_.data();
        return count;
    }
    /// The last eight bytes as two little-endian numbers.
    [[nodiscard]] std::array<std::uint32_t, 2> last_words() const {
        std::array<unsigned char, 8> bytes{};
        const auto at = static_cast<off_t>(size_ - std::min<std::uint64_t>(size_, bytes.size()));
        if (pread(file_.get(), bytes.data(), bytes.size(), at) < 0) throw_system("reading " + path_.string());
        std::array<std::uint32_t, 2> words{};
        for (unsigned i = 0; i < 8; ++i) words[i / 4] |= static_cast<std::uint32_t>(bytes[i]) << (i % 4 * 8);
        return words;
    }
    /// Reads what libarchive left, so that the hash is that of the whole file.
    std::string finish() {
        const void* ignored = nullptr;
        ssize_t count = 0;
        while ((count = next(&ignored)) > 0) {
        }
        if (count < 0) throw_system("reading " + path_.string());
        return sum_.hex();
    }

  private:
    std::filesystem::path path_;
    Descriptor file_;
    std::uint64_t size_ = 0;
    std::uint64_t consumed_ = 0;
    Sha256 sum_;
    std::vector<char> buffer_ = std::vector<char>(1 << 18);
};

/// Magic numbers: RFC 1952 (gzip), the .xz file format 1.2.0, RFC 8878 (zstd), APPNOTE.TXT 6.3.10 (zip).
Packing Source::packing() const {
    std::vector<char> head(512);
    const ssize_t count = pread(file_.get(), head.data(), head.size(), 0);
    if (count < 0) throw_system("reading " + path_.string());
    const std::string_view view(head.data(), static_cast<std::size_t>(count));
    if (view.substr(0, 2) == "\x1f\x8b") return Packing::gzip;
    if (view.substr(0, 6) == std::string_view("\xfd"
                                              "7zXZ\0",
                                              6))
        return Packing::xz;
    if (view.substr(0, 4) == "\x28\xb5\x2f\xfd") return Packing::zstd;
    if (view.substr(0, 4) == "PK\x03\x04") return Packing::zip;
    if (view.size() == 512 && view.substr(510) == mbr_signature) return Packing::plain;
    throw Error(path_.string() + ": neither a disk image nor one packed with xz, zstd, gzip or zip");
}

/// CRC-32 as gzip computes it (RFC 1952, 8): libarchive's gzip reader does not compare it.
class Crc32 {
  public:
    Crc32() {
        for (std::uint32_t i = 0; i < 256; ++i) {
            std::uint32_t value = i;
            for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0xedb88320U : 0U);
            table_[i] = value;
        }
    }
    void add(const char* data, std::size_t size) {
        for (std::size_t i = 0; i < size; ++i) {
            state_ = (state_ >> 8) ^ table_[(state_ ^ static_cast<unsigned char>(data[i])) & 0xff];
        }
    }
    [[nodiscard]] std::uint32_t value() const { return ~state_; }

  private:
    std::array<std::uint32_t, 256> table_{};
    std::uint32_t state_ = 0xffffffffU;
};

/// The image that is written: zero blocks are left out, and every limit is kept.
class Target {
  public:
    Target(const std::filesystem::path& path, const Source& source, bool with_sum, const UnpackLimits& limits)
        : path_(path),
          file_(open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)),
          source_(source),
          limits_(limits) {
        if (!file_) throw_system("making " + path.string());
        if (with_sum) sum_.emplace();
    }
    /// `size` is a multiple of the block size in every call but the last.
    void append(const char* data, std::size_t size) {
        if (sum_) sum_->add(data, size);
        if (size_ == 0) check_start(std::string_view(data, size));
        size_ += size;
        check_limits();
        for (std::size_t at = 0; at < size;) {
            const std::size_t begin = at;
            while (at < size && !is_zero(data + at, std::min(block, size - at))) at += std::min(block, size - at);
            write_all(data + begin, at - begin, size_ - size + begin);
            while (at < size && is_zero(data + at, std::min(block, size - at))) at += std::min(block, size - at);
        }
    }
    /// RFC 1952, 2.3: CRC-32 and size modulo 2^32 of what was packed.
    [[nodiscard]] bool fits(std::uint32_t crc, std::uint32_t size) const {
        return sum_->value() == crc && static_cast<std::uint32_t>(size_) == size;
    }
    void finish() const {
        if (size_ == 0) throw Error(source_.path().string() + ": the image in it is empty");
        if (ftruncate(file_.get(), static_cast<off_t>(size_)) != 0) throw_system("writing " + path_.string());
        if (fsync(file_.get()) != 0) throw_system("writing " + path_.string());
    }

  private:
    void check_start(std::string_view start) const {
        if (start.size() < 512 || start.substr(510, 2) != mbr_signature) {
            throw Error(source_.path().string() + ": what is packed in it is no disk image (no MBR)");
        }
    }
    void check_limits() const {
        if (size_ > limits_.size) {
            throw Error(source_.path().string() + ": unpacks to more than " + std::to_string(limits_.size >> 20) +
                        " MiB: no such image is for an SD card");
        }
        if (size_ > limits_.ratio_from && size_ / std::max<std::uint64_t>(source_.consumed(), 1) > limits_.ratio) {
            throw Error(source_.path().string() + ": unpacks to more than " + std::to_string(limits_.ratio) +
                        " times its size: this is no image of a distribution");
        }
    }
    static bool is_zero(const char* data, std::size_t size) {
        return data[0] == 0 && std::memcmp(data, data + 1, size - 1) == 0;
    }
    void write_all(const char* data, std::size_t size, std::uint64_t offset) const {
        while (size > 0) {
            const ssize_t count = pwrite(file_.get(), data, size, static_cast<off_t>(offset));
            if (count < 0 && errno == EINTR) continue;
            if (count < 0) throw_system("writing " + path_.string());
            data += count;
            offset += static_cast<std::uint64_t>(count);
            size -= static_cast<std::size_t>(count);
        }
    }

    std::filesystem::path path_;
    Descriptor file_;
    const Source& source_;
    UnpackLimits limits_;
    std::uint64_t size_ = 0;
    std::optional<Crc32> sum_;
};

ssize_t read_source(archive* reader, void* source, const void** data) {
    const ssize_t count = static_cast<Source*>(source)->next(data);
    if (count < 0) archive_set_error(reader, errno, "the file cannot be read");
    return count;
}

[[noreturn]] void throw_damaged(const Source& source, archive* reader) {
    const char* const text = archive_error_string(reader);
    throw Error(source.path().string() + ": damaged or cut off (" + (text == nullptr ? "unknown" : text) +
                "): fetch it again");
}

/// Only what this packing needs is enabled in libarchive, so that nothing else of it sees the bytes.
Reader open_reader(Source& source, Packing packing) {
    Reader reader(archive_read_new());
    if (reader == nullptr) throw Error("out of memory");
    int code = ARCHIVE_OK;
    const auto enable = [&](int filter) {
        code =
            std::min(archive_read_append_filter(reader.get(), filter), archive_read_support_format_raw(reader.get()));
    };
    switch (packing) {
        case Packing::plain:
            code = archive_read_support_format_raw(reader.get());
            break;
        case Packing::gzip:
            enable(ARCHIVE_FILTER_GZIP);
            break;
        case Packing::xz:
            enable(ARCHIVE_FILTER_XZ);
            break;
        case Packing::zstd:
            enable(ARCHIVE_FILTER_ZSTD);
            break;
        case Packing::zip:
            code = archive_read_support_format_zip_streamable(reader.get());
            break;
    }
    if (code < ARCHIVE_WARN) throw Error("libarchive cannot read this packing: install libarchive13");
    if (archive_read_open(reader.get(), &source, nullptr, read_source, nullptr) != ARCHIVE_OK) {
        throw_damaged(source, reader.get());
    }
    return reader;
}

/// The next entry's name; nothing at the end of the archive.
std::optional<std::string> next_entry(const Source& source, archive* reader) {
    archive_entry* entry = nullptr;
    const int code = archive_read_next_header(reader, &entry);
    if (code == ARCHIVE_EOF) return std::nullopt;
    if (code < ARCHIVE_WARN) throw_damaged(source, reader);
    const char* const name = archive_entry_pathname(entry);
    return name == nullptr || archive_entry_filetype(entry) == AE_IFDIR ? "" : name;
}

void copy_entry(const Source& source, archive* reader, Target& target) {
    std::vector<char> buffer(1 << 20);
    for (bool more = true; more;) {
        std::size_t filled = 0;
        while (filled < buffer.size()) {
            const la_ssize_t count = archive_read_data(reader, buffer.data() + filled, buffer.size() - filled);
            if (count < 0) throw_damaged(source, reader);
            if (count == 0) break;
            filled += static_cast<std::size_t>(count);
        }
        more = filled == buffer.size();
        if (filled > 0) target.append(buffer.data(), filled);
    }
}

bool is_image_name(std::string name) {
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
    return name.size() >= 4 && name.substr(name.size() - 4) == ".img";
}

/// A name in a zip decides nothing but whether it is the image: only its bytes are taken.
void copy_from_zip(const Source& source, archive* reader, Target& target) {
    int images = 0;
    while (const auto name = next_entry(source, reader)) {
        if (!is_image_name(*name)) continue;
        if (++images > 1) throw Error(source.path().string() + ": more than one .img in the zip: unpack the right one");
        copy_entry(source, reader, target);
    }
    if (images == 0) throw Error(source.path().string() + ": no .img in the zip");
}

/// One gzip member is what every packer of images writes; its last eight bytes are checksum and size.
void check_gzip_end(const Source& source, const Target& image) {
    const std::array<std::uint32_t, 2> end = source.last_words();
    if (!image.fits(end[0], end[1])) {
        throw Error(source.path().string() + ": damaged or cut off (its checksum is wrong): fetch it again");
    }
}

/// A packed image is never smaller unpacked: less room than this cannot be enough.
void check_room(const Source& source, const std::filesystem::path& target) {
    struct statvfs room {};
    const std::filesystem::path folder = target.has_parent_path() ? target.parent_path() : ".";
    if (statvfs(folder.c_str(), &room) != 0) throw_system("asking for the free space of " + folder.string());
    const std::uint64_t free = static_cast<std::uint64_t>(room.f_bavail) * room.f_frsize;
    if (free < source.size()) {
        throw Error("unpacking " + source.path().string() + " needs at least " + std::to_string(source.size() >> 20) +
                    " MiB in " + folder.string() + " and " + std::to_string(free >> 20) +
                    " MiB are free: make room or choose another cache folder");
    }
}

}  // namespace

std::string unpack_image(const std::filesystem::path& source, const std::filesystem::path& target,
                         const UnpackLimits& limits) {
    Source packed(source);
    const Packing packing = packed.packing();
    if (packing != Packing::plain) check_room(packed, target);
    Target image(target, packed, packing == Packing::gzip, limits);
    const Reader reader = open_reader(packed, packing);
    if (packing == Packing::zip) {
        copy_from_zip(packed, reader.get(), image);
    } else if (next_entry(packed, reader.get())) {
        copy_entry(packed, reader.get(), image);
    }
    if (packing == Packing::gzip) check_gzip_end(packed, image);
    image.finish();
    return packed.finish();
}

}  // namespace makina
