#include "builder/profile/draft.hpp"

#include <algorithm>
#include <stdexcept>

#include "builder/profile/keys.hpp"

namespace makina {
namespace {

std::string parent_of(const std::string& path) {
    const auto dot = path.rfind('.');
    return dot == std::string::npos ? "" : path.substr(0, dot);
}

std::string found(TreeKind kind) {
    switch (kind) {
        case TreeKind::nothing:
            return "nothing";
        case TreeKind::scalar:
            return "a single value";
        case TreeKind::sequence:
            return "a list";
        case TreeKind::map:
            return "keys and values";
        case TreeKind::refused:
            return "a refused value";
    }
    return {};
}

}  // namespace

Position Draft::where(const std::string& path) const {
    for (std::string here = path; !here.empty(); here = parent_of(here)) {
        if (const auto place = places_.find(here); place != places_.end()) return place->second;
    }
    return {};
}

void Draft::complain(const std::string& path, Position at, const std::string& text) {
    unsound_.insert(path);
    constexpr std::size_t longest = 500;  // paths hold names from the file, which may be anything
    complaints.push_back({at.line, at.column, visible(text, longest)});
}

bool Draft::sound(const std::string& path) const {
    for (std::string here = path; !here.empty(); here = parent_of(here)) {
        if (unsound_.contains(here)) return false;
    }
    return true;
}

Fields::Fields(Draft& draft, const Tree& tree, std::string path, std::string pattern)
    : draft_(draft), tree_(tree), path_(std::move(path)), pattern_(std::move(pattern)), known_(keys_below(pattern_)) {}

const TreeEntry* Fields::find(const std::string& key) const {
    const auto entry = std::ranges::find(tree_.entries, key, &TreeEntry::key);
    return entry == tree_.entries.end() ? nullptr : &*entry;
}

bool Fields::has(const std::string& key) const {
    const TreeEntry* entry = find(key);
    return entry != nullptr && entry->value.kind != TreeKind::refused;
}

const Tree* Fields::take(const std::string& key) {
    if (std::ranges::find(known_, key) == known_.end()) throw std::logic_error("profile_keys() misses " + path_of(key));
    taken_.insert(key);
    const TreeEntry* entry = find(key);
    if (entry == nullptr) return nullptr;
    const bool scalar = entry->value.kind == TreeKind::scalar;
    draft_.place(path_of(key), scalar ? entry->value.at : entry->at);
    return entry->value.kind == TreeKind::refused ? nullptr : &entry->value;
}

bool Fields::expect(const std::string& path, const Tree& tree, TreeKind kind, const std::string& wanted) {
    if (tree.kind == kind) return true;
    if (tree.kind == TreeKind::refused) return false;
    if (tree.kind == TreeKind::nothing) {
        draft_.complain(path, tree.at, path + ": has no value, give it " + wanted + " or remove it");
    } else {
        draft_.complain(path, tree.at, path + ": expected " + wanted + ", found " + found(tree.kind));
    }
    return false;
}

const std::string* Fields::scalar(const std::string& path, const Tree& tree, const std::string& wanted) {
    return expect(path, tree, TreeKind::scalar, wanted) ? &tree.text : nullptr;
}

Fields Fields::section(const std::string& key) {
    static const Tree empty;
    const Tree* tree = take(key);
    const bool usable = tree != nullptr && expect(path_of(key), *tree, TreeKind::map, "keys and values");
    return {draft_, usable ? *tree : empty, path_of(key), pattern_.empty() ? key : pattern_ + '.' + key};
}

const std::vector<TreeEntry>& Fields::entries(const std::string& key) {
    static const Tree empty;
    const Tree* tree = take(key);
    const bool usable = tree != nullptr && expect(path_of(key), *tree, TreeKind::map, "keys and values");
    return usable ? tree->entries : empty.entries;
}

const std::vector<Tree>& Fields::items(const std::string& key) {
    static const Tree empty;
    const Tree* tree = take(key);
    const bool usable = tree != nullptr && expect(path_of(key), *tree, TreeKind::sequence, "a list");
    return usable ? tree->items : empty.items;
}

void Fields::require(const std::string& key, const std::string& example) {
    if (find(key) != nullptr) return;
    // A section that is itself missing or misspelt has been complained about, and so has a misspelt key.
    if (tree_.kind == TreeKind::nothing && !draft_.sound(path_)) return;
    const bool misspelt = std::ranges::any_of(tree_.entries, [&](const TreeEntry& entry) {
        return std::ranges::find(known_, entry.key) == known_.end() && did_you_mean(entry.key, known_) == key;
    });
    if (misspelt) return draft_.doubt(path_of(key));
    const std::string here = path_.empty() ? "a profile" : path_;
    draft_.complain(path_of(key), here + " needs " + key + ", " + example);
}

void Fields::finish() {
    const std::string where = path_.empty() ? "" : path_ + ": ";
    for (const TreeEntry& entry : tree_.entries) {
        if (taken_.contains(entry.key)) continue;
        std::string advice = suggestion(entry.key, known_);
        if (advice.empty()) advice = belongs_elsewhere(entry.key);
        if (advice.empty()) advice = ", expected " + enumerate(known_);
        draft_.complain(path_of(entry.key), entry.at, where + "unknown key " + in_quotes(entry.key).append(advice));
    }
}

}  // namespace makina
