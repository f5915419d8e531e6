#include <algorithm>
#include <array>
#include <cstring>
#include <set>

#include "builder/disk/disk.hpp"
#include "builder/disk/fat_folder.hpp"
#include "builder/disk/fat_table.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

/// A folder is never larger (Microsoft's specification: 65536 slots).
constexpr std::uint64_t largest_folder = std::uint64_t{1} << 21;

std::vector<std::string> split(const std::string& path) {
    std::vector<std::string> names(1);
    for (const char letter : path) {
        if (letter == '/') {
            names.emplace_back();
        } else {
            names.back() += letter;
        }
    }
    if (!std::all_of(names.begin(), names.end(), is_fat_name)) throw Error("not a name for a FAT file system: " + path);
    return names;
}

/// Calls `use` with the offset in the image and the size of each part of [at, at + size) of what lies in `places`.
template <typename Use>
void for_parts(const std::vector<Extent>& places, std::uint64_t at, std::uint64_t size, Use&& use) {
    for (const Extent& place : places) {
        if (size == 0) return;
        if (at < place.size) {
            const std::uint64_t part = std::min(place.size - at, size);
            use(place.offset + at, part);
            size -= part;
            at = 0;
        } else {
            at -= place.size;
        }
    }
}

/// What may be at most in the image, when it begins at `offset`.
Partition partition_at(const PatchedImage& image, std::uint64_t offset) {
    if (offset >= image.size()) throw Error(image.base().string() + ": no FAT file system: the image is truncated");
    return {0, offset, image.size() - offset};
}

}  // namespace

/// A folder's bytes and where they are.
struct Folder {
    std::uint32_t cluster = 0;  ///< 0: the root folder, as ".." has it
    std::vector<std::uint32_t> chain;
    std::vector<Extent> places;
    std::string bytes;
};

struct Fat::State {
    State(PatchedImage& patched, const Partition& part) : image(patched), partition(part), table(patched, part) {}

    [[nodiscard]] Folder folder_at(std::uint32_t cluster) const;
    /// The folder above the last of the names, as far down as it is there; `names` keeps what is not.
    [[nodiscard]] Folder walk(std::vector<std::string>& names) const;
    [[nodiscard]] std::optional<FatEntry> look_up(const std::string& path) const;
    void list(const Folder& folder, const std::string& before, std::set<std::uint32_t>& seen,
              std::vector<std::string>& files) const;
    [[nodiscard]] std::string read(const FatEntry& entry) const;
    void write(const Folder& folder, std::size_t at, const std::string& bytes);

    [[nodiscard]] std::uint64_t clusters_for(std::uint64_t bytes) const {
        return (bytes + table.shape().cluster - 1) / table.shape().cluster;
    }
    /// Clusters that the folder must get before an entry of this name fits into it.
    [[nodiscard]] std::uint64_t growth_for(const Folder& folder, const std::string& name) const;
    /// Decides before anything is changed. Throws Error.
    void require_room(const Folder& folder, const std::vector<std::string>& missing, std::uint64_t clusters,
                      std::uint64_t given_back) const;
    void put_content(std::vector<std::uint32_t>& chain, std::string_view content);
    void add(Folder& folder, const FatEntry& entry, std::int64_t mtime);
    [[nodiscard]] Folder make_folder(Folder& above, const std::string& name, std::int64_t mtime);
    void replace(const Folder& folder, FatEntry entry, std::string_view content, std::int64_t mtime);
    void free_tree(const FatEntry& entry, std::set<std::uint32_t>& seen);

    PatchedImage& image;
    Partition partition;
    FatTable table;
};

Folder Fat::State::folder_at(std::uint32_t cluster) const {
    const FatShape& shape = table.shape();
    Folder folder;
    folder.cluster = cluster == shape.root_cluster ? 0 : cluster;
    if (folder.cluster == 0 && shape.bits != 32) {
        folder.places = {{partition.offset + shape.root, shape.root_size}};
    } else {
        folder.chain = table.chain(folder.cluster == 0 ? shape.root_cluster : cluster);
        folder.places = table.places(folder.chain);
    }
    const std::uint64_t size = size_of(folder.places);
    if (size == 0 || size > largest_folder) throw Error("a folder of an impossible size: the file system is damaged");
    folder.bytes.resize(size);
    char* to = folder.bytes.data();
    for (const Extent& place : folder.places) {
        image.read(place.offset, to, place.size);
        to += place.size;
    }
    return folder;
}

