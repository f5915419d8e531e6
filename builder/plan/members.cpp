#include <algorithm>

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

std::string pinned_name(const std::string& name, const std::string& mac, const std::string& own_name) {
    // The kernel gives out eth0 and eth1 in the order of discovery. While one card has the name that another should
    // get, the change fails (systemd.link(5)), so a pinned card gets a name that the kernel never uses.
    return !mac.empty() && is_kernel_name(name) ? own_name : name;
}

/// What the script, the service and the timer of etcd's snapshots are rendered with.
Value::Group snapshots_group(const Etcd& etcd) {
    const Snapshots& snapshots = etcd.snapshots;
    // Asked at least every hour: a node that was off, or whose copy failed, does not wait for the whole time.
    const std::uint64_t tick = std::min<std::uint64_t>(snapshots.every, 3600);
    const bool stored = !snapshots.bucket.empty();
    return {{"taken", etcd.topology == EtcdTopology::external && snapshots.every > 0},
            {"keep", std::uint64_t{snapshots.keep}},
            // The timer's delays may make two of its ticks this much nearer to each other.
            {"due", (snapshots.every - tick / 2) / 60},
            {"tick", tick},
            {"spread", tick / 4},
            {"pushed", stored || !snapshots.ssh.empty()},
            {"place", stored ? "s3://" + snapshots.bucket : snapshots.ssh},
            {"ssh", snapshots.ssh},
            {"url", stored ? snapshots.endpoint + "/" + snapshots.bucket : ""},
            // curl's words: who signs, for whom, the region and the service.
            {"signature", "aws:amz:" + snapshots.region + ":s3"}};
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
            {"snapshots", snapshots_group(etcd)},
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

std::string uplink_interface(const Gateway& gateway, const Node& node) {
    return pinned_name(gateway.uplink, node.uplink_mac, "uplink0");
}

std::string inside_interface(const Gateway& gateway, const Node& node) {
    return pinned_name(gateway.inside, node.inside_mac, "inside0");
}

Value::Group gateway_values(const Profile& profile, const Node& node) {
    const Gateway& gateway = profile.gateway;
    const Network& network = profile.network;
    Value::List peers;
    std::vector<Address> others;
    for (const Node* each : profile.with_role(Role::gateway)) {
        if (each->name == node.name) continue;
        others.push_back(each->address);
        peers.emplace_back(to_string(each->address));
    }
    Value::List forwards;
    for (const Forward& forward : gateway.forwards) {
        // What leads to a gateway is open on that one alone.
        if (std::ranges::find(others, forward.to) != others.end()) continue;
        forwards.emplace_back(Value::Group{{"protocol", forward.protocol},
                                           {"port", std::uint64_t{forward.port}},
                                           {"to", to_string(forward.to) + ":" + std::to_string(forward.to_port)},
                                           {"from", forward.from ? to_string(*forward.from) : ""}});
    }
    std::string dhcp_dns = gateway.dns ? to_string(network.gateway) : "";
    if (!gateway.dns) {
        for (const Address server : network.dns) {
            dhcp_dns += (dhcp_dns.empty() ? "" : ",") + to_string(server);
        }
    }
    return {{"uplink", uplink_interface(gateway, node)},
            {"inside", inside_interface(gateway, node)},
            {"uplink_mac", node.uplink_mac},
            {"inside_mac", node.inside_mac},
            {"connections", std::uint64_t{gateway.connections}},
            // The kernel rounds up to whole pages of 8-byte slots; a page has at most 64 KiB.
            {"buckets", std::uint64_t{(gateway.connections + 8191) / 8192 * 8192}},
            {"double_connections", std::uint64_t{gateway.connections} * 2},
            {"shared", profile.shares_gateway()},
            {"peers", peers},
            {"router", std::uint64_t{gateway.vrid}},
            {"uplink_address", gateway.uplink_address ? to_string(*gateway.uplink_address) : ""},
            {"conntrack_sync", gateway.conntrack_sync},
            {"dhcp", gateway.dhcp},
            {"dns", gateway.dns},
            {"dnsmasq", gateway.dhcp || gateway.dns},
            {"dhcp_first", to_string(gateway.dhcp_first)},
            {"dhcp_last", to_string(gateway.dhcp_last)},
            {"dhcp_dns", dhcp_dns},
            {"forwards", forwards}};
}

}  // namespace makina
