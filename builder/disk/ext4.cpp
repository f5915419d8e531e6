#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include "builder/disk/disk.hpp"
#include "builder/disk/ext4_io.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {

void require_ext2(errcode_t code, const std::string& what) {
    if (code == 0) return;
    initialize_ext2_error_table();
    throw Error(what + ": " + error_message(code));
}

std::optional<ext2_ino_t> look_up(ext2_filsys fs, const std::string& path, bool follow) {
    ext2_ino_t inode = 0;
    const auto code = follow ? ext2fs_namei_follow(fs, EXT2_ROOT_INO, EXT2_ROOT_INO, path.c_str(), &inode)
                             : ext2fs_namei(fs, EXT2_ROOT_INO, EXT2_ROOT_INO, path.c_str(), &inode);
    if (code == EXT2_ET_FILE_NOT_FOUND || code == EXT2_ET_NO_DIRECTORY) return std::nullopt;
    require_ext2(code, "looking for " + path);
    return inode;
}

ext2_inode_large read_inode(ext2_filsys fs, ext2_ino_t number) {
    ext2_inode_large inode{};
    require_ext2(ext2fs_read_inode_full(fs, number, reinterpret_cast<ext2_inode*>(&inode), sizeof inode),
                 "reading inode " + std::to_string(number));
    return inode;
}

Xattrs open_xattrs(ext2_filsys fs, ext2_ino_t number, const std::string& path) {
    ext2_xattr_handle* raw = nullptr;
    require_ext2(ext2fs_xattrs_open(fs, number, &raw), "opening the attributes of " + path);
    Xattrs handle(raw);
    require_ext2(ext2fs_xattrs_read(raw), "reading the attributes of " + path);
    return handle;
}

std::vector<std::pair<std::string, ext2_ino_t>> folder_entries(ext2_filsys fs, ext2_ino_t folder,
                                                               const std::string& path) {
    std::vector<std::pair<std::string, ext2_ino_t>> found;
    // libext2fs calls back from C: gathering first keeps exceptions away from it.
    const auto gather = [](ext2_dir_entry* entry, int, int, char*, void* into) -> int {
        const std::string name(entry->name, static_cast<std::size_t>(ext2fs_dirent_name_len(entry)));
        if (name != "." && name != "..") {
            static_cast<std::vector<std::pair<std::string, ext2_ino_t>>*>(into)->emplace_back(name, entry->inode);
        }
        return 0;
    };
    require_ext2(ext2fs_dir_iterate(fs, folder, 0, nullptr, gather, &found), "listing " + path);
    std::sort(found.begin(), found.end());
    return found;
}

namespace {

void refuse_unsafe(ext2_filsys fs, const std::string& name) {
    if (ext2fs_has_feature_journal_needs_recovery(fs->super) != 0) {
        throw Error(name +
                    ": the ext4 journal needs recovery: run e2fsck on it, or take an image that was unmounted cleanly");
    }
    if ((fs->super->s_state & EXT2_ERROR_FS) != 0 || (fs->super->s_state & EXT2_VALID_FS) == 0) {
        throw Error(name + ": the ext4 file system was not unmounted cleanly or has errors: run e2fsck on it");
    }
    if (ext2fs_has_feature_mmp(fs->super) != 0)
        throw Error(name + ": ext4 with multiple-mount protection is not supported");
    if (fs->super->s_last_orphan != 0)
        throw Error(name + ": the ext4 file system has orphaned files: run e2fsck on it");
}

ext2_filsys open_ext4(const std::string& name, const std::string& options, bool writable, io_manager manager,
                      const std::string& shown) {
    ext2_filsys fs = nullptr;
    const int flags = EXT2_FLAG_64BITS | (writable ? EXT2_FLAG_RW : 0);
    require_ext2(ext2fs_open2(name.c_str(), options.empty() ? nullptr : options.c_str(), flags, 0, 0, manager, &fs),
                 "opening the ext4 file system of " + shown);
    return fs;
}

Stat to_stat(ext2_inode_large& inode, ext2_ino_t number) {
    Stat stat;
    stat.mode = inode.i_mode;
    stat.uid = inode_uid(inode);
    stat.gid = inode_gid(inode);
    stat.size = EXT2_I_SIZE(&inode);
    stat.mtime = inode.i_mtime;
    stat.inode = number;
    return stat;
}

void read_content(ext2_filsys fs, ext2_ino_t number, const std::string& path,
                  const std::function<void(const char*, std::size_t)>& sink) {
    ext2_file_t file = nullptr;
    require_ext2(ext2fs_file_open(fs, number, 0, &file), "opening " + path);
    const std::unique_ptr<ext2_file, Freer<ext2fs_file_close>> owned(file);
    std::vector<char> buffer(1 << 20);
    for (;;) {
        unsigned int got = 0;
        require_ext2(ext2fs_file_read(file, buffer.data(), static_cast<unsigned>(buffer.size()), &got),
                     "reading " + path);
        if (got == 0) return;
        sink(buffer.data(), got);
    }
}

std::string link_target(ext2_filsys fs, ext2_ino_t number, ext2_inode_large& inode, const std::string& path) {
    const std::uint64_t size = EXT2_I_SIZE(&inode);
    if (size >= fs->blocksize) throw Error(path + ": a symbolic link longer than a block: the file system is damaged");
    auto* const small = reinterpret_cast<ext2_inode*>(&inode);
    if (ext2fs_is_fast_symlink(small) != 0) {
        return {reinterpret_cast<const char*>(inode.i_block), std::min<std::size_t>(size, sizeof inode.i_block)};
    }
    std::string target;
    read_content(fs, number, path, [&](const char* data, std::size_t count) { target.append(data, count); });
    return target;
}

/// Walks with a limit on depth: a damaged file system can hold a folder that contains itself.
void walk_folder(ext2_filsys fs, ext2_ino_t folder, const std::string& path, int depth,
                 const std::function<void(const std::string&, const Stat&)>& visit) {
    if (depth > 64) throw Error(path + ": folders nested more than 64 deep: the file system is damaged");
    for (const auto& [name, number] : folder_entries(fs, folder, path)) {
        const std::string child = (path == "/" ? "" : path) + "/" + name;
        ext2_inode_large inode = read_inode(fs, number);
        visit(child, to_stat(inode, number));
        if (S_ISDIR(inode.i_mode)) walk_folder(fs, number, child, depth + 1, visit);
    }
}

}  // namespace