Folder Fat::State::walk(std::vector<std::string>& names) const {
    Folder folder = folder_at(0);
    while (names.size() > 1) {
        const auto entry = find_entry(folder.bytes, names.front());
        if (!entry) break;
        if (!entry->folder()) throw Error(names.front() + " is a file, not a folder");
        folder = folder_at(entry->cluster);
        names.erase(names.begin());
    }
    return folder;
}

std::optional<FatEntry> Fat::State::look_up(const std::string& path) const {
    std::vector<std::string> names = split(path);
    const Folder folder = walk(names);
    return names.size() == 1 ? find_entry(folder.bytes, names.front()) : std::nullopt;
}

void Fat::State::list(const Folder& folder, const std::string& before, std::set<std::uint32_t>& seen,
                      std::vector<std::string>& files) const {
    if (!seen.insert(folder.cluster).second) throw Error("a folder is in itself: the file system is damaged");
    for (const FatEntry& entry : entries_of(folder.bytes)) {
        if (entry.folder()) {
            list(folder_at(entry.cluster), before + entry.name + "/", seen, files);
        } else {
            files.push_back(before + entry.name);
        }
    }
}

std::string Fat::State::read(const FatEntry& entry) const {
    const std::vector<Extent> places = table.places(table.chain(entry.cluster));
    if (size_of(places) < entry.size) throw Error("its clusters end before it does: the file system is damaged");
    std::string content(entry.size, '\0');
    char* to = content.data();
    for_parts(places, 0, content.size(), [&](std::uint64_t offset, std::uint64_t size) {
        image.read(offset, to, size);
        to += size;
    });
    return content;
}

void Fat::State::write(const Folder& folder, std::size_t at, const std::string& bytes) {
    const char* from = bytes.data();
    for_parts(folder.places, at, bytes.size(), [&](std::uint64_t offset, std::uint64_t size) {
        image.write(offset, from, size);
        from += size;
    });
}

std::uint64_t Fat::State::growth_for(const Folder& folder, const std::string& name) const {
    const std::size_t slots = slots_for(name);
    const std::uint64_t end = find_room(folder.bytes, slots) + slots * FatEntry::slot;
    if (end <= folder.bytes.size()) return 0;
    if (folder.chain.empty() || end > largest_folder) throw Error("the folder is full");
    return clusters_for(end - folder.bytes.size());
}

void Fat::State::require_room(const Folder& folder, const std::vector<std::string>& missing, std::uint64_t clusters,
                              std::uint64_t given_back) const {
    if (!missing.empty()) clusters += growth_for(folder, missing.front());
    for (std::size_t i = 1; i < missing.size(); ++i) {
        clusters += clusters_for((2 + slots_for(missing[i])) * FatEntry::slot);
    }
    if (clusters > table.free_clusters() + given_back) {
        throw Error("the file system is full: it has " + std::to_string(table.free_clusters() * table.shape().cluster) +
                    " bytes left");
    }
}

void Fat::State::put_content(std::vector<std::uint32_t>& chain, std::string_view content) {
    table.resize(chain, clusters_for(content.size()));
    for (const Extent& place : table.places(chain)) {
        const std::string_view part = content.substr(0, place.size);
        image.write(place.offset, part.data(), part.size());
        // Nothing of what was there before stays behind the end.
        const std::string rest(place.size - part.size(), '\0');
        image.write(place.offset + part.size(), rest.data(), rest.size());
        content.remove_prefix(part.size());
    }
}

void Fat::State::add(Folder& folder, const FatEntry& entry, std::int64_t mtime) {
    if (const std::uint64_t more = growth_for(folder, entry.name); more != 0) {
        const std::size_t before = folder.bytes.size();
        table.resize(folder.chain, folder.chain.size() + more);
        folder.places = table.places(folder.chain);
        folder.bytes.resize(size_of(folder.places));
        write(folder, before, folder.bytes.substr(before));
    }
    std::string slots = make_slots(folder.bytes, entry, mtime);
    const std::size_t at = find_room(folder.bytes, slots.size() / FatEntry::slot);
    const std::size_t end = at + slots.size();
    // The end of what counts moves on; what lies behind it may be anything.
    bool was_end = false;
    for (std::size_t slot = at; slot < end; slot += FatEntry::slot) was_end = was_end || folder.bytes[slot] == '\0';
    if (was_end && end < folder.bytes.size() && folder.bytes[end] != '\0') slots.append(FatEntry::slot, '\0');
    folder.bytes.replace(at, slots.size(), slots);
    write(folder, at, slots);
}

