#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "firstboot/bundle/handle.hpp"

namespace makina {

/// An image file read as base bytes plus changed blocks: what is written is kept in memory in blocks of 4 KiB, the file
/// underneath is not touched unless asked to be. A base of a gigabyte and a node's few hundred files meet here.
class PatchedImage {
  public:
    static constexpr std::uint64_t block_size = 4096;

    /// Opens a regular file, or a card, for reading. Throws Error if it cannot be opened.
    explicit PatchedImage(const std::filesystem::path& base);

    [[nodiscard]] std::uint64_t size() const { return size_; }  ///< bytes
    [[nodiscard]] const std::filesystem::path& base() const { return path_; }
    [[nodiscard]] int descriptor() const { return file_.get(); }
    /// Reads exactly `count` bytes at `offset`; bytes behind the end are zero.
    void read(std::uint64_t offset, char* data, std::size_t count) const;
    /// Writes; the range must lie inside size().
    void write(std::uint64_t offset, const char* data, std::size_t count);
    /// Offset (a multiple of block_size) -> block_size bytes, in ascending order.
    [[nodiscard]] const std::map<std::uint64_t, std::string>& changed() const { return blocks_; }
    /// Writes the changed blocks into another file of this size. Throws Error.
    void write_changes(int file) const;
    /// Writes the changed blocks into the file underneath after all, and forgets them. Throws Error.
    void apply();

  private:
    std::filesystem::path path_;
    Descriptor file_;
    std::uint64_t size_ = 0;
    std::map<std::uint64_t, std::string> blocks_;
};

/// What a node's image has besides its base, as a file: a text that names the base, and the changed blocks, packed.
struct PackedBlocks {
    static constexpr std::string_view first_line = "makina-blocks 1";
    std::string base;        ///< BaseFacts::id, 64 hex digits
    std::uint64_t size = 0;  ///< bytes of the whole image
    std::string packed;      ///< zstd: each block's offset (8 bytes, the lowest first) and its bytes
};
/// The lines of the text: first_line, "base HEX", "size BYTES", "sha256 HEX" (of what follows), "end".
[[nodiscard]] std::string encode(const PackedBlocks& blocks);
/// Reads what encode wrote. Throws Untrusted for anything else.
[[nodiscard]] PackedBlocks decode_blocks(std::string_view text);
[[nodiscard]] PackedBlocks pack_blocks(const PatchedImage& image, const std::string& base);
/// Puts the blocks back over the base. Throws Error if they are not for an image of this size.
void unpack_blocks(const PackedBlocks& blocks, PatchedImage& image);

/// One entry of a partition table. Offsets and sizes in bytes.
struct Partition {
    int number = 0;  ///< counts from 1
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
    std::uint8_t type = 0;  ///< MBR type: 0x0c FAT32 LBA, 0x83 Linux
};

struct PartitionTable {
    std::uint32_t disk_id = 0;  ///< MBR disk signature; PARTUUID is "<disk id as 8 hex digits>-<number as 2>"
    std::vector<Partition> partitions;
    [[nodiscard]] const Partition* find(int number) const;
};

/// Reads the MBR of an image file, or of a card. Throws Error if there is none, or if a partition reaches behind the
/// end of the file.
[[nodiscard]] PartitionTable read_partition_table(const std::filesystem::path& image);
/// Writes an MBR into an image file that is already as large as it will be.
void write_partition_table(const std::filesystem::path& image, const PartitionTable& table);
/// "<disk id>-<number>" as Linux spells it, as in root=PARTUUID=1234abcd-02.
[[nodiscard]] std::string partuuid(const PartitionTable& table, int number);

/// A run of bytes in a file.
struct Extent {
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
    [[nodiscard]] std::uint64_t end() const { return offset + size; }
};

/// What stat(2) would say of a file in a file system image.
struct Stat {
    std::uint32_t mode = 0;  ///< type and permissions, as in st_mode
    std::uint32_t uid = 0, gid = 0;
    std::uint64_t size = 0;
    std::int64_t mtime = 0;
    std::uint64_t inode = 0;
};

/// What to write into an ext4 file system.
struct Ext4Entry {
    std::string path;        ///< absolute
    std::uint32_t mode = 0;  ///< type (S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR, S_IFBLK, S_IFIFO) and permissions
    std::uint32_t uid = 0, gid = 0;
    std::int64_t mtime = 0;    ///< seconds since 1970; also used for atime, ctime and crtime
    std::string_view content;  ///< bytes of a regular file, target of a symlink
    std::uint32_t device_major = 0, device_minor = 0;
    std::map<std::string, std::string> xattrs;  ///< "security.capability" -> value
};

/// An ext4 file system inside an image, read and written in place by libext2fs: no mount, no root, no loop device.
/// Throws Error on a file system whose journal needs recovery, that has errors, or that has features libext2fs does not
/// know.
class Ext4 {
  public:
    /// For reading and writing through a PatchedImage, which must outlive this.
    Ext4(PatchedImage& image, const Partition& partition);
    /// For reading and writing (or only reading) the file itself.
    Ext4(const std::filesystem::path& image, std::uint64_t offset, bool writable);
    Ext4(Ext4&&) noexcept;
    ~Ext4();

