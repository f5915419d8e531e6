#pragma once

#include <sys/stat.h>

#include <compare>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace makina {

/// Which file it is, whatever it is called: st_dev and st_ino of stat(2).
struct FileId {
    std::uint64_t device = 0, inode = 0;
    auto operator<=>(const FileId&) const = default;
};

/// Links are followed; none if it does not exist.
[[nodiscard]] std::optional<FileId> file_id(const std::filesystem::path& path);

/// As sysfs spells a device number of stat(2): "8:16".
[[nodiscard]] std::string device_number(std::uint64_t device);

/// What is swapped to: devices and files. `root` is another / in tests.
[[nodiscard]] std::vector<std::filesystem::path> swap_areas(const std::filesystem::path& root = "/");

/// What a loop device shows (losetup(8)).
struct Backing {
    std::string path;            ///< as the kernel spells it; a file that was removed has another one than it had
    std::string device;          ///< "8:16" if it is a block device
    std::optional<FileId> file;  ///< if it is a plain file; neither of both if that cannot be told
};

/// Asks the device by loop(4), or sysfs where it may not be opened; none if it shows nothing, or is no loop device.
/// `name` is "loop3"; `root` is another / in tests.
[[nodiscard]] std::optional<Backing> backing_of(const std::string& name, const std::filesystem::path& root = "/");

/// Why this file must not change: it "is shown by /dev/loop3 ..." (unless that is `except`), it "is swapped to ...".
[[nodiscard]] std::vector<std::string> uses_of(const FileId& file, const std::string& except,
                                               const std::filesystem::path& root = "/");

}  // namespace makina
