#include <algorithm>

#include "builder/profile/check.hpp"

namespace makina {
namespace {

const Node* gateway_at(const Profile& profile, Address address) {
    const auto gateways = profile.with_role(Role::gateway);
    const auto found = std::ranges::find(gateways, address, [](const Node* node) { return node->address; });
    return found == gateways.end() ? nullptr : *found;
}

/// Nodes must not ask a gateway for names that does not answer them.
void check_names_answered(Draft& draft) {
    const Profile& profile = draft.profile;
    const bool sound = draft.sound("network.dns") && draft.sound("network.gateway") && draft.sound("gateway.dns");
    if (!sound || profile.with_role(Role::gateway).empty()) return;
    const Address shared = profile.network.gateway;
    for (const Address server : profile.network.dns) {
        const Node* const node = gateway_at(profile, server);
        if (node != nullptr && profile.shares_gateway()) {
            draft.complain("network.dns", "network.dns: " + to_string(server) + " is " + node->name +
                                              ", which answers names only while it has " + to_string(shared) +
                                              ", list that one");
        } else if ((node != nullptr || server == shared) && !profile.gateway.dns) {
            draft.complain("network.dns",
                           "network.dns: " + to_string(server) + " is " +
                               (node != nullptr ? node->name + ", which answers" : "the gateways', which answer") +
                               " no names; set gateway.dns to true or list other servers");
        }
    }
}

/// True if one port would have to lead to two places. Each gateway may have the same port open for itself.
bool collide(const Profile& profile, const Forward& one, const Forward& other) {
    if (one.protocol != other.protocol || one.port != other.port) return false;
    const Node* const gateway = gateway_at(profile, one.to);
    const Node* const another = gateway_at(profile, other.to);
    return gateway == nullptr || another == nullptr || gateway == another;
}

void check_ports(Draft& draft) {
    const std::vector<Forward>& forwards = draft.profile.gateway.forwards;
    for (std::size_t index = 0; index < forwards.size(); ++index) {
        const Forward& forward = forwards[index];
        const std::string path = "gateway.forwards." + std::to_string(index + 1) + ".port";
        const auto end = forwards.begin() + static_cast<std::ptrdiff_t>(index);
        const bool used = std::any_of(forwards.begin(), end,
                                      [&](const Forward& earlier) { return collide(draft.profile, earlier, forward); });
        if (!draft.sound(path) || forward.port == 0 || !used) continue;
        draft.complain(path, path + ": " + forward.protocol + ' ' + std::to_string(forward.port) +
                                 " is already forwarded, one port leads to one node");
    }
}

/// What only has a meaning with two gateways or more.
void check_unshared(Draft& draft) {
    for (const std::string key : {"uplink_address", "conntrack_sync", "vrid"}) {
        const std::string path = "gateway." + key;
        if (!draft.given(path) || !draft.sound(path)) continue;
        draft.complain(path, path + ": one gateway shares nothing, remove the key or add a second gateway");
    }
}

void check_shared(Draft& draft) {
    const Profile& profile = draft.profile;
    const Gateway& gateway = profile.gateway;
    const auto gateways = profile.with_role(Role::gateway);
    const bool addressed = gateway.uplink_address || !draft.sound("gateway.uplink_address");
    const auto leads_on = [&](const Forward& forward) { return gateway_at(profile, forward.to) == nullptr; };
    if (!addressed && std::ranges::any_of(gateway.forwards, leads_on)) {
        draft.complain("gateway.forwards",
                       "gateway.forwards: only the gateway that has network.gateway can pass them on; set "
                       "gateway.uplink_address, by which home finds it");
    }
    if (gateway.conntrack_sync && gateways.size() != 2) {
        draft.complain("gateway.conntrack_sync",
                       "gateway.conntrack_sync: two gateways can know each other's "
                       "connections, there are " +
                           std::to_string(gateways.size()));
    } else if (gateway.conntrack_sync && !addressed) {
        draft.complain("gateway.conntrack_sync",
                       "gateway.conntrack_sync: a connection goes on only if it keeps its address towards home; set "
                       "gateway.uplink_address");
    }
    const bool both = draft.sound("gateway.vrid") && draft.sound("vrid") && draft.sound("api.balancer");
    if (both && profile.api.balancer != Balancer::none && draft.given("gateway.vrid") && gateway.vrid == profile.vrid) {
        draft.complain("gateway.vrid", "gateway.vrid: " + std::to_string(gateway.vrid) +
                                           " is also the vrid of api.address, choose another");
    }
}

}  // namespace

void check_gateway(Draft& draft) {
    const Profile& profile = draft.profile;
    const auto gateways = profile.with_role(Role::gateway);
    if (gateways.empty() && draft.given("gateway")) {
        draft.complain("gateway", "gateway: no node has the role gateway, add one or remove the section");
    }
    if (profile.gateway.uplink == profile.gateway.inside && draft.sound("gateway")) {
        draft.complain("gateway.inside", "gateway.inside: " + profile.gateway.inside +
                                             " is also the uplink, a gateway stands between two networks");
    }
    check_names_answered(draft);
    check_ports(draft);
    if (gateways.size() == 1) check_unshared(draft);
    if (gateways.size() > 1) check_shared(draft);
}

}  // namespace makina
