#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace makina {

enum class FileKind { regular, directory, symlink };

/// One file as it will be in an image. The one currency between the rooms: overlay files, units, package files.
struct File {
    std::string path;  ///< absolute on the node, normalised: "/etc/hostname"; below /boot/firmware/ = the FAT
    FileKind kind = FileKind::regular;
    std::uint32_t mode = 0644;  ///< permission bits only, setuid and sticky included
    std::string user = "root";  ///< names, resolved with the base's own /etc/passwd and /etc/group
    std::string group = "root";
    std::string content;  ///< a regular file's bytes, or a symlink's target
    std::string origin;   ///< where it comes from, for people: "overlays/any/etc/hosts.in"
};

/// Files by path; a later `put` of the same path replaces the earlier one.
class FileTree {
  public:
    void put(File file) { files_.insert_or_assign(file.path, std::move(file)); }
    void remove(const std::string& path) { files_.erase(path); }
    [[nodiscard]] const File* find(const std::string& path) const {
        const auto found = files_.find(path);
        return found == files_.end() ? nullptr : &found->second;
    }
    [[nodiscard]] const std::map<std::string, File>& files() const { return files_; }

  private:
    std::map<std::string, File> files_;
};

}  // namespace makina
