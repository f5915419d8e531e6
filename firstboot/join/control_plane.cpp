#include "firstboot/join/control_plane.hpp"

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "firstboot/bundle/encoding.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/join/clock_wait.hpp"
#include "firstboot/join/founding.hpp"
#include "firstboot/join/kubeadm.hpp"
#include "firstboot/join/leftovers.hpp"
#include "firstboot/join/lookout.hpp"
#include "firstboot/join/remembering.hpp"
#include "firstboot/join/stacked_etcd.hpp"
#include "firstboot/join/standing.hpp"
#include "firstboot/text.hpp"

namespace makina {
namespace {

using Step = KubeadmRecord::Step;

constexpr const char* admin_conf = "/etc/kubernetes/admin.conf";
constexpr const char* init_yaml = "/etc/kubernetes/makina/init.yaml";
constexpr const char* manifests = "/etc/kubernetes/makina/manifests";
/// In memory: an administrator's credentials, for as long as it takes to join.
constexpr const char* admin_folder = "/run/makina/admin";
constexpr const char* api_server_pod = "/etc/kubernetes/manifests/kube-apiserver.yaml";
/// Who may join now; it is let go, or ends by itself after so many seconds.
constexpr const char* turn_key = "/makina/turn";
constexpr std::int64_t turn_seconds = 1800;
/// Milliseconds for an API server to answer a founder that waits for the others.
constexpr std::uint32_t brief_patience = 1500;
/// So long etcd and the API server of this node may take until they answer, from an SD card, before its join is given
/// up.
constexpr std::int64_t patience_with_pods = 600;

const std::string by_hand =
    "a person to run kubeadm: on the first control plane kubeadm init --config /etc/kubernetes/makina/init.yaml, on "
    "the others kubeadm join --config /etc/kubernetes/makina/join.yaml";

Credentials identity() {
    const std::string folder = "/etc/kubernetes/makina/";
    return {"/etc/kubernetes/pki/ca.crt", folder + "kubelet.crt", folder + "kubelet.key"};
}

ApiServer own_server(const Bundle& bundle) {
    return {own_address(bundle), 6443};
}

/// True if the authorities' keys stay with the operator: kubeadm cannot make what it needs. One that the bundle brings
/// may be away for a moment, while a join is undone.
bool is_offline(Host& host, const Bundle& bundle) {
    return !host.look("/etc/kubernetes/pki/ca.key") &&
           std::ranges::find(bundle.payloads, "kubernetes-ca.key", &Payload::name) == bundle.payloads.end();
}

/// Of those who were agreed on, the one that the profile names first makes the cluster.
std::string initiator(const Bundle& bundle, const Founders& decided) {
    for (const Peer& peer : founders_of(bundle)) {
        if (decided.contains(peer.name)) return peer.name;
    }
    return "";
}

/// The member of an etcd of its own machines that has a Kubernetes cluster in it already; empty if it has none. etcd
/// reads through a majority, so whoever answers speaks for all. Throws Error if nobody does.
std::string etcd_with_a_cluster(Host& host, const Bundle& bundle) {
    EtcdApi api(host, etcd_credentials(bundle));
    std::string faults;
    for (const Peer& peer : bundle.peers) {
        if (peer.role != "etcd") continue;
        try {
            return api.get(peer.address, "/registry/namespaces/kube-system").empty() ? "" : peer.address;
        } catch (const Error& error) {
            faults += (faults.empty() ? "" : "; ") + std::string(error.what());
        }
    }
    throw Error(faults);
}

/// etcd on the control planes, as a join sees it that was begun.
struct Sight {
    JoinRecord record;
    Sighting etcd;
};

class ControlPlaneJoin {
  public:
    Outcome ask(Host& host, const Bundle& bundle);
    Outcome act(Host& host, const Bundle& bundle);

  private:
    Outcome begin(Host& host, const Bundle& bundle);
    Outcome initiate(Host& host, const Bundle& bundle);
    Outcome go_on_beginning(Host& host, const Bundle& bundle);
    Outcome apply_manifests(Host& host, const Bundle& bundle);
    Outcome enter(Host& host, const Bundle& bundle, const ApiServer& server);
    Outcome take_place(Host& host, const Bundle& bundle, const Sighting& sighting, std::string& via);
    Outcome go_on(Host& host, const Bundle& bundle);
    Outcome get_ready(Host& host, const Bundle& bundle, const Sight& sight);
    Outcome give_up(Host& host, const Bundle& bundle, const Sight& sight);
    Outcome finish(Host& host, const Bundle& bundle);

