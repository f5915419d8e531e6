#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "builder/disk/disk.hpp"
#include "builder/file_tree.hpp"
#include "builder/manifest.hpp"

namespace makina {

/// A finished image opened for reading as its node will see it: the first FAT partition is /boot/firmware, the first
/// Linux partition with an ext4 is /. Vendor images, which carry no manifest, open as well.
class Card {
  public:
    /// Throws Error if the file has no partition table or neither file system.
    explicit Card(std::filesystem::path image);
    /// Of one that is in no file as it is; it must outlive this.
    explicit Card(PatchedImage& image);

    [[nodiscard]] const std::filesystem::path& path() const { return path_; }
    [[nodiscard]] const PartitionTable& table() const { return table_; }
    [[nodiscard]] const Partition* boot_partition() const { return boot_partition_; }  ///< nullptr if there is none
    [[nodiscard]] const Partition* root_partition() const { return root_partition_; }  ///< nullptr if there is none
    [[nodiscard]] const std::optional<Fat>& boot() const { return boot_; }
    [[nodiscard]] const std::optional<Ext4>& root() const { return root_; }
    /// Nothing for an image that was not made by makina-image. Throws Error for a damaged manifest.
    [[nodiscard]] std::optional<Manifest> manifest() const;

    /// Of a path as the node knows it; /boot/firmware/... is on the FAT. Links are followed.
    [[nodiscard]] bool exists(const std::string& path) const;
    [[nodiscard]] std::string read_file(const std::string& path) const;  ///< throws Error if there is none

  private:
    using Opening = std::function<void(const Partition&)>;
    void open(const Opening& boot, const Opening& root);

    std::filesystem::path path_;
    PartitionTable table_;
    const Partition* boot_partition_ = nullptr;
    const Partition* root_partition_ = nullptr;
    std::optional<Fat> boot_;
    std::optional<Ext4> root_;
};

/// The name on the FAT of a path below /boot/firmware/; nothing for any other path.
[[nodiscard]] std::optional<std::string> on_boot_partition(const std::string& path);

/// What became of a file that the manifest names.
enum class Condition { as_written, other_content, other_mode, other_owner, missing };
[[nodiscard]] std::string to_string(Condition condition);

/// What `inspect` tells of an image.
struct CardReport {
    struct Part {
        Partition partition;
        std::string id;           ///< PARTUUID
        std::string file_system;  ///< "fat", "ext4" or empty
        std::string label;
        std::uint64_t used = 0, free = 0;  ///< bytes; 0 without a file system
    };
    struct WrittenFile {
        Manifest::Entry entry;
        Condition condition = Condition::as_written;
    };
    std::uint64_t size = 0;     ///< bytes of the image file
    std::uint64_t on_disk = 0;  ///< bytes that it takes here, being sparse
    std::uint32_t disk_id = 0;
    std::vector<Part> parts;
    std::optional<Manifest> manifest;
    std::vector<WrittenFile> files;
};
[[nodiscard]] CardReport inspect_card(const Card& card);

/// One thing that differs between two images or two plans.
struct Difference {
    std::string path;
    std::string what;  ///< one line: "only in A", "mode 644 and 600", "binary content, 12 and 14 bytes"
    std::string diff;  ///< unified diff of text, else empty
};

/// File by file on both file systems: presence, kind, mode, owner, content.

[[nodiscard]] std::vector<Difference> diff_cards(const Card& a, const Card& b);
/// The same between what two plans would write. Origins are not compared.
[[nodiscard]] std::vector<Difference> diff_trees(const FileTree& a, const FileTree& b);
/// As a person reads it; empty if nothing differs.
[[nodiscard]] std::string to_text(const std::vector<Difference>& differences);

}  // namespace makina
