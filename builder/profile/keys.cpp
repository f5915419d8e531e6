#include "builder/profile/keys.hpp"

#include <algorithm>

#include "builder/profile/profile.hpp"

namespace makina {

const std::vector<std::string>& profile_keys() {
    static const std::vector<std::string> keys = {
        "name",
        "vrid",
        "pki",
        "kubernetes.version",
        "kubernetes.distribution",
        "kubernetes.from",
        "network.subnet",
        "network.gateway",
        "network.dns",
        "network.ntp",
        "network.pods",
        "network.services",
        "network.domain",
        "api.address",
        "api.port",
        "api.balancer",
        "api.names",
        "api.images.haproxy",
        "api.images.keepalived",
        "etcd.topology",
        "etcd.heartbeat_ms",
        "etcd.election_ms",
        "etcd.quota",
        "etcd.compaction",
        "etcd.snapshots.every",
        "etcd.snapshots.keep",
        "etcd.snapshots.push",
        "etcd.snapshots.endpoint",
        "etcd.snapshots.region",
        "etcd.snapshots.credentials",
        "base.packages",
        "base.mirror",
        "base.security_mirror",
        "base.image",
        "base.sha256",
        "base.free",
        "admin.user",
        "admin.ssh_keys",
        "control_plane.api_server.cpu",
        "control_plane.api_server.memory",
        "control_plane.etcd.cpu",
        "control_plane.etcd.memory",
        "control_plane.schedulable",
        "gateway.uplink",
        "gateway.inside",
        "gateway.dhcp.first",
        "gateway.dhcp.last",
        "gateway.dns",
        "gateway.forwards.port",
        "gateway.forwards.protocol",
        "gateway.forwards.to",
        "gateway.forwards.to_port",
        "gateway.forwards.from",
        "gateway.connections",
        "gateway.uplink_address",
        "gateway.conntrack_sync",
        "gateway.vrid",
        "manifests",
        "roles.<role>.packages",
        "roles.<role>.files.<path>",
        "roles.<role>.files.<path>.content",
        "roles.<role>.files.<path>.mode",
        "roles.<role>.kernel_arguments",
        "roles.<role>.sysctls",
        "roles.<role>.config_txt",
        "nodes.<node>.role",
        "nodes.<node>.address",
        "nodes.<node>.mac",
        "nodes.<node>.uplink_mac",
        "nodes.<node>.inside_mac",
        "nodes.<node>.serial",
        "nodes.<node>.arch",
        "nodes.<node>.hardware",
        "nodes.<node>.labels",
        "nodes.<node>.taints",
        "nodes.<node>.spare",
    };
    return keys;
}

std::vector<std::string> keys_below(const std::string& pattern) {
    const std::string prefix = pattern.empty() ? "" : pattern + '.';
    std::vector<std::string> below;
    for (const std::string& key : profile_keys()) {
        if (!key.starts_with(prefix)) continue;
        const std::string rest = key.substr(prefix.size());
        const std::string first = rest.substr(0, rest.find('.'));
        if (std::ranges::find(below, first) == below.end()) below.push_back(first);
    }
    return below;
}

std::string belongs_elsewhere(const std::string& key) {
    std::vector<std::string> sections;
    for (const std::string& known : profile_keys()) {
        // One that the top level has too may have been meant for there.
        if (known == key) return "";
        if (known.size() > key.size() && known.ends_with("." + key)) {
            sections.push_back(known.substr(0, known.size() - key.size() - 1));
        }
    }
    return sections.size() == 1 ? ", it belongs below " + sections.front() : "";
}

}  // namespace makina
