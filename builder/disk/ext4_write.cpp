#include <sys/stat.h>

#include <cstring>

#include "builder/disk/disk.hpp"
#include "builder/disk/ext4_io.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {

namespace {

std::pair<std::string, std::string> split(const std::string& path) {
    const auto slash = path.rfind('/');
    if (path.empty() || path[0] != '/' || slash + 1 == path.size()) throw Error("not an absolute path: " + path);
    return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

/// Owners are kept in two halves.
void set_ids(ext2_inode_large& inode, std::uint32_t uid, std::uint32_t gid) {
    inode.i_uid = static_cast<__u16>(uid);
    inode.osd2.linux2.l_i_uid_high = static_cast<__u16>(uid >> 16);
    inode.i_gid = static_cast<__u16>(gid);
    inode.osd2.linux2.l_i_gid_high = static_cast<__u16>(gid >> 16);
}

/// Puts time stamps, owner and mode into a new inode. i_extra_isize and i_crtime must be set by hand: libext2fs leaves
/// them zero, which reads as 1970.
void stamp(ext2_inode_large& inode, const Ext4Entry& entry, std::size_t inode_size) {
    inode.i_mode = static_cast<__u16>(entry.mode);
    set_ids(inode, entry.uid, entry.gid);
    const auto time = static_cast<__u32>(entry.mtime);
    inode.i_atime = inode.i_ctime = inode.i_mtime = time;
    if (inode_size > EXT2_GOOD_OLD_INODE_SIZE) {
        inode.i_extra_isize = sizeof(ext2_inode_large) - EXT2_GOOD_OLD_INODE_SIZE;
        inode.i_crtime = time;
        inode.i_atime_extra = inode.i_ctime_extra = inode.i_mtime_extra = inode.i_crtime_extra = 0;
    }
}

void write_inode(ext2_filsys fs, ext2_ino_t number, ext2_inode_large& inode, const std::string& path) {
    require_ext2(ext2fs_write_inode_full(fs, number, reinterpret_cast<ext2_inode*>(&inode), sizeof inode),
                 "writing the inode of " + path);
}

void link(ext2_filsys fs, ext2_ino_t folder, const std::string& name, ext2_ino_t number, int type,
          const std::string& path) {
    errcode_t code = ext2fs_link(fs, folder, name.c_str(), number, type);
    if (code == EXT2_ET_DIR_NO_SPACE) {
        require_ext2(ext2fs_expand_dir(fs, folder), "making room in the folder of " + path);
        code = ext2fs_link(fs, folder, name.c_str(), number, type);
    }
    require_ext2(code, "naming " + path);
}

/// Gives the inode its blocks in as few extents as there are, then writes whole runs of blocks at once.
void write_content(ext2_filsys fs, ext2_ino_t number, std::string_view content, const std::string& path) {
    const std::uint64_t block_size = fs->blocksize;
    const blk64_t blocks = (content.size() + block_size - 1) / block_size;
    require_ext2(ext2fs_fallocate(fs, EXT2_FALLOCATE_FORCE_INIT, number, nullptr, ~0ULL, 0, blocks), "writing " + path);
    std::string last;
    for (blk64_t block = 0; block < blocks;) {
        blk64_t place = 0;
        require_ext2(ext2fs_bmap2(fs, number, nullptr, nullptr, 0, block, nullptr, &place), "writing " + path);
        blk64_t run = 1;
        for (; block + run < blocks && run < 4096; ++run) {
            blk64_t next = 0;
            require_ext2(ext2fs_bmap2(fs, number, nullptr, nullptr, 0, block + run, nullptr, &next), "writing " + path);
            if (next != place + run) break;
        }
        const std::string_view part = content.substr(block * block_size, run * block_size);
        const auto whole = static_cast<int>(part.size() / block_size);
        if (whole > 0) require_ext2(io_channel_write_blk64(fs->io, place, whole, part.data()), "writing " + path);
        if (part.size() % block_size != 0) {
            last = part.substr(static_cast<std::size_t>(whole) * block_size);
            last.resize(block_size);
            require_ext2(io_channel_write_blk64(fs->io, place + whole, 1, last.data()), "writing " + path);
        }
        block += run;
    }
}

void set_xattrs(ext2_filsys fs, ext2_ino_t number, const std::map<std::string, std::string>& values,
                const std::string& path) {
    if (values.empty()) return;
    const Xattrs handle = open_xattrs(fs, number, path);
    const std::string what = "setting the attributes of " + path + ": ";
    for (const auto& [name, value] : values) {
        require_ext2(ext2fs_xattr_set(handle.get(), name.c_str(), value.data(), value.size()), what + name);
    }
    require_ext2(ext2fs_xattrs_write(handle.get()), "setting the attributes of " + path);
}

void free_inode(ext2_filsys fs, ext2_ino_t number, ext2_inode_large& inode, const std::string& path) {
    auto* const small = reinterpret_cast<ext2_inode*>(&inode);
    require_ext2(ext2fs_free_ext_attr(fs, number, &inode), "removing the attributes of " + path);
    if (ext2fs_inode_has_valid_blocks2(fs, small) != 0) {
        require_ext2(ext2fs_punch(fs, number, small, nullptr, 0, ~0ULL), "freeing the blocks of " + path);
    }
    const bool is_folder = S_ISDIR(inode.i_mode);
    std::memset(&inode, 0, sizeof inode);
    inode.i_dtime = static_cast<__u32>(fs->now);
    write_inode(fs, number, inode, path);
    ext2fs_inode_alloc_stats2(fs, number, -1, is_folder ? 1 : 0);
}

/// Takes one name away, and the file with it if that was its last.
void unlink_file(ext2_filsys fs, ext2_ino_t folder, const std::string& name, ext2_ino_t number,
                 const std::string& path) {
    require_ext2(ext2fs_unlink(fs, folder, name.c_str(), number, 0), "removing " + path);
    ext2_inode_large inode = read_inode(fs, number);
    if (!S_ISDIR(inode.i_mode) && inode.i_links_count > 1) {
        --inode.i_links_count;
        write_inode(fs, number, inode, path);
        return;
    }
    free_inode(fs, number, inode, path);
}

ext2_ino_t make_folder(ext2_filsys fs, const Ext4Entry& entry) {
    const auto [parent, name] = split(entry.path);
    const ext2_ino_t folder = look_up(fs, parent, true).value();
    ext2_ino_t number = 0;
    require_ext2(ext2fs_new_inode(fs, folder, LINUX_S_IFDIR, nullptr, &number), "making " + entry.path);
    errcode_t code = ext2fs_mkdir(fs, folder, number, name.c_str());
    if (code == EXT2_ET_DIR_NO_SPACE) {
        require_ext2(ext2fs_expand_dir(fs, folder), "making room in " + parent);
        code = ext2fs_mkdir(fs, folder, number, name.c_str());
    }
    require_ext2(code, "making " + entry.path);
    ext2_inode_large inode = read_inode(fs, number);
    stamp(inode, entry, EXT2_INODE_SIZE(fs->super));
    write_inode(fs, number, inode, entry.path);
    return number;
}

ext2_ino_t folder_of(ext2_filsys fs, const std::string& path, std::int64_t mtime) {
    if (path == "/") return EXT2_ROOT_INO;
    if (const auto number = look_up(fs, path, true)) {
        require_ext2(ext2fs_check_directory(fs, *number), path);
        return *number;
    }
    (void)folder_of(fs, split(path).first, mtime);
    return make_folder(fs, {path, S_IFDIR | 0755, 0, 0, mtime, {}, 0, 0, {}});
}

void remove_tree(ext2_filsys fs, ext2_ino_t folder, const std::string& name, ext2_ino_t number,
                 const std::string& path) {
    ext2_inode_large inode = read_inode(fs, number);
    if (S_ISDIR(inode.i_mode)) {
        const std::string inside = path + "/";
        for (const auto& [child, child_number] : folder_entries(fs, number, path)) {
            remove_tree(fs, number, child, child_number, inside + child);
        }
        ext2_inode_large parent = read_inode(fs, folder);
        --parent.i_links_count;
        write_inode(fs, folder, parent, path);
    }
    unlink_file(fs, folder, name, number, path);
}

ext2_ino_t make_file(ext2_filsys fs, const Ext4Entry& entry, ext2_ino_t folder) {
    ext2_ino_t number = 0;
    require_ext2(ext2fs_new_inode(fs, folder, static_cast<int>(entry.mode), nullptr, &number), "making " + entry.path);
    ext2_inode_large inode{};
    stamp(inode, entry, EXT2_INODE_SIZE(fs->super));
    inode.i_links_count = 1;
    if (S_ISREG(entry.mode))
        ext2fs_inode_size_set(fs, reinterpret_cast<ext2_inode*>(&inode),
                              static_cast<ext2_off64_t>(entry.content.size()));
    if (S_ISCHR(entry.mode) || S_ISBLK(entry.mode)) {
        if (entry.device_major < 256 && entry.device_minor < 256) {
            inode.i_block[0] = entry.device_major * 256 + entry.device_minor;
        } else {
            inode.i_block[1] =
                (entry.device_minor & 0xff) | (entry.device_major << 8) | ((entry.device_minor & ~0xffU) << 12);
        }
    }
    if (S_ISREG(entry.mode) && ext2fs_has_feature_extents(fs->super) != 0) {
        ext2_extent_handle_t extents = nullptr;
        inode.i_flags &= ~static_cast<__u32>(EXT4_EXTENTS_FL);
        require_ext2(ext2fs_write_new_inode(fs, number, reinterpret_cast<ext2_inode*>(&inode)), "making " + entry.path);
        write_inode(fs, number, inode, entry.path);
        require_ext2(ext2fs_extent_open2(fs, number, reinterpret_cast<ext2_inode*>(&inode), &extents),
                     "making " + entry.path);
        ext2fs_extent_free(extents);
    }
    write_inode(fs, number, inode, entry.path);
    ext2fs_inode_alloc_stats2(fs, number, +1, 0);
    if (S_ISREG(entry.mode) && !entry.content.empty()) write_content(fs, number, entry.content, entry.path);
    return number;
}

int directory_type(std::uint32_t mode) {
    if (S_ISREG(mode)) return EXT2_FT_REG_FILE;
    if (S_ISCHR(mode)) return EXT2_FT_CHRDEV;
    if (S_ISBLK(mode)) return EXT2_FT_BLKDEV;
    if (S_ISFIFO(mode)) return EXT2_FT_FIFO;
    if (S_ISSOCK(mode)) return EXT2_FT_SOCK;
    throw Error("a file of unknown type");
}

}  // namespace

void Ext4::write(const Ext4Entry& entry) {
    const ext2_filsys fs = state_->fs;
    fs->now = entry.mtime;
    if (entry.path == "/") {
        ext2_inode_large root = read_inode(fs, EXT2_ROOT_INO);
        stamp(root, entry, EXT2_INODE_SIZE(fs->super));
        return write_inode(fs, EXT2_ROOT_INO, root, "/");
    }
    const auto [parent, name] = split(entry.path);
    const ext2_ino_t folder = folder_of(fs, parent, entry.mtime);
    const auto existing = look_up(fs, entry.path, false);
    if (S_ISDIR(entry.mode) && existing && ext2fs_check_directory(fs, *existing) == 0) {
        ext2_inode_large inode = read_inode(fs, *existing);
        stamp(inode, entry, EXT2_INODE_SIZE(fs->super));
        write_inode(fs, *existing, inode, entry.path);
        return set_xattrs(fs, *existing, entry.xattrs, entry.path);
    }
    if (existing) {
        if (ext2fs_check_directory(fs, *existing) == 0)
            throw Error(entry.path + " is a folder in the image, not a file");
        unlink_file(fs, folder, name, *existing, entry.path);
    }
    ext2_ino_t number = 0;
    if (S_ISDIR(entry.mode)) {
        number = make_folder(fs, entry);
    } else if (S_ISLNK(entry.mode)) {
        require_ext2(ext2fs_new_inode(fs, folder, LINUX_S_IFLNK | 0777, nullptr, &number), "making " + entry.path);
        errcode_t code = ext2fs_symlink(fs, folder, number, name.c_str(), std::string(entry.content).c_str());
        if (code == EXT2_ET_DIR_NO_SPACE) {
            require_ext2(ext2fs_expand_dir(fs, folder), "making room in " + parent);
            code = ext2fs_symlink(fs, folder, number, name.c_str(), std::string(entry.content).c_str());
        }
        require_ext2(code, "making " + entry.path);
        ext2_inode_large inode = read_inode(fs, number);
        stamp(inode, entry, EXT2_INODE_SIZE(fs->super));
        inode.i_mode = LINUX_S_IFLNK | 0777;
        write_inode(fs, number, inode, entry.path);
    } else {
        number = make_file(fs, entry, folder);
        link(fs, folder, name, number, directory_type(entry.mode), entry.path);
    }
    set_xattrs(fs, number, entry.xattrs, entry.path);
}

void Ext4::set_owner(const std::string& path, std::uint32_t mode, std::uint32_t uid, std::uint32_t gid,
                     const std::map<std::string, std::string>& xattrs) {
    const auto number = look_up(state_->fs, path, false);
    if (!number) throw Error(path + ": no such file in the image");
    ext2_inode_large inode = read_inode(state_->fs, *number);
    set_ids(inode, uid, gid);
    inode.i_mode = static_cast<__u16>((inode.i_mode & LINUX_S_IFMT) | (mode & 07777));
    write_inode(state_->fs, *number, inode, path);
    set_xattrs(state_->fs, *number, xattrs, path);
}

void Ext4::hard_link(const std::string& existing, const std::string& path) {
    const ext2_filsys fs = state_->fs;
    const auto number = look_up(fs, existing, false);
    if (!number) throw Error(existing + ": no such file in the image, so " + path + " cannot be a second name of it");
    const auto [parent, name] = split(path);
    const ext2_ino_t folder = folder_of(fs, parent, fs->now);
    if (const auto old = look_up(fs, path, false)) unlink_file(fs, folder, name, *old, path);
    ext2_inode_large inode = read_inode(fs, *number);
    link(fs, folder, name, *number, directory_type(inode.i_mode), path);
    ++inode.i_links_count;
    write_inode(fs, *number, inode, path);
}

void Ext4::remove(const std::string& path) {
    const ext2_filsys fs = state_->fs;
    const auto number = look_up(fs, path, false);
    if (!number) return;
    const auto [parent, name] = split(path);
    remove_tree(fs, look_up(fs, parent, true).value(), name, *number, path);
}

void Ext4::close() {
    // Close writes; on failure the handle is gone either way, as ext2fs_close2 frees it.
    const ext2_filsys fs = state_->fs;
    state_->fs = nullptr;
    require_ext2(ext2fs_close2(fs, 0), "writing the ext4 file system back");
}

}  // namespace makina
