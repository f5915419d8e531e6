#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>

namespace makina {

/// One entry of an archive of files (a .deb's data, a root file system as tar, an initramfs).
struct PackedFile {
    std::string path;         ///< absolute and merged: "/lib/x" reads "/usr/lib/x"
    std::uint32_t mode = 0;   ///< type and permissions, as st_mode
    std::string user, group;  ///< names if the archive has them
    std::uint32_t uid = 0, gid = 0;
    std::uint64_t size = 0;
    std::int64_t mtime = 0;
    std::string target;     ///< of a symlink
    std::string hard_link;  ///< path of the file that this is a second name of, or empty
    std::uint32_t device_major = 0, device_minor = 0;
    std::map<std::string, std::string> xattrs;
};

/// Gives the content of the entry being visited; call it at most once, only inside the visit.
using Content = std::function<std::string()>;
using Visit = std::function<void(const PackedFile&, const Content&)>;

/// The control part of a Debian package (deb(5)): each file in it by name, "control" among them.
[[nodiscard]] std::map<std::string, std::string> read_control(const std::filesystem::path& deb);

/// Visits every entry of a Debian package's data part, in its order. Throws Error naming the package if it is damaged.
void visit_deb(const std::filesystem::path& deb, const Visit& visit);

/// Visits every entry of an uncompressed tar file.
void visit_tar(const std::filesystem::path& tar, const Visit& visit);

/// Visits every entry of an initramfs: plain cpio archives (newc) one after another, of which the last may be
/// compressed with gzip, xz or zstd. Padding between them is zero bytes.
void visit_initramfs(const std::string& initramfs, const Visit& visit);

/// Makes a zstd-compressed cpio (newc) archive, the form that the Linux kernel unpacks as its first root.
/// Every entry has time stamp `mtime`, so that equal contents are equal bytes.
class InitramfsWriter {
  public:
    explicit InitramfsWriter(std::int64_t mtime);
    InitramfsWriter(const InitramfsWriter&) = delete;
    InitramfsWriter& operator=(const InitramfsWriter&) = delete;
    ~InitramfsWriter();
    void add(const PackedFile& file, const std::string& content);
    [[nodiscard]] std::string finish();

  private:
    struct State;
    std::unique_ptr<State> state_;
};

/// "./lib/x" -> "/usr/lib/x": absolute, and merged as Debian's file systems are (the folders /bin /sbin /lib /lib64 are
/// links into /usr; Debian policy 9.1.1 since release 13).
[[nodiscard]] std::string merged_path(const std::string& path);

}  // namespace makina
