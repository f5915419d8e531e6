#include "builder/plan/parts.hpp"

namespace makina {
namespace {

std::string url(const Node& node, const std::string& port) {
    return "https://" + to_string(node.address) + ":" + port;
}

Value argument(const std::string& name, const std::string& value) {
    return Value::Group{{"name", name}, {"value", value}};
}

bool is_kernel_name(const std::string& name) {
    return name.rfind("eth", 0) == 0 || name.rfind("usb", 0) == 0 || name.rfind("wlan", 0) == 0;
}

}  // namespace

Value::Group etcd_values(const Profile& profile, const Node& node) {
    const Etcd& etcd = profile.etcd;
    Value::List members;
    for (const Node* member : profile.with_role(Role::etcd)) {
        members.emplace_back(Value::Group{{"name", member->name}, {"client_url", url(*member, "2379")}});
    }
    return {{"external", etcd.topology == EtcdTopology::external},
            {"members", members},
            {"peer_url", url(node, "2380")},
            {"client_url", url(node, "2379")},
            {"listen_client_urls", url(node, "2379") + ",https://127.0.0.1:2379"},
            {"heartbeat_ms", std::uint64_t{etcd.heartbeat_ms}},
            {"election_ms", std::uint64_t{etcd.election_ms}},
            {"quota_bytes", etcd.quota_bytes},
            {"compaction", etcd.compaction},
            {"arguments", Value::List{argument("heartbeat-interval", std::to_string(etcd.heartbeat_ms)),
                                      argument("election-timeout", std::to_string(etcd.election_ms)),
                                      argument("quota-backend-bytes", std::to_string(etcd.quota_bytes)),
                                      argument("auto-compaction-mode", "periodic"),
                                      argument("auto-compaction-retention", etcd.compaction)}}};
}

std::string pinned_name(const std::string& name, const std::string& mac, const std::string& own_name) {
    // The kernel gives out eth0 and eth1 in the order of discovery. While one card has the name that another should
    // get, the change fails (systemd.link(5)), so a pinned card gets a name that the kernel never uses.
    return !mac.empty() && is_kernel_name(name) ? own_name : name;
}

std::string inside_interface(const Gateway& gateway) {
    return pinned_name(gateway.inside, gateway.inside_mac, "inside0");
}

Value::Group gateway_values(const Profile& profile, const Node& node) {
    const Gateway& gateway = profile.gateway;
    Value::List forwards;
    for (const Forward& forward : gateway.forwards) {
        forwards.emplace_back(Value::Group{{"protocol", forward.protocol},
                                           {"port", std::uint64_t{forward.port}},
                                           {"to", to_string(forward.to) + ":" + std::to_string(forward.to_port)}});
    }
    std::string dhcp_dns = gateway.dns ? to_string(node.address) : "";
    if (!gateway.dns) {
        for (const Address server : profile.network.dns) {
            dhcp_dns += (dhcp_dns.empty() ? "" : ",") + to_string(server);
        }
    }
    return {{"uplink", pinned_name(gateway.uplink, gateway.uplink_mac, "uplink0")},
            {"inside", inside_interface(gateway)},
            {"uplink_mac", gateway.uplink_mac},
            {"inside_mac", gateway.inside_mac},
            {"dhcp", gateway.dhcp},
            {"dns", gateway.dns},
            {"dnsmasq", gateway.dhcp || gateway.dns},
            {"dhcp_first", to_string(gateway.dhcp_first)},
            {"dhcp_last", to_string(gateway.dhcp_last)},
            {"dhcp_dns", dhcp_dns},
            {"forwards", forwards}};
}

}  // namespace makina