Ext4::Ext4(PatchedImage& image, const Partition& partition) : state_(std::make_unique<State>()) {
    state_->fs =
        open_ext4(patched_io_name(image, partition.offset), "", true, patched_io_manager(), image.base().string());
    refuse_unsafe(state_->fs, image.base().string());
    require_ext2(ext2fs_read_bitmaps(state_->fs), "reading the bitmaps of " + image.base().string());
}

Ext4::Ext4(const std::filesystem::path& image, std::uint64_t offset, bool writable)
    : state_(std::make_unique<State>()) {
    state_->fs =
        open_ext4(image.string(), "offset=" + std::to_string(offset), writable, unix_io_manager, image.string());
    refuse_unsafe(state_->fs, image.string());
    if (writable) require_ext2(ext2fs_read_bitmaps(state_->fs), "reading the bitmaps of " + image.string());
}

Ext4::Ext4(Ext4&&) noexcept = default;
Ext4::~Ext4() = default;

std::optional<Stat> Ext4::stat(const std::string& path) const {
    const auto number = look_up(state_->fs, path, false);
    if (!number) return std::nullopt;
    ext2_inode_large inode = read_inode(state_->fs, *number);
    return to_stat(inode, *number);
}

std::string Ext4::read_file(const std::string& path) const {
    std::string content;
    read_file(path, [&](const char* data, std::size_t size) { content.append(data, size); });
    return content;
}

void Ext4::read_file(const std::string& path, const std::function<void(const char*, std::size_t)>& sink) const {
    const auto number = look_up(state_->fs, path, true);
    if (!number) throw Error(path + ": no such file in the image");
    const ext2_inode_large inode = read_inode(state_->fs, *number);
    if (!S_ISREG(inode.i_mode)) throw Error(path + ": not a regular file");
    read_content(state_->fs, *number, path, sink);
}

std::optional<std::string> Ext4::read_link(const std::string& path) const {
    const auto number = look_up(state_->fs, path, false);
    if (!number) return std::nullopt;
    ext2_inode_large inode = read_inode(state_->fs, *number);
    if (!S_ISLNK(inode.i_mode)) return std::nullopt;
    return link_target(state_->fs, *number, inode, path);
}

std::vector<std::string> Ext4::list(const std::string& folder) const {
    std::vector<std::string> names;
    const auto number = look_up(state_->fs, folder, true);
    if (!number) return names;
    if (ext2fs_check_directory(state_->fs, *number) != 0) return names;
    for (const auto& entry : folder_entries(state_->fs, *number, folder)) names.push_back(entry.first);
    return names;
}

std::map<std::string, std::string> Ext4::xattrs(const std::string& path) const {
    std::map<std::string, std::string> found;
    const auto number = look_up(state_->fs, path, false);
    if (!number) return found;
    const Xattrs handle = open_xattrs(state_->fs, *number, path);
    const auto gather = [](char* name, char* value, std::size_t size, void* into) -> int {
        (*static_cast<std::map<std::string, std::string>*>(into))[name] = std::string(value, size);
        return 0;
    };
    require_ext2(ext2fs_xattrs_iterate(handle.get(), gather, &found), "reading the attributes of " + path);
    return found;
}

void Ext4::walk(const std::string& folder, const std::function<void(const std::string&, const Stat&)>& visit) const {
    const auto number = look_up(state_->fs, folder, true);
    if (!number || ext2fs_check_directory(state_->fs, *number) != 0)
        throw Error(folder + ": no such folder in the image");
    walk_folder(state_->fs, *number, folder, 0, visit);
}

std::string Ext4::label() const {
    const char* const text = reinterpret_cast<const char*>(state_->fs->super->s_volume_name);
    return {text, strnlen(text, sizeof state_->fs->super->s_volume_name)};
}

std::vector<Extent> Ext4::used() const {
    if (ext2fs_has_feature_bigalloc(state_->fs->super) != 0) throw Error("an ext4 file system with bigalloc");
    ext2fs_block_bitmap const bitmap = state_->fs->block_map;
    const std::uint64_t block = state_->fs->blocksize;
    const blk64_t last = ext2fs_blocks_count(state_->fs->super) - 1;
    // With blocks of 1 KiB the first one, which no bitmap knows, is left to boot loaders.
    std::vector<Extent> used = {{0, state_->fs->super->s_first_data_block * block}};
    for (blk64_t at = state_->fs->super->s_first_data_block; at <= last;) {
        blk64_t begin = 0;
        blk64_t end = 0;
        if (ext2fs_find_first_set_block_bitmap2(bitmap, at, last, &begin) != 0) break;
        if (ext2fs_find_first_zero_block_bitmap2(bitmap, begin, last, &end) != 0) end = last + 1;
        used.push_back({begin * block, (end - begin) * block});
        at = end;
    }
    return used;
}

std::uint64_t Ext4::free_bytes() const {
    return ext2fs_free_blocks_count(state_->fs->super) * state_->fs->blocksize;
}

}  // namespace makina