    Lookout& lookout(const Bundle& bundle);

    Founder founder_;
    std::unique_ptr<Lookout> lookout_;
    Since silent_;
    std::optional<std::int64_t> turn_kept_;  ///< when the turn was taken, or taken again
    ClockWait clock_;
    std::function<void(Host& host)> pending_;  ///< kubeadm is to be run now; it has been told to people first
};

Lookout& ControlPlaneJoin::lookout(const Bundle& bundle) {
    if (!lookout_) lookout_ = std::make_unique<Lookout>(etcd_credentials(bundle));
    return *lookout_;
}

Outcome ControlPlaneJoin::ask(Host& host, const Bundle& bundle) {
    const std::string words = is_offline(host, bundle) ? by_hand : "kubeadm to make this node a control plane";
    Outcome outcome = has_kubelet(host, words);
    if (!outcome.done) return outcome;
    outcome.notice = clock_.notice();
    if (!host.look(api_server_pod)) return {false, words};
    if (kubeadm_record(host).step == Step::none) return outcome;
    KubernetesApi api(host, identity());
    if (api.is_ready(own_server(bundle))) return outcome;
    return {false, "the API server on this node to be ready", {}, 2};
}

Outcome ControlPlaneJoin::act(Host& host, const Bundle& bundle) {
    const Step step = kubeadm_record(host).step;
    const bool done_by_hand = step == Step::none && host.look("/etc/kubernetes/kubelet.conf");
    if (is_offline(host, bundle) || done_by_hand || step == Step::finished) {
        if (step == Step::finished) (void)host.run({"systemctl", "start", "kubelet"}, 120);
        return ask(host, bundle);
    }
    if (pending_) {
        std::exchange(pending_, nullptr)(host);
        return step == Step::init ? apply_manifests(host, bundle) : finish(host, bundle);
    }
    clock_.look(host);
    switch (step) {
        case Step::init:
            return go_on_beginning(host, bundle);
        case Step::manifests:
            return apply_manifests(host, bundle);
        case Step::join:
            return go_on(host, bundle);
        default:
            return begin(host, bundle);
    }
}

/// Nothing of the cluster is here: it is made, or it is there already.
Outcome ControlPlaneJoin::begin(Host& host, const Bundle& bundle) {
    const Advance advance = founder_.take_part(host, bundle);
    const std::string first = initiator(bundle, advance.own.decided);
    const bool begins = advance.way == Advance::Way::founds && first == bundle.node;
    // Who waits for founders asks too, and who would begin: an API server may be there whose own makina-firstboot is
    // not. Not for long: the founders agree in a few rounds, and before there is a cluster the balancers' address is
    // nobody's.
    const bool waits = advance.way == Advance::Way::waits && !advance.own.formation.empty();
    const bool briefly = waits || begins;
    const auto found = KubernetesApi(host, identity()).find(bundle, briefly ? brief_patience : KubernetesApi::patience);
    if (found.server) return enter(host, bundle, *found.server);
    if (begins) return initiate(host, bundle);
    if (waits) return {false, advance.waiting_for, {}, 1};
    const std::string by = first.empty() || first == bundle.node ? "" : ", which " + first + " begins";
    return {false, "an API server of the cluster" + by + ": " + found.faults, {}, 2};
}

/// kubeadm init was cut off, or has failed.
Outcome ControlPlaneJoin::go_on_beginning(Host& host, const Bundle& bundle) {
    KubernetesApi api(host, identity());
    // Its own server may be the one at the balancers' address, from before the cut.
    if (!api.is_ready(own_server(bundle))) {
        const auto found = api.find(bundle, brief_patience);
        if (found.server) {
            return {false,
                    "a person: the API server at " + to_string(*found.server) +
                        " answers for a cluster, and this card was cut off while it began one: write the card of " +
                        bundle.node + " anew",
                    {},
                    5};
        }
    }
    return initiate(host, bundle);
}

Outcome ControlPlaneJoin::initiate(Host& host, const Bundle& bundle) {
    const bool again = kubeadm_record(host).step == Step::init;
    if (Outcome ours = is_still_ours(host, bundle); !ours.done) return ours;
    if (!again && !is_stacked(bundle)) {
        // etcd outlives control planes: what is in it must not get a second beginning.
        const std::string address = etcd_with_a_cluster(host, bundle);
        if (!address.empty()) {
            return {false, "a person: etcd at " + address +
                               " has a Kubernetes cluster already, which no card of its own may begin again"};
        }
    }
    if (Outcome set = clock_.ask(host); !set.done) return set;
    note_member(host, bundle);
    note(host, Step::init);
    if (again) clear_leftovers(host, bundle);
    pending_ = [again](Host& its) {
        std::vector<std::string> arguments = {"init", "--config", init_yaml};
        // Every other phase takes what it finds; the first would refuse it. What it refused the first time, before
        // anything of kubeadm's was here, it has to look at again.
        if (again && has_begun_init(its)) arguments.emplace_back("--skip-phases=preflight");
        run_kubeadm(its, arguments);
        note(its, Step::manifests);
    };
    return {false, "kubeadm init to come to its end, which takes minutes", {}, 1};
}

Outcome ControlPlaneJoin::apply_manifests(Host& host, const Bundle& bundle) {
    if (!host.list(manifests).empty()) {
        const Answer answer = host.run({"kubectl", "--kubeconfig", admin_conf, "apply", "--filename", manifests}, 300);
        if (answer.status != 0) throw Error("kubectl apply: " + last_line(answer.errors));
    }
    return finish(host, bundle);
}

/// Our place in etcd's list is made free, and it is our turn to join. `via` is a healthy member.
Outcome ControlPlaneJoin::take_place(Host& host, const Bundle& bundle, const Sighting& sighting, std::string& via) {
    const Decision decision = decide(sighting, recorded(host));
    if (decision.step == Decision::Step::wait) return {false, decision.waiting_for, {}, 2};
    via = decision.via;
    EtcdApi api(host, etcd_credentials(bundle));
    if (Outcome claimed = claim(api, via, bundle); !claimed.done) return claimed;
    if (decision.step == Decision::Step::add) return {true};
    // Dead, or one of ours that never started: kubeadm adds this node under a new identity.
    return take_off_list(host, api, decision);
}

/// The Node of a dead control plane: its pods' annotations tell kubeadm of an etcd that is gone.
void delete_node(Host& host, const Bundle& bundle, const ApiServer& server) {
    run_kubeadm(host, {"init", "phase", "kubeconfig", "admin", "--config", init_yaml, "--kubeconfig-dir",
                       std::string(admin_folder)});
    const Answer answer =
        host.run({"kubectl", "--kubeconfig", std::string(admin_folder) + "/admin.conf", "--server",
                  "https://" + to_string(server), "delete", "node", bundle.node, "--ignore-not-found", "--wait=false"},
                 60);
    if (answer.status != 0) throw Error("kubectl delete node " + bundle.node + ": " + last_line(answer.errors));
}

Outcome ControlPlaneJoin::enter(Host& host, const Bundle& bundle, const ApiServer& server) {
    // The proof of a death takes its time from the first look, whatever else is waited for meanwhile.
    Sighting sighting;
    if (is_stacked(bundle)) sighting = lookout(bundle).sight(host, bundle, forget_identity(host), false);
    const auto facts = KubernetesApi(host, identity()).node(server, bundle.node);
    if (Outcome free = place_is_free(facts, bundle); !free.done) return free;
    if (Outcome set = clock_.ask(host); !set.done) return set;
    if (is_stacked(bundle)) {
        std::string via;
        if (Outcome place = take_place(host, bundle, sighting, via); !place.done) return place;
        EtcdApi api(host, etcd_credentials(bundle));
        const std::string holder = api.take_turn(via, turn_key, bundle.node, turn_seconds);
        if (holder != bundle.node) return {false, holder + ", which is joining, to have come to its end", {}, 5};
        turn_kept_ = host.uptime();
    }
    if (facts.exists) delete_node(host, bundle, server);
    note_member(host, bundle);
    note(host, Step::join);
    (void)silent_.seconds(false, host.uptime());
    pending_ = [server](Host& its) { run_join(its, identity(), server); };
    return {false, "kubeadm join to come to its end, which takes minutes", {}, 1};
}

/// kubeadm was cut off, or has given up. The card may have lain in a drawer since, and a newer one have joined.
Outcome ControlPlaneJoin::go_on(Host& host, const Bundle& bundle) {
    Sight sight;
    if (is_stacked(bundle)) {
        sight.record = learn_identity(host, bundle);
        sight.etcd = lookout(bundle).sight(host, bundle, sight.record, false);
        EtcdApi api(host, etcd_credentials(bundle));
        const std::string via = healthy_member(sight.etcd);
        if (Outcome claimed = via.empty() ? Outcome{true} : claim(api, via, bundle); !claimed.done) return claimed;
    }
    const bool has_pods = host.look(is_stacked(bundle) ? etcd_pod : api_server_pod).has_value();
    const bool was_given_up = sight.record.own != 0 && sight.record.own == sight.record.removing;
    if (!has_pods || !has_kubelet_files(host) || was_given_up) return give_up(host, bundle, sight);
    (void)host.run({"systemctl", "start", "kubelet"}, 120);
    KubernetesApi api(host, identity());
    if (!api.is_ready(own_server(bundle))) {
        if (silent_.seconds(true, host.uptime()) >= patience_with_pods) return give_up(host, bundle, sight);
        return get_ready(host, bundle, sight);
    }
    (void)silent_.seconds(false, host.uptime());
    const auto facts = api.node(own_server(bundle), bundle.node);
    if (Outcome newest = is_newest_card(facts, bundle); !newest.done) return newest;
    // The credentials for joining may be wiped already.
    run_join(host, identity(), own_server(bundle), {"phase", "control-plane-join", "mark-control-plane"});
    return finish(host, bundle);
}

/// What has to be before the API server of this node can answer: a learner lets it read nothing, and promotes nobody,
/// itself least of all. The others do, whether all of them are well or not.
Outcome ControlPlaneJoin::get_ready(Host& host, const Bundle& bundle, const Sight& sight) {
    Outcome ready{false, "the API server on this node to be ready, after a join that was cut off", {}, 2};
    const std::string via = healthy_member(sight.etcd);
    if (via.empty()) return ready;
    EtcdApi api(host, etcd_credentials(bundle));
    if (!turn_kept_ || host.uptime() - *turn_kept_ >= turn_seconds / 3) {
        (void)api.take_turn(via, turn_key, bundle.node, turn_seconds);
        turn_kept_ = host.uptime();
    }
    const auto own = member_of(sight.etcd, sight.record.own);
    if (!own || !own->learner) return ready;
    const auto change = api.promote(via, own->id);
    return {false, "etcd on this node to get its vote" + (change.done ? "" : ": " + change.fault), {}, 2};
}

/// A join that comes to nothing is undone, while the others are well without it: its data may be needed for a majority.
/// Who saw a majority has claimed the epoch since (`go_on`).
Outcome ControlPlaneJoin::give_up(Host& host, const Bundle& bundle, const Sight& sight) {
    if (is_stacked(bundle)) {
        const Decision decision = retreat(sight.etcd, sight.record);
        if (decision.silence && host.look(etcd_pod)) host.remove(etcd_pod);
        if (decision.step == Decision::Step::wait) return {false, decision.waiting_for, {}, 5};
        EtcdApi api(host, etcd_credentials(bundle));
        if (decision.step == Decision::Step::remove) return take_off_list(host, api, decision);
        api.end_turn(decision.via, turn_key, bundle.node);
    }
    undo_join(host, bundle);
    put_data_aside(host);
    host.remove(KubeadmRecord::path);
    (void)silent_.seconds(false, host.uptime());
    turn_kept_.reset();
    return {false, "the next attempt to join", {}, 1};
}

Outcome ControlPlaneJoin::finish(Host& host, const Bundle& bundle) {
    const ApiServer own = own_server(bundle);
    KubernetesApi api(host, identity());
    if (!api.is_ready(own)) return {false, "the API server on this node to be ready", {}, 2};
    const auto facts = api.node(own, bundle.node);
    if (!facts.exists) return {false, "the kubelet to register this node", {}, 2};
    if (Outcome newest = is_newest_card(facts, bundle); !newest.done) return newest;
    if (is_stacked(bundle)) {
        EtcdApi etcd(host, etcd_credentials(bundle));
        const auto member = own_member(etcd, bundle);
        if (!member || member->learner) return {false, "etcd on this node to have a vote", {}, 2};
        if (member->id == recorded(host).removing) {
            throw Error("etcd gave this node an identity that was used before: " + std::to_string(member->id));
        }
        if (Outcome claimed = claim(etcd, own_address(bundle), bundle); !claimed.done) return claimed;
        etcd.end_turn(own_address(bundle), turn_key, bundle.node);
    }
    host.wipe(std::string(admin_folder) + "/admin.conf");
    if (Outcome settled = settle(host, bundle, identity(), own, facts); !settled.done) return settled;
    note(host, Step::finished);
    return ask(host, bundle);
}

}  // namespace

Stage control_plane_stage() {
    return remembering<ControlPlaneJoin>();
}

}  // namespace makina
