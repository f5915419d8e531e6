#include "firstboot/join/worker.hpp"

#include <optional>
#include <utility>

#include "firstboot/join/kubeadm.hpp"
#include "firstboot/join/leftovers.hpp"
#include "firstboot/join/remembering.hpp"

namespace makina {
namespace {

using Step = KubeadmRecord::Step;

Credentials identity() {
    const std::string folder = "/etc/kubernetes/makina/";
    return {folder + "ca.crt", folder + "kubelet.crt", folder + "kubelet.key"};
}

class WorkerJoin {
  public:
    Outcome ask(Host& host, const Bundle&) { return has_kubelet(host, "kubeadm to join this node"); }
    Outcome act(Host& host, const Bundle& bundle);

  private:
    Outcome enter(Host& host, const Bundle& bundle, const ApiServer& server);
    Outcome finish(Host& host, const Bundle& bundle, const ApiServer& server);

    std::optional<ApiServer> pending_;  ///< kubeadm is to be run now; it has been told to people first
};

Outcome WorkerJoin::act(Host& host, const Bundle& bundle) {
    const Step step = kubeadm_record(host).step;
    const bool is_whole = has_kubelet_files(host);
    const bool done_by_hand = step == Step::none && host.look("/etc/kubernetes/kubelet.conf");
    if (done_by_hand || (step == Step::finished && is_whole)) {
        (void)host.run({"systemctl", "start", "kubelet"}, 120);
        return ask(host, bundle);
    }
    if (pending_) {
        const ApiServer server = *std::exchange(pending_, std::nullopt);
        run_join(host, identity(), server);
        return finish(host, bundle, server);
    }
    const auto found = KubernetesApi(host, identity()).find(bundle);
    if (!found.server) return {false, "an API server of the cluster: " + found.faults, {}, 5};
    if (step != Step::none) {
        const auto facts = KubernetesApi(host, identity()).node(*found.server, bundle.node);
        if (Outcome newest = is_newest_card(facts, bundle); !newest.done) return newest;
    }
    // kubeadm writes the last of these files when the cluster has taken the kubelet in; before that, nothing here is
    // worth keeping.
    if (step == Step::join && is_whole) return finish(host, bundle, *found.server);
    if (step != Step::none) undo_join(host, bundle);
    return enter(host, bundle, *found.server);
}

Outcome WorkerJoin::enter(Host& host, const Bundle& bundle, const ApiServer& server) {
    const auto facts = KubernetesApi(host, identity()).node(server, bundle.node);
    if (Outcome free = place_is_free(facts, bundle); !free.done) return free;
    note(host, Step::join);
    pending_ = server;
    return {false, "kubeadm join to come to its end, which takes minutes", {}, 1};
}

Outcome WorkerJoin::finish(Host& host, const Bundle& bundle, const ApiServer& server) {
    const auto facts = KubernetesApi(host, identity()).node(server, bundle.node);
    if (!facts.exists) return {false, "the kubelet to register this node", {}, 2};
    if (Outcome settled = settle(host, bundle, identity(), server, facts); !settled.done) return settled;
    note(host, Step::finished);
    return ask(host, bundle);
}

}  // namespace

Stage worker_stage() {
    return remembering<WorkerJoin>();
}

}  // namespace makina
