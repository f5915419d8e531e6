#include "firstboot/join/worker.hpp"

#include "firstboot/bundle/error.hpp"
#include "firstboot/join/kubeadm.hpp"

namespace makina {
namespace {

using Step = KubeadmRecord::Step;

KubeletIdentity identity_of(const Bundle& bundle) {
    const std::string folder = "/etc/kubernetes/makina/";
    return {{folder + "ca.crt", folder + "kubelet.crt", folder + "kubelet.key"}, bundle.node};
}

Outcome ask_worker(Host& host, const Bundle&) {
    return has_kubelet(host, "kubeadm to join this node");
}

Outcome do_worker(Host& host, const Bundle& bundle) {
    const Step step = kubeadm_record(host).step;
    const bool done_by_hand = step == Step::none && host.look("/etc/kubernetes/kubelet.conf");
    if (step == Step::finished || done_by_hand) {
        (void)host.run({"systemctl", "start", "kubelet"}, 120);
        return ask_worker(host, bundle);
    }
    const KubeletIdentity identity = identity_of(bundle);
    KubernetesApi api(host, identity.tls);
    const auto found = api.find(bundle);
    if (!found.server) return {false, "an API server of the cluster: " + found.faults, {}, 5};
    // kubeadm writes this file when the cluster has taken the kubelet in; before that, nothing here is worth keeping.
    const bool is_in = step == Step::join && host.look("/etc/kubernetes/kubelet.conf");
    if (!is_in) {
        if (step == Step::join) undo_join(host, bundle);
        Outcome free = place_is_free(api.node(*found.server, bundle.node), bundle);
        if (!free.done) return free;
        note(host, Step::join);
        run_join(host, identity, *found.server);
    }
    if (!api.node(*found.server, bundle.node).exists) return {false, "the kubelet to register this node", {}, 2};
    settle(host, bundle, identity, *found.server);
    note(host, Step::finished);
    return ask_worker(host, bundle);
}

}  // namespace

Stage worker_stage() {
    return {"join", ask_worker, do_worker};
}

}  // namespace makina
