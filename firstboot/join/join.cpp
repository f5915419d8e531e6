#include "firstboot/join/join.hpp"

#include <string>

#include "firstboot/bundle/error.hpp"
#include "firstboot/join/etcd.hpp"

namespace makina {
namespace {

bool is_active(Host& host, const std::string& unit) {
    return host.run({"systemctl", "is-active", unit}, 30).status == 0;
}

Outcome running(Host& host, const std::string& unit) {
    if (is_active(host, unit)) return {true};
    return {false, unit + " to run; systemctl status " + unit + " tells why it does not"};
}

/// kubeadm writes the first at its end and the second when it starts kubelet; the first may also be in the bundle.
bool has_kubelet_identity(Host& host) {
    return host.look("/etc/kubernetes/kubelet.conf") && host.look("/var/lib/kubelet/config.yaml");
}

Outcome ask_control_plane(Host& host, const Bundle&) {
    if (!has_kubelet_identity(host) || !host.look("/etc/kubernetes/manifests/kube-apiserver.yaml")) {
        return {
            false,
            "a person to run kubeadm: on the first control plane kubeadm init --config "
            "/etc/kubernetes/makina/init.yaml, on the others kubeadm join --config /etc/kubernetes/makina/join.yaml"};
    }
    return running(host, "kubelet");
}

Outcome ask_worker(Host& host, const Bundle&) {
    if (!has_kubelet_identity(host)) {
        return {false, "a person to run kubeadm join --config /etc/kubernetes/makina/join.yaml"};
    }
    return running(host, "kubelet");
}

Outcome ask_load_balancer(Host& host, const Bundle&) {
    Outcome outcome = running(host, "haproxy");
    return outcome.done ? running(host, "keepalived") : outcome;
}

Outcome ask_gateway(Host& host, const Bundle&) {
    return running(host, "nftables");
}

}  // namespace

// Where joining is a person's, or the image's own units' work, the action is to ask again.
Stage join_stage(std::string_view role) {
    if (role == "control-plane") return {"join", ask_control_plane, ask_control_plane};
    if (role == "worker") return {"join", ask_worker, ask_worker};
    if (role == "load-balancer") return {"join", ask_load_balancer, ask_load_balancer};
    if (role == "gateway") return {"join", ask_gateway, ask_gateway};
    if (role == "etcd") return etcd_stage();
    throw Error("the role \"" + std::string(role) + "\" has no way to join");
}

}  // namespace makina
