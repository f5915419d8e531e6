#include "builder/base/grow.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "builder/disk/disk.hpp"
#include "builder/process.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/handle.hpp"

namespace makina {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t mib = 1 << 20;
/// The MBR counts sectors of 512 bytes with 32 bits.
constexpr std::uint64_t largest_disk = std::uint64_t{0xffffffff} * 512;

/// A file that is removed whatever happens.
class Removed {
  public:
    explicit Removed(fs::path path) : path_(std::move(path)) {}
    Removed(const Removed&) = delete;
    Removed& operator=(const Removed&) = delete;
    ~Removed() {
        std::error_code ignored;
        fs::remove(path_, ignored);
    }
    [[nodiscard]] const fs::path& path() const { return path_; }

  private:
    fs::path path_;
};

Descriptor open_file(const fs::path& path, int flags) {
    Descriptor file(open(path.c_str(), flags | O_CLOEXEC, 0600));
    if (!file) throw_system("opening " + path.string());
    return file;
}

void write_at(int file, const char* data, std::size_t size, std::uint64_t offset, const fs::path& path) {
    while (size > 0) {
        const ssize_t count = pwrite(file, data, size, static_cast<off_t>(offset));
        if (count <= 0) throw_system("writing " + path.string());
        data += count;
        offset += static_cast<std::uint64_t>(count);
        size -= static_cast<std::size_t>(count);
    }
}

/// Copies `size` bytes; holes stay holes. The target's range must read as zero before.
void copy_range(const fs::path& from, std::uint64_t from_offset, const fs::path& to, std::uint64_t to_offset,
                std::uint64_t size) {
    const Descriptor source = open_file(from, O_RDONLY);
    const Descriptor target = open_file(to, O_WRONLY | O_CREAT);
    std::vector<char> buffer(mib);
    for (const Extent& extent : data_extents(source.get(), from_offset, size)) {
        for (std::uint64_t done = 0; done < extent.size;) {
            const std::size_t part = std::min<std::uint64_t>(buffer.size(), extent.size - done);
            const ssize_t count = pread(source.get(), buffer.data(), part, static_cast<off_t>(extent.offset + done));
            if (count <= 0) throw_system("reading " + from.string());
            const auto got = static_cast<std::size_t>(count);
            write_at(target.get(), buffer.data(), got, extent.offset + done - from_offset + to_offset, to);
            done += got;
        }
    }
    if (fsync(target.get()) != 0) throw_system("writing " + to.string());
}

/// e2fsprogs read the clock unless told the time (misc/mke2fs.8, e2fsck/unix.c).
std::map<std::string, std::string> fixed_clock(std::int64_t now) {
    return {{"E2FSPROGS_FAKE_TIME", std::to_string(now)}, {"E2FSCK_TIME", std::to_string(now)}, {"LC_ALL", "C"}};
}

/// resize2fs wants a file system that was just checked. e2fsck(8): 0 is clean, 1 is repaired.
void check_and_resize(const fs::path& root, std::uint64_t size, std::int64_t now) {
    const Result check = run({{"e2fsck", "-f", "-p", root.string()}, fixed_clock(now)});
    if (check.status != 0 && check.status != 1) {
        throw Error("the root file system is damaged: fetch the image again; e2fsck says:\n" + check.output +
                    check.errors);
    }
    fs::resize_file(root, size);
    run_checked({{"resize2fs", root.string()}, fixed_clock(now)});
    // resize2fs cuts the file to whole groups of blocks; the partition keeps its size.
    fs::resize_file(root, size);
}

const Partition& last_root(const PartitionTable& table) {
    const Partition* const root = table.find(2);
    if (root == nullptr) throw Error("no partition 2");
    for (const Partition& other : table.partitions) {
        if (other.number > 2 || other.offset > root->offset) {
            throw Error("partition " + std::to_string(other.number) +
                        " is in the way of a larger root file system: supported are images with two partitions, the "
                        "root file system last");
        }
    }
    return *root;
}

/// How much the partition must grow: what is missing, what the new part's own tables take, whole steps of 4 MiB.
std::uint64_t missing_bytes(const fs::path& image, const Partition& root, std::uint64_t free_bytes) {
    // Opened for writing although nothing is written: only then does libext2fs refuse features that it may not change.
    const std::uint64_t free = Ext4(image, root.offset, true).free_bytes();
    if (free >= free_bytes) return 0;
    const std::uint64_t missing = free_bytes - free;
    // An inode of 256 bytes for each 8 KiB at most, and bitmaps: 1/32 + 1/4096 and a little.
    const std::uint64_t step = 4 * mib;
    return (missing + missing / 24 + step + step - 1) / step * step;
}

}  // namespace

void grow_root(const fs::path& image, std::uint64_t free_bytes, std::int64_t now) {
    during("enlarging the root file system", [&] {
        if (free_bytes > largest_disk / 2) throw Error("more free space than a card can have: ask for less");
        PartitionTable table = read_partition_table(image);
        const Partition root = last_root(table);
        const std::uint64_t more = missing_bytes(image, root, free_bytes);
        if (more == 0) return;
        if (root.offset + root.size > largest_disk - more) throw Error("the image would be larger than an MBR can say");

        const Removed copy(image.string() + ".root");
        fs::remove(copy.path());
        copy_range(image, root.offset, copy.path(), 0, root.size);
        fs::resize_file(copy.path(), root.size);
        check_and_resize(copy.path(), root.size + more, now);

        // Cut and made longer again, the range is one hole: what the copy leaves out reads as zero.
        fs::resize_file(image, root.offset);
        fs::resize_file(image, root.offset + root.size + more);
        copy_range(copy.path(), 0, image, root.offset, root.size + more);
        for (Partition& partition : table.partitions) {
            if (partition.number == 2) partition.size += more;
        }
        write_partition_table(image, table);
        const PartitionTable written = read_partition_table(image);
        const Partition* const grown = written.find(2);
        if (grown == nullptr || grown->offset != root.offset || grown->size != root.size + more) {
            throw Error("the partition table cannot be changed as needed");
        }
    });
}

}  // namespace makina
