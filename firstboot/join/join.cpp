#include "firstboot/join/join.hpp"

#include <string>

#include "firstboot/bundle/error.hpp"
#include "firstboot/join/balancer.hpp"
#include "firstboot/join/etcd.hpp"
#include "firstboot/join/gateway.hpp"
#include "firstboot/join/unit.hpp"

namespace makina {
namespace {

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

}  // namespace

// Where joining is a person's, or the image's own units' work, the action is to ask again.
Stage join_stage(std::string_view role) {
    if (role == "control-plane") return {"join", ask_control_plane, ask_control_plane};
    if (role == "worker") return {"join", ask_worker, ask_worker};
    if (role == "load-balancer") return {"join", ask_balancer, do_balancer};
    if (role == "gateway") return {"join", ask_gateway, do_gateway};
    if (role == "etcd") return etcd_stage();
    throw Error("the role \"" + std::string(role) + "\" has no way to join");
}

}  // namespace makina
