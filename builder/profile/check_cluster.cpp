#include <algorithm>

#include "builder/profile/check.hpp"

namespace makina {
namespace {

std::string count(std::size_t number, const std::string& thing) {
    return std::to_string(number) + ' ' + thing + (number == 1 ? "" : "s");
}

/// True if all nodes have a sound role, so that counting them means something.
bool roles_sound(const Draft& draft) {
    return draft.sound("nodes") && std::ranges::all_of(draft.profile.nodes, [&](const Node& node) {
               return draft.sound("nodes." + node.name + ".role");
           });
}

void check_control_planes(Draft& draft) {
    if (draft.profile.with_role(Role::control_plane).empty()) {
        draft.complain("nodes", "nodes: no node has the role control-plane, give it to one");
    }
}

void check_members(Draft& draft) {
    const Profile& profile = draft.profile;
    if (!draft.sound("etcd.topology")) return;
    const bool external = profile.etcd.topology == EtcdTopology::external;
    const auto own = profile.with_role(Role::etcd);
    if (!external && !own.empty()) {
        const std::string path = "nodes." + own.front()->name + ".role";
        return draft.complain(path, path +
                                        ": etcd runs on the control planes, set etcd.topology to external for "
                                        "nodes of its own");
    }
    const auto members = external ? own.size() : profile.with_role(Role::control_plane).size();
    if (external && members == 0) {
        draft.complain("etcd.topology", "etcd.topology: external needs nodes with the role etcd, best three");
    } else if (members > 0 && members % 2 == 0) {
        const std::string thing = external ? "etcd node" : "control plane";
        draft.complain("nodes", "nodes: " + count(members, thing) + " make " + count(members, "etcd member") +
                                    ", which survive no more failures than " + std::to_string(members - 1) +
                                    " would, add or remove one");
    }
}

void check_times(Draft& draft) {
    const Etcd& etcd = draft.profile.etcd;
    if (!draft.sound("etcd.heartbeat_ms") || !draft.sound("etcd.election_ms")) return;
    if (etcd.election_ms >= 5 * etcd.heartbeat_ms) return;
    const std::string path = draft.given("etcd.election_ms") ? "etcd.election_ms" : "etcd.heartbeat_ms";
    draft.complain(path, path + ": etcd does not start unless election_ms " + std::to_string(etcd.election_ms) +
                             " is at least 5 times heartbeat_ms " + std::to_string(etcd.heartbeat_ms));
}

/// Without a balancer the API server is reached directly.
void check_direct(Draft& draft) {
    const Profile& profile = draft.profile;
    const auto control_planes = profile.with_role(Role::control_plane);
    if (control_planes.size() > 1) {
        draft.complain("api.balancer", "api.balancer: none reaches only one of " +
                                           count(control_planes.size(), "control plane") + ", use pair or static-pod");
        return;
    }
    if (profile.api.port != 6443) {
        draft.complain("api.port", "api.port: without a balancer the API server answers itself, on port 6443");
    }
    if (control_planes.empty() || !draft.sound("nodes." + control_planes.front()->name)) return;
    const Node& only = *control_planes.front();
    if (draft.sound("nodes." + only.name + ".address") && draft.sound("api.address") &&
        profile.api.address != only.address) {
        draft.complain("api.address", "api.address: without a balancer it must be " + to_string(only.address) +
                                          ", the address of " + only.name + "; remove the key");
    }
}

void check_balancer(Draft& draft) {
    const Profile& profile = draft.profile;
    if (!draft.sound("api.balancer")) return;
    if (draft.given("api.images") && profile.api.balancer != Balancer::static_pod) {
        draft.complain("api.images", "api.images: has no meaning unless api.balancer is static-pod, remove it");
    }
    const auto balancers = profile.with_role(Role::load_balancer);
    switch (profile.api.balancer) {
        case Balancer::pair:
            if (balancers.size() < 2) {
                draft.complain("api.balancer",
                               "api.balancer: pair needs at least two nodes with the role "
                               "load-balancer, there is " +
                                   (balancers.empty() ? "none" : std::string("one")) +
                                   "; add them or use static-pod or none");
            }
            return;
        case Balancer::static_pod:
            break;
        case Balancer::none:
            check_direct(draft);
            break;
    }
    for (const Node* node : balancers) {
        const std::string path = "nodes." + node->name + ".role";
        draft.complain(path, path + ": a load-balancer has nothing to do unless api.balancer is pair");
    }
}

/// Ports that something else on the balancing node listens on already; empty if the port is free.
std::string holder_of_port(std::uint16_t port, Balancer balancer) {
    if (port == 22) return "ssh";
    if (port == 8404) return "haproxy's own answers";
    if (balancer != Balancer::static_pod) return "";
    if (port >= 30000 && port <= 32767) return "the services' node ports";
    const std::vector<std::pair<std::uint16_t, std::string>> used = {
        {6443, "the API server"}, {2379, "etcd"},         {2380, "etcd"},
        {2381, "etcd"},           {10248, "the kubelet"}, {10249, "kube-proxy"},
        {10250, "the kubelet"},   {10256, "kube-proxy"},  {10257, "the controller manager"},
        {10259, "the scheduler"}};
    const auto found = std::ranges::find(used, port, &std::pair<std::uint16_t, std::string>::first);
    return found == used.end() ? "" : found->second;
}

void check_port(Draft& draft) {
    const Endpoint& api = draft.profile.api;
    if (!draft.sound("api.port") || !draft.sound("api.balancer") || api.balancer == Balancer::none) return;
    const std::string holder = holder_of_port(api.port, api.balancer);
    if (holder.empty()) return;
    draft.complain("api.port", "api.port: " + std::to_string(api.port) + " is in use on the same nodes by " + holder +
                                   ", choose another such as 9000");
}

void check_version(Draft& draft) {
    const Kubernetes& kubernetes = draft.profile.kubernetes;
    if (!draft.sound("kubernetes.version") || !draft.sound("kubernetes.from")) return;
    const std::string here = "kubernetes.version: " + to_string(kubernetes.version);
    if (kubernetes.version < Version{1, 13, 0} || kubernetes.version.major > 1) {
        draft.complain("kubernetes.version", here + " is not supported, choose one from 1.13.0 on");
    } else if (kubernetes.version < Version{1, 24, 0} && kubernetes.source != KubernetesSource::folder) {
        draft.complain("kubernetes.version", here +
                                                 " is in no repository any more, which begin with 1.24.0; set "
                                                 "kubernetes.from to a folder with its packages");
    }
}

/// Every Kubernetes node gets a /24 of the pods' range.
void check_room(Draft& draft) {
    const Profile& profile = draft.profile;
    if (!draft.sound("network.pods")) return;
    const auto nodes = profile.with_role(Role::control_plane).size() + profile.with_role(Role::worker).size();
    const std::size_t room = std::size_t{1} << (24 - profile.network.pods.prefix);
    if (nodes <= room) return;
    draft.complain("network.pods", "network.pods: " + to_string(profile.network.pods) + " has room for " +
                                       count(room, "node") + ", the profile has " + std::to_string(nodes));
}

}  // namespace

void check_cluster(Draft& draft) {
    check_version(draft);
    check_times(draft);
    check_port(draft);
    check_room(draft);
    check_snapshots(draft);
    if (!roles_sound(draft)) return;
    check_control_planes(draft);
    check_members(draft);
    check_balancer(draft);
    check_gateway(draft);
}

void check(Draft& draft) {
    check_ranges(draft);
    check_addresses(draft);
    check_cluster(draft);
}

}  // namespace makina
