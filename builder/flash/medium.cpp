#include "builder/flash/medium.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

/// linux/fs.h has it since 5.15; Debian 12's kernel answers it.
constexpr unsigned long get_disk_sequence = _IOR(0x12, 128, std::uint64_t);

class FileMedium : public Medium {
  public:
    FileMedium(Descriptor file, std::string name) : file_(std::move(file)), name_(std::move(name)) {}

    [[nodiscard]] std::string name() const override { return name_; }
    /// A file takes as much as its file system does: 8 EiB less a block.
    [[nodiscard]] std::uint64_t size() const override { return (std::uint64_t{1} << 63) - block; }
    [[nodiscard]] bool is_file() const override { return true; }
    ssize_t read(char* data, std::size_t count, std::uint64_t offset) override {
        const ssize_t got = pread(file_.get(), data, count, static_cast<off_t>(offset));
        if (got < 0 || static_cast<std::size_t>(got) == count) return got;
        // Behind its end a file is as empty as in a hole.
        std::fill(data + got, data + count, '\0');
        return static_cast<ssize_t>(count);
    }
    ssize_t write(const char* data, std::size_t count, std::uint64_t offset) override {
        return pwrite(file_.get(), data, count, static_cast<off_t>(offset));
    }
    int sync() override { return fsync(file_.get()); }
    int begin() override { return ftruncate(file_.get(), 0); }
    /// It was emptied in the beginning, and what is written is never given up again.
    int zero(std::uint64_t offset, std::uint64_t count) override {
        const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
        return fallocate(file_.get(), mode, static_cast<off_t>(offset), static_cast<off_t>(count));
    }
    int forget() override {
        errno = posix_fadvise(file_.get(), 0, 0, POSIX_FADV_DONTNEED);
        return errno == 0 ? 0 : -1;
    }
    std::optional<std::uint64_t> sequence() override { return std::nullopt; }
    int resize(std::uint64_t size) override {
        if (ftruncate(file_.get(), static_cast<off_t>(size)) != 0) return -1;
        return fsync(file_.get());
    }

  private:
    Descriptor file_;
    std::string name_;
};

class BlockMedium : public Medium {
  public:
    BlockMedium(Descriptor device, std::string name, std::uint64_t size, bool zeroes)
        : device_(std::move(device)), name_(std::move(name)), size_(size), zeroes_(zeroes) {}

    [[nodiscard]] std::string name() const override { return name_; }
    [[nodiscard]] std::uint64_t size() const override { return size_; }
    [[nodiscard]] bool is_file() const override { return false; }
    int begin() override { return 0; }
    ssize_t read(char* data, std::size_t count, std::uint64_t offset) override {
        return pread(device_.get(), data, count, static_cast<off_t>(offset));
    }
    ssize_t write(const char* data, std::size_t count, std::uint64_t offset) override {
        return pwrite(device_.get(), data, count, static_cast<off_t>(offset));
    }
    int sync() override { return fsync(device_.get()); }
    int zero(std::uint64_t offset, std::uint64_t count) override {
        if (zeroes_) return range(BLKZEROOUT, offset, count);
        errno = EOPNOTSUPP;  // the kernel would send zeros
        return -1;
    }
    int forget() override {
        // Who is only in the group of the device may not flush (CAP_SYS_ADMIN). Direct reads go past what the machine
        // remembers all the same, which is let go of so that nobody else reads it.
        const bool is_direct = (fcntl(device_.get(), F_GETFL) & O_DIRECT) != 0;
        const bool is_flushed = ioctl(device_.get(), BLKFLSBUF) == 0;
        if (!is_flushed && !(is_direct && (errno == EACCES || errno == EPERM))) return -1;
        errno = posix_fadvise(device_.get(), 0, 0, POSIX_FADV_DONTNEED);
        return errno == 0 ? 0 : -1;
    }
    std::optional<std::uint64_t> sequence() override {
        std::uint64_t number = 0;
        if (ioctl(device_.get(), get_disk_sequence, &number) == 0) return number;
        return std::nullopt;
    }
    int resize(std::uint64_t) override { return 0; }

  private:
    int range(unsigned long request, std::uint64_t offset, std::uint64_t count) {
        std::array<std::uint64_t, 2> bytes = {offset, count};
        return ioctl(device_.get(), request, bytes.data());
    }

    Descriptor device_;
    std::string name_;
    std::uint64_t size_;
    bool zeroes_;
};

}  // namespace

std::shared_ptr<Medium> open_file_medium(const std::filesystem::path& file) {
    const int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    // Direct where its file system can, so that an image does not push everything else out of the memory.
    Descriptor opened(open(file.c_str(), flags | O_DIRECT, 0600));
    if (!opened && errno == EINVAL) opened = Descriptor(open(file.c_str(), flags, 0600));
    if (!opened) throw_system("opening " + file.string());
    struct stat status {};
    if (fstat(opened.get(), &status) != 0) throw_system("looking at " + file.string());
    if (!S_ISREG(status.st_mode)) throw Error(file.string() + " is neither a plain file nor a block device");
    if (flock(opened.get(), LOCK_EX | LOCK_NB) != 0) throw Error(file.string() + ": somebody else is writing it");
    return std::make_shared<FileMedium>(std::move(opened), file.string());
}

std::shared_ptr<Medium> block_medium(Descriptor device, const std::string& name, bool zeroes) {
    std::uint64_t size = 0;
    if (ioctl(device.get(), BLKGETSIZE64, &size) != 0) throw_system("asking for the size of " + name);
    // A device of an odd number of sectors is used up to its last whole block.
    return std::make_shared<BlockMedium>(std::move(device), name, size / Medium::block * Medium::block, zeroes);
}

}  // namespace makina
