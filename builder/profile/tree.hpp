#pragma once

#include <string>
#include <vector>

#include "builder/profile/complaint.hpp"
#include "builder/profile/text.hpp"

namespace makina {

enum class TreeKind {
    nothing,   ///< a key without a value, or null
    scalar,    ///< text, as written; nothing is guessed from how it looks
    sequence,  ///< items
    map,       ///< entries, keys are unique
    refused    ///< something already complained about; readers pass over it silently
};

struct TreeEntry;

/// One value of a YAML file and where it begins.
struct Tree {
    TreeKind kind = TreeKind::nothing;
    Position at;
    std::string text;
    std::vector<Tree> items;
    std::vector<TreeEntry> entries;
};

/// A key of a map, in file order.
struct TreeEntry {
    std::string key;
    Position at;
    Tree value;
};

/// The small YAML that profiles are written in: one document of maps, lists and texts, at most 16 deep and 8192
/// values. Anchors, aliases, merge keys, tags, duplicate keys and keys that are not texts are complained about;
/// `text` has passed check_text. The tree holds what could be read in spite of the complaints.
[[nodiscard]] Tree parse_tree(const std::string& text, std::vector<Complaint>& complaints);

}  // namespace makina
