#pragma once

#include <optional>
#include <string>
#include <vector>

#include "builder/profile/profile.hpp"
#include "builder/rehearse/board.hpp"
#include "builder/rehearse/outside.hpp"

namespace makina {

/// A node of a cluster that is rehearsed.
struct PlannedNode {
    Node node;
    BoardPlan board;
};

/// The whole decision how a cluster, or a part of it, is emulated.
struct ClusterPlan {
    std::vector<PlannedNode> nodes;
    OutsidePlan outside;              ///< its ways in are one for each node's status page, then one for `shared`
    std::optional<Address> shared;    ///< the API's address that balancers hold by turns, if balancers are booted
    std::vector<std::string> played;  ///< control planes for which a stand-in answers
    std::vector<std::string> warnings;
};

/// What a person may choose about it.
struct ClusterChoice {
    std::vector<std::string> nodes;  ///< none: every node of the profile
    unsigned memory_mib = 0;         ///< of each machine; 0: as the role needs
    std::uint64_t card_size = 0;     ///< as BoardPlan has it
    bool internet = false;
    std::vector<Question> questions = {};  ///< as BoardPlan has it, for every node
};

/// Decides. `local_ports` are free ports of this computer, one more than there are nodes. Throws Error for a node that
/// the profile has not, or that cannot be emulated.
[[nodiscard]] ClusterPlan plan_cluster(const Profile& profile, const ClusterChoice& choice,
                                       const std::vector<std::uint16_t>& local_ports);

/// MiB that a machine of this role needs until it has joined, without the pods of a real Kubernetes.
[[nodiscard]] unsigned memory_for(Role role);

/// Addresses of the network that nobody in the profile has, the highest first. Throws Error if there are not so many.
[[nodiscard]] std::vector<Address> free_addresses(const Profile& profile, std::size_t count);

}  // namespace makina
