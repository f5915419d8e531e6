#include "builder/image.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <future>
#include <mutex>
#include <optional>
#include <set>
#include <sstream>
#include <vector>

#include "builder/disk/disk.hpp"
#include "builder/flash/bmap.hpp"
#include "builder/manifest.hpp"
#include "builder/process.hpp"
#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

constexpr const char* boot_folder = "/boot/firmware/";

/// Names to numbers by the base's own /etc/passwd and /etc/group.
class Owners {
  public:
    explicit Owners(const Ext4& root) : passwd_(root.read_file("/etc/passwd")), group_(root.read_file("/etc/group")) {}
    [[nodiscard]] std::uint32_t user(const std::string& name) const { return find(passwd_, name, "user"); }
    [[nodiscard]] std::uint32_t group(const std::string& name) const { return find(group_, name, "group"); }

  private:
    /// Lines are name:password:number:... in both files (passwd(5), group(5)).
    static std::uint32_t find(const std::string& text, const std::string& name, const std::string& what) {
        if (name == "root") return 0;
        std::istringstream lines(text);
        for (std::string line; std::getline(lines, line);) {
            if (line.rfind(name + ":", 0) != 0) continue;
            const auto begin = line.find(':', name.size() + 1) + 1;
            std::uint32_t number = 0;
            const auto end = std::from_chars(line.data() + begin, line.data() + line.size(), number);
            if (end.ec == std::errc()) return number;
        }
        throw Error("the base has no " + what + " named " + name);
    }

    std::string passwd_, group_;
};

std::uint32_t type_of(FileKind kind) {
    switch (kind) {
        case FileKind::regular:
            return S_IFREG;
        case FileKind::directory:
            return S_IFDIR;
        case FileKind::symlink:
            return S_IFLNK;
    }
    throw Error("a file of unknown kind");
}

std::optional<std::string> on_boot_partition(const std::string& path) {
    if (path.rfind(boot_folder, 0) != 0) return std::nullopt;
    return path.substr(std::string(boot_folder).size());
}

Manifest describe(const ImagePlan& plan) {
    Manifest manifest{plan.cluster, plan.node.name, to_string(plan.node.role), plan.base_id, plan.built, {}};
    for (const auto& [path, file] : plan.files.files()) {
        manifest.files.push_back({sha256(file.content), file.mode, file.user, file.group, path, file.origin});
    }
    return manifest;
}

void write_root(PatchedImage& image, const Partition& partition, const ImagePlan& plan) {
    Ext4 root(image, partition);
    const Owners owners(root);
    for (const std::string& path : plan.removals) {
        if (!on_boot_partition(path)) root.remove(path);
    }
    for (const auto& [path, file] : plan.files.files()) {
        if (on_boot_partition(path)) continue;
        during("writing " + path, [&, &file = file] {
            root.write({file.path,
                        type_of(file.kind) | file.mode,
                        owners.user(file.user),
                        owners.group(file.group),
                        plan.built,
                        file.content,
                        0,
                        0,
                        {}});
        });
    }
    root.write({Manifest::path, S_IFREG | 0644, 0, 0, plan.built, encode(describe(plan)), 0, 0, {}});
    root.close();
}

void write_boot(PatchedImage& image, const Partition& partition, const ImagePlan& plan) {
    Fat boot(image, partition);
    for (const std::string& path : plan.removals) {
        if (const auto name = on_boot_partition(path)) boot.remove(*name);
    }
    for (const auto& [path, file] : plan.files.files()) {
        const auto name = on_boot_partition(path);
        if (!name) continue;
        if (file.kind != FileKind::regular) {
            throw Error(path + " is not a regular file, and the boot partition holds nothing else");
        }
        boot.write(*name, file.content, plan.built);
    }
}

