#include "builder/card/card.hpp"

#include <sys/stat.h>

#include <map>

#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

constexpr std::string_view boot_folder = "/boot/firmware/";

bool is_fat(const Partition& partition) {
    return partition.type == 0x0b || partition.type == 0x0c || partition.type == 0x0e || partition.type == 0x06;
}

/// Owner names of the image itself; a manifest has names, a file system has numbers.
class Owners {
  public:
    explicit Owners(const Card& card) : users_(read(card, "/etc/passwd")), groups_(read(card, "/etc/group")) {}
    [[nodiscard]] bool match(const Manifest::Entry& entry, const Stat& stat) const {
        return users_.contains({entry.user, stat.uid}) && groups_.contains({entry.group, stat.gid});
    }

  private:
    using Names = std::map<std::pair<std::string, std::uint32_t>, bool>;
    static Names read(const Card& card, const std::string& path) {
        Names names = {{{"root", 0}, true}};
        if (!card.exists(path)) return names;
        const std::string text = card.read_file(path);
        for (std::size_t begin = 0; begin < text.size(); begin = text.find('\n', begin) + 1) {
            // name:password:number:...
            const std::string line = text.substr(begin, text.find('\n', begin) - begin);
            const auto name = line.find(':');
            const auto number = line.find(':', name + 1);
            if (name != std::string::npos && number != std::string::npos) {
                names[{line.substr(0, name),
                       static_cast<std::uint32_t>(std::strtoul(line.c_str() + number + 1, nullptr, 10))}] = true;
            }
            if (text.find('\n', begin) == std::string::npos) break;
        }
        return names;
    }
    Names users_, groups_;
};

Condition condition_of(const Card& card, const Owners& owners, const Manifest::Entry& entry) {
    if (const auto name = on_boot_partition(entry.path)) {
        // A FAT keeps neither modes nor owners.
        if (!card.boot() || !card.boot()->exists(*name)) return Condition::missing;
        return sha256(card.boot()->read_file(*name)) == entry.sha256 ? Condition::as_written : Condition::other_content;
    }
    const auto stat = card.root() ? card.root()->stat(entry.path) : std::nullopt;
    if (!stat) return Condition::missing;
    if (S_ISLNK(stat->mode)) {
        const auto target = card.root()->read_link(entry.path);
        return sha256(target.value_or("")) == entry.sha256 ? Condition::as_written : Condition::other_content;
    }
    if (S_ISREG(stat->mode)) {
        Sha256 digest;
        card.root()->read_file(entry.path, [&](const char* data, std::size_t size) { digest.update({data, size}); });
        if (digest.hex() != entry.sha256) return Condition::other_content;
    }
    if ((stat->mode & 07777) != entry.mode) return Condition::other_mode;
    return owners.match(entry, *stat) ? Condition::as_written : Condition::other_owner;
}

}  // namespace

std::optional<std::string> on_boot_partition(const std::string& path) {
    if (path.rfind(boot_folder, 0) != 0 || path.size() == boot_folder.size()) return std::nullopt;
    return path.substr(boot_folder.size());
}

Card::Card(std::filesystem::path image) : path_(std::move(image)), table_(read_partition_table(path_)) {
    open([this](const Partition& boot) { boot_.emplace(path_, boot.offset); },
         [this](const Partition& root) { root_.emplace(path_, root.offset, false); });
}

Card::Card(PatchedImage& image) : path_(image.base()), table_(read_partition_table(path_)) {
    open([&](const Partition& boot) { boot_.emplace(image, boot); },
         [&](const Partition& root) { root_.emplace(image, root); });
}

void Card::open(const Opening& boot, const Opening& root) {
    for (const Partition& partition : table_.partitions) {
        if (boot_partition_ == nullptr && is_fat(partition)) {
            boot(partition);
            boot_partition_ = &partition;
        } else if (root_partition_ == nullptr && partition.type == 0x83) {
            root(partition);
            root_partition_ = &partition;
        }
    }
    if (!boot_ && !root_) {
        throw Error(path_.string() + ": no partition with a FAT or a Linux file system: not an image of a card");
    }
}

std::optional<Manifest> Card::manifest() const {
    if (!root_ || !root_->stat(Manifest::path)) return std::nullopt;
    return during(path_.string() + ": " + Manifest::path, [&] { return decode(root_->read_file(Manifest::path)); });
}

bool Card::exists(const std::string& path) const {
    if (const auto name = on_boot_partition(path)) return boot_ && boot_->exists(*name);
    return root_ && root_->stat(path).has_value();
}

std::string Card::read_file(const std::string& path) const {
    const auto name = on_boot_partition(path);
    if (name ? !boot_.has_value() : !root_.has_value()) throw Error(path + ": the image has no such partition");
    return name ? boot_->read_file(*name) : root_->read_file(path);
}

std::string to_string(Condition condition) {
    switch (condition) {
        case Condition::as_written:
            return "as written";
        case Condition::other_content:
            return "content changed";
        case Condition::other_mode:
            return "mode changed";
        case Condition::other_owner:
            return "owner changed";
        case Condition::missing:
            return "missing";
    }
    return {};
}

CardReport inspect_card(const Card& card) {
    CardReport report;
    struct stat status {};
    if (::stat(card.path().c_str(), &status) != 0) throw_system("asking for the size of " + card.path().string());
    report.size = static_cast<std::uint64_t>(status.st_size);
    report.on_disk = static_cast<std::uint64_t>(status.st_blocks) * 512;
    report.disk_id = card.table().disk_id;
    for (const Partition& partition : card.table().partitions) {
        CardReport::Part part{partition, partuuid(card.table(), partition.number), {}, {}, 0, 0};
        if (&partition == card.boot_partition()) {
            part.file_system = "fat";
            part.label = card.boot()->label();
            part.free = card.boot()->free_bytes();
        } else if (&partition == card.root_partition()) {
            part.file_system = "ext4";
            part.label = card.root()->label();
            part.free = card.root()->free_bytes();
        }
        if (!part.file_system.empty()) part.used = partition.size - part.free;
        report.parts.push_back(std::move(part));
    }
    report.manifest = card.manifest();
    if (report.manifest) {
        const Owners owners(card);
        for (const Manifest::Entry& entry : report.manifest->files) {
            report.files.push_back({entry, condition_of(card, owners, entry)});
        }
    }
    return report;
}

}  // namespace makina