    [[nodiscard]] std::optional<Stat> stat(
        const std::string& path) const;  ///< of the path itself, links not followed at the end
    /// The whole content of a regular file; symlinks are followed inside the image. Throws Error if there is none.
    [[nodiscard]] std::string read_file(const std::string& path) const;
    [[nodiscard]] std::optional<std::string> read_link(const std::string& path) const;
    /// As read_file in pieces, for files that do not fit in memory.
    void read_file(const std::string& path, const std::function<void(const char* data, std::size_t size)>& sink) const;
    [[nodiscard]] std::vector<std::string> list(
        const std::string& folder) const;  ///< names, sorted; empty if no such folder
    [[nodiscard]] std::map<std::string, std::string> xattrs(const std::string& path) const;
    /// Calls `visit` for everything below `folder`, depth first in name order.
    void walk(const std::string& folder, const std::function<void(const std::string& path, const Stat&)>& visit) const;
    [[nodiscard]] std::string label() const;
    [[nodiscard]] std::uint64_t free_bytes() const;
    /// Where its blocks in use are, in bytes from the file system's own beginning, ascending: by its block bitmaps,
    /// metadata included. Throws Error for one that counts in clusters (bigalloc).
    [[nodiscard]] std::vector<Extent> used() const;

    /// Creates or replaces; missing parent folders are made as root 0755. A folder that is there already keeps its
    /// content and takes the new owner and mode. Throws Error if the file system is full.
    void write(const Ext4Entry& entry);
    /// Gives an existing file or folder another mode (permission bits), owner and set of attributes. Throws Error if
    /// there is none.
    void set_owner(const std::string& path, std::uint32_t mode, std::uint32_t uid, std::uint32_t gid,
                   const std::map<std::string, std::string>& xattrs);
    /// A second name for an existing regular file.
    void hard_link(const std::string& existing, const std::string& path);
    /// Removes a file, link or whole folder; nothing there is no error.
    void remove(const std::string& path);
    /// Writes the superblock and bitmaps back. Must be called after writing; the destructor does not.
    void close();

  private:
    struct State;
    std::unique_ptr<State> state_;
};

/// A FAT12, FAT16 or FAT32 inside an image, read and written in place. What is written depends on nothing but what was
/// there and what is asked for: equal edits of equal images give equal bytes, and only the sectors that must change do.
/// Nobody else may write the file system while this is used. Throws Error on one that is damaged where it is looked at.
class Fat {
  public:
    /// Through a PatchedImage, which must outlive this.
    Fat(PatchedImage& image, const Partition& partition);
    /// In the file itself, which each change is written to when it is complete.
    Fat(const std::filesystem::path& image, std::uint64_t offset);
    Fat(Fat&&) noexcept;
    ~Fat();

    // Paths are from the FAT's root, "overlays/README", UTF-8; FAT does not tell a from A.
    [[nodiscard]] bool exists(const std::string& path) const;
    [[nodiscard]] std::string read_file(const std::string& path) const;
    [[nodiscard]] std::vector<std::string> list() const;  ///< every file, recursive, sorted: "overlays/README"
    [[nodiscard]] std::string label() const;              ///< empty if it has none
    [[nodiscard]] std::uint64_t free_bytes() const;
    /// Creates or replaces a file, and makes the folders above it that are missing. `mtime` in seconds since 1970 is
    /// stored with the entry, in UTC. Throws Error, and then has changed nothing, if the file system is too full.
    void write(const std::string& path, std::string_view content, std::int64_t mtime);
    /// Removes a file or a whole folder; nothing there is no error.
    void remove(const std::string& path);

  private:
    void save();

    struct State;
    std::unique_ptr<PatchedImage> own_;  ///< none if somebody else's is used
    std::unique_ptr<State> state_;
};

/// Writes exactly `count` bytes at `offset` of a file. Throws Error.
void write_file_at(int file, std::uint64_t offset, const char* data, std::size_t count);

/// Where a sparse file holds data between `offset` and `offset + size` (lseek SEEK_DATA/SEEK_HOLE); the rest is zero.
/// One extent for the whole range where the file system cannot tell.
[[nodiscard]] std::vector<Extent> data_extents(int file, std::uint64_t offset, std::uint64_t size);

/// In ascending order, each run whole: what overlaps or touches is joined, what is empty is left out.
[[nodiscard]] std::vector<Extent> in_order(std::vector<Extent> extents);
/// What is in both; both are in order, and so is the result.
[[nodiscard]] std::vector<Extent> in_both(const std::vector<Extent>& a, const std::vector<Extent>& b);
/// What is in `a` and not in `b`; both are in order, and so is the result.
[[nodiscard]] std::vector<Extent> without(const std::vector<Extent>& a, const std::vector<Extent>& b);
/// The bytes of all.
[[nodiscard]] std::uint64_t size_of(const std::vector<Extent>& extents);

/// What a FAT12, FAT16 or FAT32 at `offset` uses: reserved sectors, tables, root folder and clusters that are not free;
/// in bytes of the image, in order. Throws Error if there is no FAT.
[[nodiscard]] std::vector<Extent> used_by_fat(const PatchedImage& image, const Partition& partition);

/// What of a whole image has to be on a card, in order: blocks that its ext4 and FAT file systems use by their own
/// bitmaps and tables, both ends of every partition, where signatures of other file systems could be, and everything
/// that is in no partition or in one whose file system is not known. Without an MBR it is the whole image.
[[nodiscard]] std::vector<Extent> used_by_image(PatchedImage& image);

}  // namespace makina