/// Opens the file that will be the image, for us alone. The lock goes with the file, not with its name: a file that
/// another build named or removed between our opening and locking is let go, and the name is opened again.
Descriptor open_part(const std::filesystem::path& part) {
    for (;;) {
        Descriptor file(open(part.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
        if (!file) throw_system("making " + part.string());
        if (flock(file.get(), LOCK_EX | LOCK_NB) != 0) throw Error(part.string() + ": another build is writing it");
        struct stat opened {};
        struct stat named {};
        if (fstat(file.get(), &opened) != 0) throw_system("making " + part.string());
        if (lstat(part.c_str(), &named) == 0 && opened.st_ino == named.st_ino && opened.st_dev == named.st_dev) {
            return file;
        }
    }
}

/// The names that files have while they are written: a signal that ends the program leaves no destructor to remove
/// them.
class Unfinished {
  public:
    [[nodiscard]] Descriptor begin(const std::filesystem::path& part) {
        const std::lock_guard<std::mutex> guard(mutex_);
        if (abandoned_) throw Error("interrupted");
        Descriptor file = open_part(part);
        parts_.insert(part);
        return file;
    }
    void end(const std::filesystem::path& part) {
        const std::lock_guard<std::mutex> guard(mutex_);
        parts_.erase(part);
    }
    void abandon() {
        const std::lock_guard<std::mutex> guard(mutex_);
        abandoned_ = true;
        for (const std::filesystem::path& part : parts_) unlink(part.c_str());
    }

  private:
    std::mutex mutex_;
    std::set<std::filesystem::path> parts_;
    bool abandoned_ = false;
};

Unfinished& unfinished() {
    static Unfinished all;
    return all;
}

/// The file that is being written. It has its final name only after finish(); before, it goes when this goes.
class PartFile {
  public:
    explicit PartFile(const std::filesystem::path& output)
        : output_(output), part_(output.string() + ".part"), file_(unfinished().begin(part_)) {
        // What a killed run left may be here, with other permissions.
        if (fchmod(file_.get(), 0600) != 0 || ftruncate(file_.get(), 0) != 0) throw_system("making " + part_.string());
    }
    PartFile(const PartFile&) = delete;
    PartFile& operator=(const PartFile&) = delete;
    ~PartFile() {
        if (owned_) unlink(part_.c_str());
        unfinished().end(part_);
    }
    [[nodiscard]] int descriptor() const { return file_.get(); }
    [[nodiscard]] const std::filesystem::path& path() const { return part_; }

    void finish() {
        if (fsync(file_.get()) != 0) throw_system("writing " + part_.string() + " to the disk");
        if (rename(part_.c_str(), output_.c_str()) != 0) throw_system("naming " + output_.string());
        owned_ = false;
        const std::filesystem::path folder = output_.has_parent_path() ? output_.parent_path() : ".";
        const Descriptor directory(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (!directory || fsync(directory.get()) != 0) throw_system("writing " + folder.string() + " to the disk");
    }

  private:
    std::filesystem::path output_, part_;
    Descriptor file_;
    bool owned_ = true;
};

void copy_extent(const PatchedImage& image, const Extent& extent, int output) {
    auto from = static_cast<off_t>(extent.offset);
    auto to = from;
    std::uint64_t left = extent.size;
    while (left > 0) {
        // The kernel copies, or shares the blocks where the file system can.
        const ssize_t count = copy_file_range(image.descriptor(), &from, output, &to, left, 0);
        if (count > 0) {
            left -= static_cast<std::uint64_t>(count);
            continue;
        }
        if (count < 0 && errno == EINTR) continue;
        if (count < 0 && errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP && errno != ENOSYS)
            throw_system("writing the image");
        std::vector<char> buffer(std::min<std::uint64_t>(left, 1 << 20));
        const ssize_t got = pread(image.descriptor(), buffer.data(), buffer.size(), from);
        if (got <= 0) throw Error("the base became shorter while it was read");
        write_file_at(output, static_cast<std::uint64_t>(to), buffer.data(), static_cast<std::size_t>(got));
        from += got;
        to += got;
        left -= static_cast<std::uint64_t>(got);
    }
}

std::uint64_t copy_image(const PatchedImage& image, int output, const ImageOptions& options) {
    if (ftruncate(output, static_cast<off_t>(image.size())) != 0) throw_system("writing the image");
    const std::vector<Extent> extents = data_extents(image.descriptor(), 0, image.size());
    std::uint64_t total = 0;
    for (const Extent& extent : extents) total += extent.size;
    std::uint64_t done = 0;
    constexpr std::uint64_t step = 32 << 20;
    for (const Extent& extent : extents) {
        for (std::uint64_t at = 0; at < extent.size; at += step) {
            const std::uint64_t part = std::min(step, extent.size - at);
            copy_extent(image, {extent.offset + at, part}, output);
            options.progress(done += part, total);
        }
    }
    image.write_changes(output);
    return total;
}

/// Runs beside the copying: the bytes are the same, read through the page cache.
std::string hash_image(const PatchedImage& image) {
    Sha256 digest;
    std::vector<char> buffer(1 << 20);
    const std::string zeros(1 << 20, '\0');
    const auto add_zeros = [&](std::uint64_t from, std::uint64_t to) {
        for (; from < to; from += std::min<std::uint64_t>(zeros.size(), to - from)) {
            digest.update(std::string_view(zeros).substr(0, std::min<std::uint64_t>(zeros.size(), to - from)));
        }
    };
    // Data of the base and changed blocks, merged; what is neither is zero and need not be read.
    std::vector<Extent> runs = data_extents(image.descriptor(), 0, image.size());
    for (const auto& changed : image.changed()) runs.push_back({changed.first, PatchedImage::block_size});
    std::sort(runs.begin(), runs.end(), [](const Extent& a, const Extent& b) { return a.offset < b.offset; });
    std::uint64_t at = 0;
    for (const Extent& run : runs) {
        const std::uint64_t end = std::min(run.offset + run.size, image.size());
        if (end <= at) continue;
        add_zeros(at, run.offset);
        for (at = std::max(at, run.offset); at < end;) {
            const std::size_t part = std::min<std::uint64_t>(buffer.size(), end - at);
            image.read(at, buffer.data(), part);
            digest.update({buffer.data(), part});
            at += part;
        }
    }
    add_zeros(at, image.size());
    return digest.hex();
}

std::vector<std::string> compressor(Compression compression) {
    switch (compression) {
        case Compression::none:
            return {};
        case Compression::xz:
            // The plus keeps its blocks the same on a machine with one processor.
            return {"xz", "--stdout", "--threads=+0", "-6"};
        case Compression::zstd:
            return {"zstd", "--stdout", "--quiet", "-T0", "-10"};
    }
    throw Error("an unknown compression");
}

void write_all(int file, const char* data, std::size_t size) {
    while (size > 0) {
        const ssize_t count = ::write(file, data, size);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) throw_system("writing the image");
        data += count;
        size -= static_cast<std::size_t>(count);
    }
}

WrittenImage write_raw(const PatchedImage& image, const ImageOptions& options) {
    PartFile part(options.output);
    std::future<std::string> hash;
    if (options.checksum) hash = std::async(std::launch::async, [&] { return hash_image(image); });
    WrittenImage written{options.output, image.size(), 0, {}};
    written.used = during(part.path().string(), [&] { return copy_image(image, part.descriptor(), options); });
    if (hash.valid()) written.sha256 = hash.get();
    part.finish();
    return written;
}

void write_block_map(PatchedImage& image, const std::filesystem::path& output) {
    PartFile part(output);
    const std::string map = make_block_map(image);
    during(part.path().string(), [&] { write_all(part.descriptor(), map.data(), map.size()); });
    part.finish();
}

WrittenImage write_blocks(const PatchedImage& image, const std::string& base, const ImageOptions& options) {
    PartFile part(options.output);
    const std::string content = encode(pack_blocks(image, base));
    during(part.path().string(), [&] { write_all(part.descriptor(), content.data(), content.size()); });
    part.finish();
    return {options.output, content.size(), content.size(), options.checksum ? sha256(content) : ""};
}

/// The raw image is only a step on the way: it has a name while the compressor reads it, and never the final one.
WrittenImage write_compressed(const PatchedImage& image, const ImageOptions& options) {
    PartFile part(options.output);
    const PartFile raw(options.output.string() + ".raw");
    during(raw.path().string(), [&] { (void)copy_image(image, raw.descriptor(), options); });
    Sha256 digest;
    std::uint64_t size = 0;
    std::vector<std::string> argv = compressor(options.compression);
    argv.push_back(raw.path().string());
    run_streaming({argv}, [&](const char* data, std::size_t count) {
        during(part.path().string(), [&] { write_all(part.descriptor(), data, count); });
        digest.update({data, count});
        size += count;
    });
    part.finish();
    return {options.output, size, size, digest.hex()};
}

}  // namespace

void abandon_images() {
    unfinished().abandon();
}

std::shared_ptr<PatchedImage> compose_image(const ImagePlan& plan, const BaseImage& base) {
    const PartitionTable table = read_partition_table(base.path);
    const Partition* const boot = table.find(1);
    const Partition* const root = table.find(2);
    if (boot == nullptr || root == nullptr) throw Error(base.path.string() + " lacks a boot or a root partition");
    auto image = std::make_shared<PatchedImage>(base.path);
    write_root(*image, *root, plan);
    write_boot(*image, *boot, plan);
    return image;
}

WrittenImage write_image(const ImagePlan& plan, const BaseImage& base, const ImageOptions& options) {
    const auto image = compose_image(plan, base);
    if (options.block_map) write_block_map(*image, options.output.string() + ".bmap");
    if (options.blocks_only) return write_blocks(*image, base.facts.id, options);
    if (options.compression == Compression::none) return write_raw(*image, options);
    return write_compressed(*image, options);
}

}  // namespace makina
