#pragma once

#include <filesystem>
#include <string>

#include "builder/plan.hpp"
#include "builder/profile/profile.hpp"

namespace makina {

/// A snapshot of etcd, whole and sound as far as its own checksum tells.
struct Snapshot {
    std::string content;  ///< with the checksum at its end
    std::string sha256;   ///< of all of that
};

/// Reads one that etcd gave away. Throws Mistake if it is none, was cut or changed, and says which.
[[nodiscard]] Snapshot read_snapshot(const std::filesystem::path& file);

/// Throws Mistake if this profile's etcd cannot begin from a snapshot, or if the node has no part in it; `node` is
/// nullptr for all nodes.
void check_restore(const Profile& profile, const Node* node);

/// Puts the snapshot onto an etcd node's card.
void carry_snapshot(ImagePlan& plan, const Snapshot& snapshot);

}  // namespace makina
