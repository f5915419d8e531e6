#pragma once

#include "builder/plan.hpp"

namespace makina::clusters {

// Clusters built by hand, in the shape that their sources describe; tests change what they are about.

inline Address address(const std::string& text) {
    return parse_address(text).value();
}

inline Node node(const std::string& name, Role role, const std::string& at) {
    Node node;
    node.name = name;
    node.role = role;
    node.address = address(at);
    return node;
}

inline Profile empty(const std::string& name) {
    Profile profile;
    profile.name = name;
    profile.kubernetes.version = {1, 34, 1};
    profile.network.subnet = parse_subnet("192.168.3.0/24").value();
    profile.network.gateway = address("192.168.3.1");
    profile.network.dns = {address("192.168.3.1"), address("9.9.9.9")};
    profile.network.ntp = {"0.debian.pool.ntp.org", "1.debian.pool.ntp.org"};
    profile.network.pods = parse_subnet("10.244.0.0/16").value();
    profile.network.services = parse_subnet("10.96.0.0/12").value();
    profile.network.domain = "cluster.local";
    profile.admin.ssh_keys = {"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJSo2R1v me@home"};
    profile.control_plane.api_server = {"1500m", "1Gi"};
    profile.control_plane.etcd = {"", "512Mi"};
    profile.vrid = 77;
    return profile;
}

// T1 with the gateway of T8.
inline Profile pair() {
    Profile profile = empty("makina");
    profile.api = {address("192.168.3.240"), 9000, Balancer::pair, {"api.home.arpa"}};
    profile.nodes = {
        node("master-1", Role::control_plane, "192.168.3.251"), node("master-2", Role::control_plane, "192.168.3.252"),
        node("master-3", Role::control_plane, "192.168.3.253"), node("lb-1", Role::load_balancer, "192.168.3.241"),
        node("lb-2", Role::load_balancer, "192.168.3.242"),     node("worker-1", Role::worker, "192.168.3.11"),
        node("gateway-1", Role::gateway, "192.168.3.1")};
    return profile;
}

// Two gateways that share an address on both sides and know each other's connections.
inline Profile two_gateways() {
    Profile profile = pair();
    profile.name = "two-gateways";
    profile.nodes.back().address = address("192.168.3.2");
    profile.nodes.push_back(node("gateway-2", Role::gateway, "192.168.3.3"));
    Gateway& gateway = profile.gateway;
    gateway.vrid = 78;
    gateway.uplink_address = address("192.168.1.9");
    gateway.conntrack_sync = true;
    gateway.dns = true;
    gateway.dhcp = true;
    gateway.dhcp_first = address("192.168.3.100");
    gateway.dhcp_last = address("192.168.3.150");
    gateway.forwards = {{"tcp", 443, address("192.168.3.11"), 30443},
                        {"tcp", 22, address("192.168.3.2"), 22, parse_subnet("192.168.1.0/24")},
                        {"tcp", 22, address("192.168.3.3"), 22}};
    return profile;
}

// T2: etcd on machines of its own, three balancers.
inline Profile external_etcd() {
    Profile profile = pair();
    profile.name = "hard-way";
    profile.api.port = 64430;
    profile.etcd.topology = EtcdTopology::external;
    profile.nodes.push_back(node("lb-3", Role::load_balancer, "192.168.3.243"));
    for (int i = 1; i <= 3; ++i) {
        profile.nodes.push_back(node("etcd-" + std::to_string(i), Role::etcd, "192.168.3." + std::to_string(230 + i)));
    }
    return profile;
}

// T3: the balancer as static pods on the control planes.
inline Profile static_pods() {
    Profile profile = empty("static");
    profile.api = {address("192.168.3.240"), 8443, Balancer::static_pod, {}};
    profile.nodes = {node("master-1", Role::control_plane, "192.168.3.251"),
                     node("master-2", Role::control_plane, "192.168.3.252"),
                     node("master-3", Role::control_plane, "192.168.3.253")};
    return profile;
}

// T5: one control plane, no balancer.
inline Profile single() {
    Profile profile = empty("single");
    profile.api = {address("192.168.3.251"), 6443, Balancer::none, {}};
    profile.nodes = {node("master-1", Role::control_plane, "192.168.3.251"),
                     node("worker-1", Role::worker, "192.168.3.11"), node("worker-2", Role::worker, "192.168.3.12"),
                     node("worker-3", Role::worker, "192.168.3.13")};
    return profile;
}

// A Debian base that has what every role needs, Kubernetes included.
inline BaseFacts debian(const Profile& profile) {
    BaseFacts base;
    base.id = "test-base";
    base.kernel = "6.12.117+deb13-arm64";
    base.disk_id = 0x1234abcd;
    base.built = 1760000000;
    for (const Role role : all_roles()) {
        for (const std::string& name : packages_for(profile, role)) {
            base.packages[name] = "1";
        }
    }
    for (const char* name : {"cri-tools", "kubeadm", "kubectl", "kubelet", "kubernetes-cni"}) {
        base.packages[name] = "1.34.1-1.1";
    }
    base.packages["systemd"] = "257.13-1~deb13u1";
    base.packages["containerd"] = "1.7.24~ds1-6+deb13u1";
    return base;
}

}  // namespace makina::clusters
