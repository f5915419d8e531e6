#include "builder/rehearse/cluster_plan.hpp"

#include <algorithm>
#include <set>

#include "builder/rehearse/frames.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/status.hpp"

namespace makina {
namespace {

/// Where kube-apiserver listens on a control plane.
constexpr std::uint16_t api_server_port = 6443;

std::vector<Node> chosen_nodes(const Profile& profile, const std::vector<std::string>& names) {
    if (names.empty()) return profile.nodes;
    std::vector<Node> nodes;
    for (const std::string& name : names) {
        const Node* const node = profile.find(name);
        if (node == nullptr) throw Error(profile.path.string() + " has no node \"" + name + "\"");
        const bool twice = std::any_of(nodes.begin(), nodes.end(), [&](const Node& one) { return one.name == name; });
        if (twice) throw Error(name + " is named twice");
        nodes.push_back(*node);
    }
    return nodes;
}

std::string mac_of(const std::string& pinned, Address address, unsigned card) {
    return pinned.empty() ? to_string(card_for(address, card)) : pinned;
}

BoardPlan board_of(const Profile& profile, const Node& node, const ClusterChoice& choice) {
    BoardPlan board;
    board.name = node.name;
    board.memory_mib = choice.memory_mib > 0 ? choice.memory_mib : memory_for(node.role);
    // kubeadm refuses a control plane that has one.
    board.processors = node.role == Role::control_plane ? 2 : 1;
    board.card_size = choice.card_size;
    board.questions = choice.questions;
    const NetworkCard inside{mac_of(node.mac, node.address, 0), -1, false};
    if (node.role != Role::gateway) {
        board.cards = {inside};
        return board;
    }
    // Linux counts cards in the order in which they are given; a name of another kind is pinned to its card.
    const Gateway& gateway = profile.gateway;
    const NetworkCard first{node.inside_mac.empty() ? inside.mac : node.inside_mac, -1, false};
    const NetworkCard uplink{mac_of(node.uplink_mac, node.address, 1), -1, choice.internet};
    board.switched = gateway.inside < gateway.uplink ? 0 : 1;
    board.cards = {first, uplink};
    if (board.switched == 1) std::swap(board.cards[0], board.cards[1]);
    return board;
}

bool is_booted(const std::vector<Node>& nodes, Address address) {
    return std::any_of(nodes.begin(), nodes.end(), [&](const Node& node) { return node.address == address; });
}

/// True if a node of the rehearsal has network.gateway, or is one of those that share it.
bool has_gateway(const Profile& profile, const std::vector<Node>& nodes) {
    return is_booted(nodes, profile.network.gateway) || std::any_of(nodes.begin(), nodes.end(), [&](const Node& node) {
               return profile.shares_gateway() && node.role == Role::gateway;
           });
}

/// QEMU's router takes the gateway's place if no node of the cluster has it. One that is also the name server answers
/// as that: QEMU has the two at different addresses, and takes packets for the way out at both.
void add_outside(const Profile& profile, const std::vector<Node>& nodes, bool internet, OutsidePlan& outside) {
    const std::vector<Address> spare = free_addresses(profile, 2);
    const Address gateway = profile.network.gateway;
    const std::vector<Address>& dns = profile.network.dns;
    const bool names = std::find(dns.begin(), dns.end(), gateway) != dns.end();
    outside.subnet = profile.network.subnet;
    outside.internet = internet;
    outside.router = spare[0];
    outside.name_server = spare[1];
    if (!has_gateway(profile, nodes)) (names ? outside.name_server : outside.router) = gateway;
}

bool holds_shared_address(const Profile& profile, const Node& node) {
    switch (profile.api.balancer) {
        case Balancer::pair:
            return node.role == Role::load_balancer;
        case Balancer::static_pod:
            return node.role == Role::control_plane;
        case Balancer::none:
            return false;
    }
    throw Error("an unknown balancer");
}

}  // namespace

unsigned memory_for(Role role) {
    switch (role) {
        case Role::load_balancer:
        case Role::etcd:
        case Role::gateway:
            return 512;
        case Role::worker:
            return 768;
        case Role::control_plane:
            // kubeadm's preflight wants 1700 MB.
            return 2048;
    }
    throw Error("an unknown role");
}

std::vector<Address> free_addresses(const Profile& profile, std::size_t count) {
    std::set<Address> taken = {profile.network.gateway, profile.api.address};
    taken.insert(profile.network.dns.begin(), profile.network.dns.end());
    for (const Node& node : profile.nodes) taken.insert(node.address);
    for (const std::string& server : profile.network.ntp) {
        if (const auto address = parse_address(server)) taken.insert(*address);
    }
    const Gateway& gateway = profile.gateway;
    const auto given_away = [&](Address address) {
        return gateway.dhcp && gateway.dhcp_first <= address && address <= gateway.dhcp_last;
    };
    std::vector<Address> free;
    const Subnet& subnet = profile.network.subnet;
    for (Address address{subnet.last().value - 1}; subnet.first() < address && free.size() < count; --address.value) {
        if (!taken.contains(address) && !given_away(address)) free.push_back(address);
    }
    if (free.size() < count) {
        throw Error("network.subnet " + to_string(subnet) + " has no two addresses left for the rehearsal's router");
    }
    return free;
}

ClusterPlan plan_cluster(const Profile& profile, const ClusterChoice& choice,
                         const std::vector<std::uint16_t>& local_ports) {
    ClusterPlan plan;
    const std::vector<Node> nodes = chosen_nodes(profile, choice.nodes);
    for (const Node& node : nodes) {
        if (node.architecture != Architecture::arm64) {
            throw Error(node.name + " is for " + to_string(node.architecture) +
                        ": only arm64 nodes can be rehearsed yet");
        }
        if (!node.serial.empty()) {
            plan.warnings.push_back(node.name + " is bound to the board " + node.serial +
                                    ": a card that is built for the rehearsal is not");
        }
        plan.nodes.push_back({node, board_of(profile, node, choice)});
        plan.nodes.back().node.serial.clear();
        if (holds_shared_address(profile, node)) plan.shared = profile.api.address;
    }
    add_outside(profile, nodes, choice.internet, plan.outside);
    for (std::size_t at = 0; at < nodes.size(); ++at) {
        plan.outside.ways_in.push_back({local_ports.at(at), nodes[at].address, status_port});
    }
    if (plan.shared) plan.outside.ways_in.push_back({local_ports.at(nodes.size()), *plan.shared, profile.api.port});
    for (const Node* const node : profile.with_role(Role::control_plane)) {
        if (is_booted(nodes, node->address)) continue;
        plan.outside.stand_ins.push_back({node->address, api_server_port});
        plan.played.push_back(node->name);
    }
    return plan;
}

}  // namespace makina
