#pragma once

#include <nlohmann/json.hpp>

#include "builder/profile/profile.hpp"
#include "builder/watch/watch.hpp"

namespace makina {

/// A node with what it said last.
struct Seen {
    WatchedNode node;
    nlohmann::ordered_json status;  ///< null if it was not reached
};

/// Reads what came back from a node's address. What a daemon says is not believed to be well-formed: anybody may answer
/// there.
[[nodiscard]] Seen seen_of(const Node& node, const StatusReply& reply);

/// A status without what is different each time it is asked for.
[[nodiscard]] nlohmann::ordered_json lasting(nlohmann::ordered_json status);

}  // namespace makina
