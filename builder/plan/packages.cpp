#include <algorithm>
#include <functional>
#include <iterator>
#include <set>

#include "builder/plan/parts.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

using Names = std::vector<std::string>;

// What makes a Debian root into a machine: a vendor's image has its own of these.
Names machine_packages(Architecture architecture) {
    Names names = {"initramfs-tools", "zstd"};
    switch (architecture) {
        case Architecture::arm64:
            names.insert(names.end(), {"linux-image-arm64", "raspi-firmware"});
            return names;
        case Architecture::amd64:
            names.emplace_back("linux-image-amd64");
            return names;
    }
    throw Error("unknown architecture");
}

const Names& node_packages() {
    static const Names names = {"ca-certificates", "curl", "dbus", "dosfstools", "e2fsprogs", "fdisk", "iproute2",
                                "iputils-ping", "kmod", "less", "libnss-resolve", "libpam-systemd",
                                "linux-sysctl-defaults",
                                // /etc/protocols: without it nft knows no "ipv6-icmp" and the firewall does not load.
                                "netbase", "nftables", "openssh-server", "procps", "sudo", "systemd",
                                "systemd-resolved", "systemd-sysv", "systemd-timesyncd", "udev"};
    return names;
}

Names gateway_packages(const Profile& profile) {
    Names names = {"conntrack"};
    if (profile.gateway.dhcp || profile.gateway.dns) names.emplace_back("dnsmasq-base");
    if (profile.shares_gateway()) names.emplace_back("keepalived");
    if (profile.gateway.conntrack_sync) names.emplace_back("conntrackd");
    return names;
}

Names etcd_packages(const Profile& profile) {
    Names names = {"etcd-client", "etcd-server"};
    if (!profile.etcd.snapshots.ssh.empty()) names.emplace_back("rsync");
    return names;
}

Names role_packages(const Profile& profile, Role role) {
    switch (role) {
        case Role::control_plane:
        case Role::worker:
            // What kubelet, kube-proxy, port-forward and kubeadm's checks call by name.
            return {"containerd", "containernetworking-plugins",
                    "conntrack",  "ebtables",
                    "ethtool",    "iptables",
                    "mount",      "runc",
                    "socat",      "util-linux"};
        case Role::load_balancer:
            return {"haproxy", "keepalived"};
        case Role::etcd:
            return etcd_packages(profile);
        case Role::gateway:
            return gateway_packages(profile);
    }
    throw Error("unknown role");
}

bool installed(const BaseFacts& base, const std::string& name) {
    // Docker's archive calls it containerd.io; it provides runc as well.
    const bool from_docker = (name == "containerd" || name == "runc") && base.packages.count("containerd.io") == 1;
    return from_docker || base.packages.count(name) == 1;
}

std::string listed(const Names& names) {
    std::string result;
    for (const std::string& name : names) {
        result += (result.empty() ? "" : ", ") + name;
    }
    return result;
}

const Names& kubernetes_packages() {
    static const Names names = {"cri-tools", "kubeadm", "kubectl", "kubelet", "kubernetes-cni"};
    return names;
}

Names missing(const BaseFacts& base, const Names& wanted) {
    Names result;
    std::copy_if(wanted.begin(), wanted.end(), std::back_inserter(result),
                 [&](const std::string& name) { return !installed(base, name); });
    return result;
}

bool runs_kubernetes(Role role) {
    return role == Role::control_plane || role == Role::worker;
}

bool has_limits(const Limits& limits) {
    return !limits.cpu.empty() || !limits.memory.empty();
}

using Warn = std::function<void(const std::string&)>;

void warn_of_kubernetes(const Profile& profile, const BaseFacts& base, const Node& node, const Warn& warn) {
    const Version& version = profile.kubernetes.version;
    const Names absent = missing_kubernetes(base, node.role);
    if (!absent.empty() && version < Version{1, 24, 0}) {
        warn("the image lacks " + listed(absent) + ", and pkgs.k8s.io begins with 1.24: give a folder that has " +
             to_string(version));
    } else if (!absent.empty()) {
        warn("the image lacks " + listed(absent) + " " + to_string(version) +
             ": the node installs them at its first boot and needs the internet for it");
    }
    for (const auto& [key, value] : node.labels) {
        if (is_restricted_label(key)) {
            warn("kubelet may not give itself the label " + key + ": set it with kubectl label");
        }
    }
    if (version < Version{1, 19, 0}) {
        warn("kubernetes " + to_string(version) +
             " knows only cgroup v1, and the base has cgroup v2: kubelet may not start");
    }
    if (version >= Version{1, 36, 0} && containerd_major(base) < 2) {
        warn("kubernetes " + to_string(version) + " wants containerd 2, the base has containerd 1");
    }
    const ControlPlane& control_plane = profile.control_plane;
    if (node.role == Role::control_plane && version < Version{1, 22, 0} &&
        (has_limits(control_plane.api_server) || has_limits(control_plane.etcd))) {
        warn("kubeadm of kubernetes " + to_string(version) +
             " knows no patches: the limits of kube-apiserver and etcd are left out");
    }
}

