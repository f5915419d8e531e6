#pragma once

extern "C" {  // com_err.h does not say so itself
#include <et/com_err.h>
}
#include <ext2fs/ext2fs.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "builder/disk/disk.hpp"

namespace makina {

/// libext2fs's door to a partition of a PatchedImage: an io_manager whose blocks are read from the base and written to
/// the changed blocks. Only for builder/disk.
[[nodiscard]] io_manager patched_io_manager();

/// What to give ext2fs_open2 as the name of the file; the image must outlive the file system.
[[nodiscard]] std::string patched_io_name(PatchedImage& image, std::uint64_t offset);

// What reading (ext4.cpp) and writing (ext4_write.cpp) share.

/// Owns the open file system. It frees without writing: only close() writes, so that an exception leaves the image as
/// it was.
struct Ext4::State {
    ext2_filsys fs = nullptr;
    State() = default;
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State() {
        if (fs != nullptr) ext2fs_free(fs);
    }
};

/// Extended attributes of one inode, read and ready to be asked or changed.
struct XattrCloser {
    void operator()(ext2_xattr_handle* handle) const { ext2fs_xattrs_close(&handle); }
};
using Xattrs = std::unique_ptr<ext2_xattr_handle, XattrCloser>;

/// The one translator of libext2fs's return codes: throws Error "<what>: <its text>".
void require_ext2(errcode_t code, const std::string& what);
/// The inode number of a path, if there is one.
[[nodiscard]] std::optional<ext2_ino_t> look_up(ext2_filsys fs, const std::string& path, bool follow);
[[nodiscard]] ext2_inode_large read_inode(ext2_filsys fs, ext2_ino_t number);
[[nodiscard]] Xattrs open_xattrs(ext2_filsys fs, ext2_ino_t number, const std::string& path);
/// Names and inodes in a folder, sorted by name, without "." and "..".
[[nodiscard]] std::vector<std::pair<std::string, ext2_ino_t>> folder_entries(ext2_filsys fs, ext2_ino_t folder,
                                                                             const std::string& path);

}  // namespace makina
