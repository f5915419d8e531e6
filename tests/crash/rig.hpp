#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "firstboot/bundle/handle.hpp"

// Disks whose every write is logged, and what they are mounted with. All of it needs root.
namespace makina::crash {

namespace fs = std::filesystem;

/// Why power cuts cannot be staged on this machine; empty if they can.
[[nodiscard]] std::string why_not();

/// A folder in memory, in a mount and a network namespace of this process alone: whatever is mounted, attached or
/// configured here is gone when the process and its children are, however they end. Made at the first call.
[[nodiscard]] const fs::path& workshop();

/// A file as a block device. Detached when this is gone.
class Loop {
  public:
    /// The whole file, its partitions known to the kernel.
    explicit Loop(const fs::path& file);
    /// A part of it, in bytes.
    Loop(const fs::path& file, std::uint64_t offset, std::uint64_t size);
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;
    ~Loop();

    [[nodiscard]] fs::path whole() const { return whole_; }
    [[nodiscard]] fs::path partition(int number) const { return whole_.string() + "p" + std::to_string(number); }

  private:
    void attach(const fs::path& file, std::uint64_t offset, std::uint64_t size, bool partitions);
    fs::path node_of(const std::string& name);

    fs::path whole_;  ///< "/dev/loop3"
    std::vector<fs::path> made_;
    Descriptor device_;
};

/// An ext4 file system mounted as the root of a node is (overlays/any/etc/fstab.in). Unmounted when this is gone.
class Mounted {
  public:
    Mounted(const fs::path& device, const fs::path& folder);
    Mounted(const Mounted&) = delete;
    Mounted& operator=(const Mounted&) = delete;
    ~Mounted();
    /// Throws Error if somebody still uses it.
    void unmount();
    [[nodiscard]] const fs::path& path() const { return folder_; }

  private:
    fs::path folder_;
    bool mounted_ = true;
};

/// A card that logs every write and flush: qemu-storage-daemon's blklogwrites, shown as a file through FUSE. Its card
/// and log files stay when this is gone.
class LoggedCard {
  public:
    LoggedCard(const fs::path& card, const fs::path& log);
    LoggedCard(const LoggedCard&) = delete;
    LoggedCard& operator=(const LoggedCard&) = delete;
    ~LoggedCard();
    [[nodiscard]] const fs::path& file() const { return file_; }

  private:
    void end();
    fs::path file_;
    pid_t child_ = -1;
};

}  // namespace makina::crash
