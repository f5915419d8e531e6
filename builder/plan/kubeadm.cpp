#include <algorithm>
#include <array>

#include "builder/plan/parts.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

// kubernetes/kubernetes cmd/kubeadm/app/apis/kubeadm: v1beta1 1.13-1.21, v1beta2 1.15-1.26, v1beta3 1.22-1.36,
// v1beta4 from 1.31. The newest that a version speaks without calling it unfinished.
std::string api_version(const Version& version) {
    if (version < Version{1, 13, 0}) {
        throw Error("kubernetes " + to_string(version) +
                    " is older than 1.13, the first whose kubeadm can be configured" + " here: use a newer version");
    }
    const std::string group = "kubeadm.k8s.io/";
    if (version < Version{1, 15, 0}) {
        return group + "v1beta1";
    }
    if (version < Version{1, 22, 0}) {
        return group + "v1beta2";
    }
    return group + (version < Version{1, 31, 0} ? "v1beta3" : "v1beta4");
}

Value taint(const std::string& key, const std::string& value, const std::string& effect) {
    return Value::Group{{"key", key}, {"value", value}, {"effect", effect}};
}

// The taint that kubeadm gives a control plane by itself if nothing is said; it was renamed in 1.24 and 1.25.
Value::List own_taints(const Version& version) {
    Value::List taints;
    if (version < Version{1, 25, 0}) {
        taints.push_back(taint("node-role.kubernetes.io/master", "", "NoSchedule"));
    }
    if (version >= Version{1, 24, 0}) {
        taints.push_back(taint("node-role.kubernetes.io/control-plane", "", "NoSchedule"));
    }
    return taints;
}

// "key=value:Effect" or "key:Effect"; checked before.
Value parse_taint(const std::string& text) {
    const auto colon = text.rfind(':');
    const std::string left = text.substr(0, colon);
    const auto equals = std::min(left.find('='), left.size());
    return taint(left.substr(0, equals), equals < left.size() ? left.substr(equals + 1) : "", text.substr(colon + 1));
}

Value::List taints_of(const Profile& profile, const Node& node) {
    Value::List taints;
    if (node.role == Role::control_plane && !profile.control_plane.schedulable) {
        taints = own_taints(profile.kubernetes.version);
    }
    for (const std::string& text : node.taints) {
        taints.push_back(parse_taint(text));
    }
    return taints;
}

std::string label_argument(const Node& node) {
    std::string result;
    for (const auto& [key, value] : node.labels) {
        if (!is_restricted_label(key)) {
            result += result.empty() ? "" : ",";
            result.append(key).append("=").append(value);
        }
    }
    return result;
}

}  // namespace

Value::Group kubeadm_values(const Profile& profile, const Node& node) {
    const Version& version = profile.kubernetes.version;
    const std::string api = api_version(version);
    const bool schedulable = node.role == Role::control_plane && profile.control_plane.schedulable;
    Value::List kubelet_args;
    if (const std::string labels = label_argument(node); !labels.empty()) {
        kubelet_args.emplace_back(Value::Group{{"name", "node-labels"}, {"value", labels}});
    }
    Value::List ignored;
    // A Raspberry Pi 3 has 1 GB; kubeadm asks for 1700 MB on control planes since 1.15 and has no list of its own for
    // it in v1beta1.
    if (node.role == Role::control_plane && node.hardware == Hardware::rpi3 && version >= Version{1, 15, 0}) {
        ignored.emplace_back("Mem");
    }
    // The balancer's pods are there before kubeadm, which wants the folder empty when it joins.
    if (node.role == Role::control_plane && profile.api.balancer == Balancer::static_pod &&
        version >= Version{1, 15, 0}) {
        ignored.emplace_back("DirAvailable--etc-kubernetes-manifests");
    }
    const Limits& api_limits = profile.control_plane.api_server;
    const Limits& etcd_limits = profile.control_plane.etcd;
    const bool limits =
        !api_limits.cpu.empty() || !api_limits.memory.empty() ||
        (profile.etcd.topology == EtcdTopology::stacked && (!etcd_limits.cpu.empty() || !etcd_limits.memory.empty()));
    return {{"api", api},
            {"v1beta4", version >= Version{1, 31, 0}},
            {"version", to_string(version)},
            {"kubernetes_version", "v" + to_string(version)},
            {"repository", "https://pkgs.k8s.io/core:/stable:/v" + std::to_string(version.major) + "." +
                               std::to_string(version.minor) + "/deb/"},
            {"patches", limits && version >= Version{1, 22, 0}},
            {"taints_given", schedulable || !node.taints.empty()},
            {"taints", taints_of(profile, node)},
            {"kubelet_args", kubelet_args},
            {"ignored", ignored}};
}

std::string pause_image(const Version& version) {
    // PauseVersion in kubernetes/kubernetes cmd/kubeadm/app/constants, by the minor version where it changed.
    struct Change {
        int minor;
        const char* tag;
    };
    constexpr std::array<Change, 11> changes = {{{34, "3.10.1"},
                                                 {31, "3.10"},
                                                 {26, "3.9"},
                                                 {25, "3.8"},
                                                 {24, "3.7"},
                                                 {23, "3.6"},
                                                 {22, "3.5"},
                                                 {21, "3.4.1"},
                                                 {18, "3.2"},
                                                 {13, "3.1"},
                                                 {0, "3.1"}}};
    const auto* const found = std::find_if(changes.begin(), changes.end(), [&](const Change& change) {
        return version >= Version{1, change.minor, 0};
    });
    return std::string("registry.k8s.io/pause:") + (found == changes.end() ? changes.back().tag : found->tag);
}

bool is_restricted_label(const std::string& key) {
    const auto slash = key.find('/');
    if (slash == std::string::npos) {
        return false;
    }
    const std::string prefix = key.substr(0, slash);
    const auto below = [&](const std::string& domain) {
        return prefix == domain ||
               (prefix.size() > domain.size() &&
                prefix.compare(prefix.size() - domain.size() - 1, std::string::npos, "." + domain) == 0);
    };
    if (!below("kubernetes.io") && !below("k8s.io")) {
        return false;
    }
    // kubernetes/kubernetes staging/src/k8s.io/kubelet/pkg/apis/well_known_labels.go
    constexpr std::array<const char*, 9> allowed = {"kubernetes.io/hostname",
                                                    "kubernetes.io/os",
                                                    "kubernetes.io/arch",
                                                    "topology.kubernetes.io/zone",
                                                    "topology.kubernetes.io/region",
                                                    "failure-domain.beta.kubernetes.io/zone",
                                                    "failure-domain.beta.kubernetes.io/region",
                                                    "node.kubernetes.io/instance-type",
                                                    "beta.kubernetes.io/instance-type"};
    return std::find(allowed.begin(), allowed.end(), key) == allowed.end() && !below("kubelet.kubernetes.io") &&
           !below("node.kubernetes.io");
}

}  // namespace makina
