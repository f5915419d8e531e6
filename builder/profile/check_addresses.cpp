#include <algorithm>
#include <map>

#include "builder/profile/check.hpp"

namespace makina {
namespace {

std::string node_path(const Node& node, const std::string& key) {
    return "nodes." + node.name + '.' + key;
}

/// True if a host of `subnet` can have `address`; otherwise a complaint.
bool check_host(Draft& draft, const std::string& path, Address address) {
    const Subnet& subnet = draft.profile.network.subnet;
    if (!draft.sound("network.subnet") || !draft.sound(path)) return false;
    if (!subnet.contains(address)) {
        draft.complain(path, path + ": " + to_string(address) + " is outside network.subnet " + to_string(subnet) +
                                 ", choose one between its ends");
        return false;
    }
    if (address == subnet.first() || address == subnet.last()) {
        draft.complain(path, path + ": " + to_string(address) + " is the " +
                                 (address == subnet.first() ? "first" : "last") + " address of " + to_string(subnet) +
                                 ", which no host can have");
        return false;
    }
    return true;
}

bool is_host_range(const Subnet& subnet) {
    const std::uint32_t first = subnet.first().value >> 24;
    const std::uint32_t last = subnet.last().value >> 24;
    return first > 0 && last < 224 && !(first <= 127 && last >= 127);
}

/// One range alone; `narrowest` and `widest` are prefix lengths.
void check_range(Draft& draft, const std::string& path, const Subnet& range, int widest, int narrowest) {
    if (!draft.sound(path)) return;
    if (range.base != range.first()) {
        draft.complain(path, path + ": " + to_string(range) + " does not begin at its first address, write " +
                                 to_string(Subnet{range.first(), range.prefix}));
    } else if (range.prefix < widest || range.prefix > narrowest) {
        draft.complain(path, path + ": /" + std::to_string(range.prefix) + " is not between /" +
                                 std::to_string(widest) + " and /" + std::to_string(narrowest));
    } else if (!is_host_range(range)) {
        draft.complain(path, path + ": " + to_string(range) + " is not for hosts, use a private range");
    }
}

void check_overlap(Draft& draft, const std::string& one, const Subnet& a, const std::string& other, const Subnet& b) {
    if (!draft.sound(one) || !draft.sound(other) || !a.overlaps(b)) return;
    // The mistake is in what was written, not in a default.
    const std::string& blamed = draft.given(other) ? other : one;
    const bool is_other = &blamed == &other;
    draft.complain(blamed, blamed + ": " + to_string(is_other ? b : a) + " overlaps " + (is_other ? one : other) + ' ' +
                               to_string(is_other ? a : b) + ", choose separate ranges");
}

void check_node_addresses(Draft& draft) {
    std::map<Address, std::string> holders;
    for (const Node& node : draft.profile.nodes) {
        const std::string path = node_path(node, "address");
        if (!draft.sound(path)) continue;
        check_host(draft, path, node.address);
        const auto [holder, fresh] = holders.emplace(node.address, node.name);
        if (!fresh) {
            draft.complain(path, path + ": " + to_string(node.address) + " is already the address of " +
                                     holder->second + ", give each node its own");
        }
    }
}

void check_vip(Draft& draft) {
    const Profile& profile = draft.profile;
    if (profile.api.balancer == Balancer::none || !draft.sound("api.balancer") || !draft.sound("api.address")) return;
    if (!check_host(draft, "api.address", profile.api.address)) return;
    for (const Node& node : profile.nodes) {
        if (node.address != profile.api.address || !draft.sound(node_path(node, "address"))) continue;
        draft.complain("api.address", "api.address: " + to_string(profile.api.address) + " is the address of " +
                                          node.name + ", choose one that no node has");
    }
    if (profile.api.address == profile.network.gateway && draft.sound("network.gateway")) {
        draft.complain("api.address", "api.address: " + to_string(profile.api.address) +
                                          " is network.gateway, choose one that nothing has");
    }
}

/// The subnet's router: the gateway node if there is one, an address that two or more share, or nobody of ours.
void check_router(Draft& draft) {
    const Profile& profile = draft.profile;
    if (!draft.sound("network.gateway") || !check_host(draft, "network.gateway", profile.network.gateway)) return;
    const bool shared = profile.shares_gateway();
    for (const Node& node : profile.nodes) {
        const std::string path = node_path(node, "address");
        if (!draft.sound(path) || !draft.sound(node_path(node, "role"))) continue;
        const bool routes = node.address == profile.network.gateway;
        if (routes && shared) {
            draft.complain(path, path + ": " + to_string(node.address) +
                                     " is network.gateway, which the gateways share, give the node its own");
        } else if (routes && node.role != Role::gateway) {
            draft.complain(path, path + ": " + to_string(node.address) +
                                     " is network.gateway, give the node its own or the role gateway");
        } else if (!routes && !shared && node.role == Role::gateway) {
            draft.complain(
                path, path + ": the gateway's address must be network.gateway " + to_string(profile.network.gateway));
        }
    }
}

/// Home's network is another one than the cluster's.
void check_uplink_address(Draft& draft) {
    const Profile& profile = draft.profile;
    const std::string path = "gateway.uplink_address";
    if (!profile.gateway.uplink_address || !draft.sound(path)) return;
    const Address address = *profile.gateway.uplink_address;
    if (!is_host_range({address, 32})) {
        return draft.complain(path, path + ": " + to_string(address) + " is not for hosts, take one of home's network");
    }
    const Network& network = profile.network;
    for (const auto& [name, range] : {std::pair{"network.subnet", &network.subnet},
                                      {"network.pods", &network.pods},
                                      {"network.services", &network.services}}) {
        if (!draft.sound(name) || !range->contains(address)) continue;
        return draft.complain(path, path + ": " + to_string(address) + " is in " + name + ' ' + to_string(*range) +
                                        ", take one of home's network");
    }
}

void check_dhcp(Draft& draft) {
    const Profile& profile = draft.profile;
    const Gateway& gateway = profile.gateway;
    const bool sound = draft.sound("gateway.dhcp.first") && draft.sound("gateway.dhcp.last");
    if (!gateway.dhcp || !sound) return;
    const bool first = check_host(draft, "gateway.dhcp.first", gateway.dhcp_first);
    const bool last = check_host(draft, "gateway.dhcp.last", gateway.dhcp_last);
    if (!first || !last) return;
    if (gateway.dhcp_last < gateway.dhcp_first) {
        return draft.complain("gateway.dhcp.last", "gateway.dhcp.last: " + to_string(gateway.dhcp_last) +
                                                       " is before first " + to_string(gateway.dhcp_first) +
                                                       ", exchange them");
    }
    const auto refuse = [&](Address address, const std::string& holder) {
        if (address < gateway.dhcp_first || address > gateway.dhcp_last) return;
        draft.complain("gateway.dhcp", draft.where("gateway.dhcp.first"),
                       "gateway.dhcp: the range holds " + to_string(address) + " of " + holder +
                           ", which it would give to another machine");
    };
    for (const Node& node : profile.nodes) {
        if (draft.sound(node_path(node, "address"))) refuse(node.address, node.name);
    }
    if (profile.api.balancer != Balancer::none && draft.sound("api")) refuse(profile.api.address, "api.address");
    if (profile.with_role(Role::gateway).size() != 1) refuse(profile.network.gateway, "network.gateway");
}

/// A forward that names a node leads where the node is; one that names an address leads into the subnet.
void check_forwards(Draft& draft) {
    const Profile& profile = draft.profile;
    for (std::size_t index = 0; index < profile.gateway.forwards.size(); ++index) {
        const Forward& forward = profile.gateway.forwards[index];
        const std::string path = "gateway.forwards." + std::to_string(index + 1);
        const std::string from = path + ".from";
        if (forward.from && draft.sound(from) && forward.from->base != forward.from->first()) {
            draft.complain(from, from + ": " + to_string(*forward.from) +
                                     " does not begin at its first address, write " +
                                     to_string(Subnet{forward.from->first(), forward.from->prefix}));
        }
        if (std::ranges::find(profile.nodes, forward.to, &Node::address) != profile.nodes.end()) continue;
        if (draft.given(path + ".to")) check_host(draft, path + ".to", forward.to);
    }
}

void check_cards(Draft& draft) {
    std::map<std::string, std::string> holders;
    const auto hold = [&](const std::string& path, const std::string& mac, const std::string& holder) {
        if (mac.empty() || !draft.sound(path)) return;
        const auto [known, fresh] = holders.emplace(mac, holder);
        if (fresh) return;
        draft.complain(path, path + ": " + mac + " is already the card of " + known->second +
                                 ", look at the sticker or at ip link");
    };
    const auto hold_serial = [&](const Node& node) {
        const std::string path = node_path(node, "serial");
        if (node.serial.empty() || !draft.sound(path)) return;
        const auto [known, fresh] = holders.emplace(node.serial, node.name);
        if (fresh) return;
        draft.complain(
            path, path + ": " + node.serial + " is already the board of " + known->second + ", each board has its own");
    };
    for (const Node& node : draft.profile.nodes) {
        const bool routes = node.role == Role::gateway;
        for (const auto& [key, mac] : {std::pair{std::string("mac"), &node.mac},
                                       {"uplink_mac", &node.uplink_mac},
                                       {"inside_mac", &node.inside_mac}}) {
            const std::string path = node_path(node, key);
            if (mac->empty() || !draft.sound(path)) continue;
            if (!draft.sound(node_path(node, "role")) || routes == (key != "mac")) {
                hold(path, *mac, node.name);
            } else {
                draft.complain(path, path + (routes ? ": a gateway has two cards, use uplink_mac and inside_mac"
                                                    : ": only a gateway has two cards, use mac"));
            }
        }
        hold_serial(node);
    }
}

}  // namespace

void check_ranges(Draft& draft) {
    const Network& network = draft.profile.network;
    check_range(draft, "network.subnet", network.subnet, 8, 29);
    // kubeadm gives every node a /24 of the pods, at most 2^16 of them, and takes a service range of at most 20 bits
    // with at least 10 addresses (kubeadm's validation.go).
    check_range(draft, "network.pods", network.pods, 8, 24);
    check_range(draft, "network.services", network.services, 12, 28);
    check_overlap(draft, "network.subnet", network.subnet, "network.pods", network.pods);
    check_overlap(draft, "network.subnet", network.subnet, "network.services", network.services);
    check_overlap(draft, "network.pods", network.pods, "network.services", network.services);
}

void check_addresses(Draft& draft) {
    check_node_addresses(draft);
    check_vip(draft);
    check_router(draft);
    check_uplink_address(draft);
    check_dhcp(draft);
    check_forwards(draft);
    check_cards(draft);
}

}  // namespace makina