void warn_of_names(const Gateway& gateway, const Node& node, const Warn& warn) {
    const auto pinned = [&](const std::string& name, const std::string& mac, const std::string& own) {
        if (own == name) return;
        warn(name + " is called " + own + " on the node, because a name of the kernel's cannot be pinned to " + mac);
    };
    pinned(gateway.uplink, node.uplink_mac, uplink_interface(gateway, node));
    pinned(gateway.inside, node.inside_mac, inside_interface(gateway, node));
}

}  // namespace

std::vector<std::string> kubernetes_packages_for(Role role) {
    return runs_kubernetes(role) ? kubernetes_packages() : Names{};
}

std::vector<std::string> missing_kubernetes(const BaseFacts& base, Role role) {
    return missing(base, kubernetes_packages_for(role));
}

std::vector<std::string> packages_for(const Profile& profile, Role role, Architecture architecture) {
    std::set<std::string> names(node_packages().begin(), node_packages().end());
    for (const Names& more : {machine_packages(architecture), role_packages(profile, role)}) {
        names.insert(more.begin(), more.end());
    }
    if (const auto extras = profile.extras.find(role); extras != profile.extras.end()) {
        names.insert(extras->second.packages.begin(), extras->second.packages.end());
    }
    return {names.begin(), names.end()};
}

int major_of(const BaseFacts& base, const std::string& package) {
    const auto found = base.packages.find(package);
    if (found == base.packages.end()) return 0;
    const std::string& version = found->second;
    const auto colon = version.find(':');
    const std::string upstream = colon == std::string::npos ? version : version.substr(colon + 1);
    const std::string major = upstream.substr(0, upstream.find_first_of(".-~"));
    if (major.empty() || major.size() > 3 || major.find_first_not_of("0123456789") != std::string::npos) {
        throw Error("the base's " + package + " has version \"" + version +
                    "\", which is not one that can be configured");
    }
    return std::stoi(major);
}

int containerd_major(const BaseFacts& base) {
    const int debian = major_of(base, "containerd");
    const int docker = debian == 0 ? major_of(base, "containerd.io") : debian;
    return docker == 0 ? 1 : docker;
}

void add_first_boot(const Profile& profile, const BaseFacts& base, ImagePlan& plan) {
    std::set<std::string> wanted;
    for (const std::string& name : packages_for(profile, plan.node.role, base.architecture)) {
        wanted.insert(name);
    }
    if (base.layout != Layout::debian) {
        for (const std::string& name : machine_packages(base.architecture)) {
            wanted.erase(name);
        }
        // A vendor's image without systemd-resolved gets its name servers in /etc/resolv.conf instead.
        wanted.erase("systemd-resolved");
        wanted.erase("libnss-resolve");
    }
    const Names kubernetes = missing_kubernetes(base, plan.node.role);
    wanted.insert(kubernetes.begin(), kubernetes.end());
    plan.first_boot = missing(base, {wanted.begin(), wanted.end()});
}

void add_warnings(const Profile& profile, const BaseFacts& base, ImagePlan& plan) {
    const Node& node = plan.node;
    const Warn warn = [&](const std::string& text) { plan.warnings.push_back(node.name + ": " + text); };
    if (profile.admin.ssh_keys.empty()) {
        warn("nobody can log in: the profile has no ssh key (admin: ssh_keys)");
    }
    if (runs_kubernetes(node.role)) {
        warn_of_kubernetes(profile, base, node, warn);
    }
    Names others;
    const Names absent = missing_kubernetes(base, node.role);
    std::set_difference(plan.first_boot.begin(), plan.first_boot.end(), absent.begin(), absent.end(),
                        std::back_inserter(others));
    if (!others.empty()) {
        warn("the base lacks " + listed(others) +
             ": the node installs them at its first boot and needs the internet for it");
    }
    const Extras& extras = extras_of(profile, node);
    if (base.layout == Layout::debian && !writes_pi_boot(base) &&
        !(extras.kernel_arguments.empty() && extras.config_txt.empty())) {
        warn("kernel arguments and config.txt lines of the profile are left out: this base boots its own way");
    }
    if (node.hardware == Hardware::rpi5 && base.layout == Layout::debian) {
        warn("a Raspberry Pi 5 does not start with Debian's kernel: use a Raspberry Pi OS image as base");
    }
    if (node.role == Role::gateway) {
        warn_of_names(profile.gateway, node, warn);
        const auto is_other = [&](Address server) {
            return server != node.address && server != profile.network.gateway;
        };
        if (base.packages.count("systemd-resolved") == 0 && std::ranges::none_of(profile.network.dns, is_other)) {
            warn(
                "without systemd-resolved, which the base lacks, nobody tells it home's name servers: list some in "
                "network.dns");
        }
    }
}

}  // namespace makina