Folder Fat::State::make_folder(Folder& above, const std::string& name, std::int64_t mtime) {
    std::vector<std::uint32_t> chain;
    table.resize(chain, 1);
    FatEntry entry;
    entry.name = name;
    entry.attributes = FatEntry::is_folder;
    entry.cluster = chain.front();
    FatEntry here = entry;
    here.short_name = ".          ";
    FatEntry up = here;
    up.short_name = "..         ";
    up.cluster = above.cluster;
    put_content(chain, make_slot(here, mtime) + make_slot(up, mtime));
    add(above, entry, mtime);
    return folder_at(chain.front());
}

void Fat::State::replace(const Folder& folder, FatEntry entry, std::string_view content, std::int64_t mtime) {
    if (entry.folder()) throw Error("it is a folder");
    std::vector<std::uint32_t> chain = table.chain(entry.cluster);
    require_room(folder, {}, clusters_for(content.size()), chain.size());
    put_content(chain, content);
    entry.cluster = chain.empty() ? 0 : chain.front();
    entry.size = static_cast<std::uint32_t>(content.size());
    entry.attributes = FatEntry::is_changed;
    write(folder, entry.at + (entry.slots - 1) * FatEntry::slot, make_slot(entry, mtime));
}

void Fat::State::free_tree(const FatEntry& entry, std::set<std::uint32_t>& seen) {
    if (entry.folder()) {
        const Folder folder = folder_at(entry.cluster);
        if (folder.cluster == 0 || !seen.insert(folder.cluster).second)
            throw Error("a folder is in itself: the file system is damaged");
        for (const FatEntry& inside : entries_of(folder.bytes)) free_tree(inside, seen);
    }
    std::vector<std::uint32_t> chain = table.chain(entry.cluster);
    table.resize(chain, 0);
}

Fat::Fat(PatchedImage& image, const Partition& partition) : state_(std::make_unique<State>(image, partition)) {}

Fat::Fat(const std::filesystem::path& image, std::uint64_t offset) : own_(std::make_unique<PatchedImage>(image)) {
    during(image.string(), [&] { state_ = std::make_unique<State>(*own_, partition_at(*own_, offset)); });
}

Fat::Fat(Fat&&) noexcept = default;
Fat::~Fat() = default;

bool Fat::exists(const std::string& path) const {
    return state_->look_up(path).has_value();
}

std::string Fat::read_file(const std::string& path) const {
    return during("reading " + path + " from the boot partition", [&] {
        const auto entry = state_->look_up(path);
        if (!entry) throw Error("there is no such file");
        if (entry->folder()) throw Error("it is a folder");
        return state_->read(*entry);
    });
}

std::vector<std::string> Fat::list() const {
    std::vector<std::string> files;
    std::set<std::uint32_t> seen;
    during("listing the boot partition", [&] { state_->list(state_->folder_at(0), "", seen, files); });
    std::sort(files.begin(), files.end());
    return files;
}

std::string Fat::label() const {
    return label_of(state_->folder_at(0).bytes);
}

std::uint64_t Fat::free_bytes() const {
    return state_->table.free_clusters() * state_->table.shape().cluster;
}

void Fat::save() {
    state_->table.save(state_->image);
    if (own_) own_->apply();
}

void Fat::write(const std::string& path, std::string_view content, std::int64_t mtime) {
    during("writing " + path + " to the boot partition", [&] {
        if (content.size() > UINT32_MAX) throw Error("FAT's files are smaller than 4 GiB");
        std::vector<std::string> names = split(path);
        Folder folder = state_->walk(names);
        const auto found = names.size() == 1 ? find_entry(folder.bytes, names.front()) : std::nullopt;
        if (found) {
            state_->replace(folder, *found, content, mtime);
            return save();
        }
        state_->require_room(folder, names, state_->clusters_for(content.size()), 0);
        for (; names.size() > 1; names.erase(names.begin())) folder = state_->make_folder(folder, names.front(), mtime);
        std::vector<std::uint32_t> chain;
        state_->put_content(chain, content);
        FatEntry entry;
        entry.name = names.front();
        entry.attributes = FatEntry::is_changed;
        entry.cluster = chain.empty() ? 0 : chain.front();
        entry.size = static_cast<std::uint32_t>(content.size());
        state_->add(folder, entry, mtime);
        save();
    });
}

void Fat::remove(const std::string& path) {
    during("removing " + path + " from the boot partition", [&] {
        std::vector<std::string> names = split(path);
        const Folder folder = state_->walk(names);
        const auto entry = names.size() == 1 ? find_entry(folder.bytes, names.front()) : std::nullopt;
        if (!entry) return;
        std::set<std::uint32_t> seen;
        state_->free_tree(*entry, seen);
        for (std::size_t slot = 0; slot < entry->slots; ++slot)
            state_->write(folder, entry->at + slot * FatEntry::slot, "\xe5");
        save();
    });
}

}  // namespace makina
