#include "firstboot/join/etcd.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "firstboot/bundle/error.hpp"
#include "firstboot/join/founding.hpp"
#include "firstboot/join/lookout.hpp"
#include "firstboot/join/remembering.hpp"
#include "firstboot/join/restore.hpp"
#include "firstboot/join/standing.hpp"
#include "firstboot/since.hpp"

namespace makina {
namespace {

constexpr const char* data_folder = "/var/lib/etcd/default";
/// What the unit reads besides the image's own settings; without it etcd does not start.
constexpr const char* environment = "/var/lib/makina/etcd.env";
constexpr std::size_t largest = std::size_t{64} << 10;
/// While others wait for what we do next, or we for them.
constexpr unsigned soon = 1;
/// Milliseconds for etcd on this node to answer.
constexpr std::uint32_t at_home = 1000;

const Access root_only = {0600, "root", "root"};

Credentials etcd_credentials() {
    return {"/etc/etcd/pki/ca.crt", "/etc/etcd/pki/peer.crt", "/etc/etcd/pki/peer.key"};
}

class EtcdJoin {
  public:
    Outcome ask(Host& host, const Bundle& bundle);
    Outcome act(Host& host, const Bundle& bundle);

  private:
    Outcome begin(Host& host, const Bundle& bundle);
    Outcome found(Host& host, const Bundle& bundle, const Statement& own);
    Outcome join(Host& host, const Bundle& bundle);
    [[nodiscard]] std::string fault(Host& host, const Bundle& bundle);
    Outcome do_next(Host& host, const Bundle& bundle, const Decision& decision, JoinRecord record);
    Outcome add(Host& host, const Bundle& bundle, const Decision& decision, JoinRecord record);

    Founder founder_;
    Lookout lookout_{etcd_credentials()};
    Since unready_;
    std::optional<std::string> objection_;  ///< what was found when it was asked last
    std::optional<std::string> fault_;      ///< of the snapshot, which takes a minute to read
};

bool has_data(Host& host) {
    return !host.list(std::string(data_folder) + "/member").empty();
}

/// True if data is here that we made from the snapshot, as a member, and etcd was not started with it yet.
bool has_only_restored(Host& host, const Bundle& bundle) {
    return !bundle.restore.empty() && has_data(host) && !host.look(environment) && own_statement(host, bundle).member;
}

/// Starts etcd with this beginning, unless it runs.
void start(Host& host, const std::string& initial, const std::string& state, const std::string& token) {
    const std::string text = "ETCD_INITIAL_CLUSTER=" + initial + "\nETCD_INITIAL_CLUSTER_STATE=" + state + "\n" +
                             (token.empty() ? "" : "ETCD_INITIAL_CLUSTER_TOKEN=" + token + "\n");
    const bool changed = host.read(environment, largest) != text;
    if (changed) host.write(environment, text, root_only);
    // One that runs with an older beginning has to begin again; one that is just starting must not be disturbed.
    const std::string verb = changed ? "restart" : "start";
    const Answer answer = host.run({"systemctl", verb, "--no-block", "etcd"}, 60);
    if (answer.status != 0) throw Error("systemctl " + verb + " etcd: exit code " + std::to_string(answer.status));
}

std::optional<std::string> address_of(const Bundle& bundle, const std::string& name) {
    for (const Peer& peer : bundle.peers) {
        if (peer.name == name) return peer.address;
    }
    return std::nullopt;
}

std::string initial_cluster(const Bundle& bundle, const Founders& founders) {
    std::string text;
    for (const auto& [name, incarnation] : founders) {
        const auto address = address_of(bundle, name);
        if (!address) throw Error(name + " founds the cluster, but this card's bundle does not know it");
        text += (text.empty() ? "" : ",") + name + "=" + peer_url_of(*address);
    }
    return text;
}

/// Empty if etcd on this node answers and has a vote, else what is missing.
std::string objection(Host& host, const Bundle& bundle) {
    // Whoever else has started an etcd here with this node's certificates, for a trial, is not the cluster.
    if (!host.look(environment)) return "etcd on this node to be started";
    const auto report = EtcdApi(host, etcd_credentials()).reports({own_address(bundle)}, at_home).at(0);
    if (!report.list || !report.healthy) {
        return "etcd on this node to answer" + (report.fault.empty() ? "" : " (" + report.fault + ")");
    }
    const auto is_ours = [&](const Member& member) { return member.name == bundle.node && !member.learner; };
    const auto& members = report.list->members;
    return std::any_of(members.begin(), members.end(), is_ours) ? "" : "etcd on this node to have a vote";
}

Outcome EtcdJoin::ask(Host& host, const Bundle& bundle) {
    objection_ = objection(host, bundle);
    if (!objection_->empty()) return {false, *objection_, {}, soon};
    EtcdApi api(host, etcd_credentials());
    std::string text;
    if (known_epoch(api, own_address(bundle), bundle, text) < bundle.epoch) {
        return {false, "the cluster to remember this card", {}, soon};
    }
    if (has_leftovers(host)) return {false, "the snapshot that it began with to be removed", {}, soon};
    return {true};
}

Outcome EtcdJoin::act(Host& host, const Bundle& bundle) {
    // Asked a moment ago: an etcd that is just starting takes the connection and lets one wait.
    const std::string reason = objection_ ? *std::exchange(objection_, std::nullopt) : objection(host, bundle);
    if (reason.empty()) {
        note_member(host, bundle);
        EtcdApi api(host, etcd_credentials());
        Outcome claimed = claim(api, own_address(bundle), bundle);
        if (claimed.done) remove_leftovers(host);
        return claimed;
    }
    const bool has_begun = has_data(host) && !has_only_restored(host, bundle);
    return has_begun || host.read(JoinRecord::path, largest) ? join(host, bundle) : begin(host, bundle);
}

std::string EtcdJoin::fault(Host& host, const Bundle& bundle) {
    if (has_only_restored(host, bundle)) return "";
    if (!fault_) fault_ = snapshot_fault(host, bundle);
    return *fault_;
}

/// True if the etcd of a founder answers with a certificate of this cluster.
bool somebody_answers(Host& host, const Bundle& bundle) {
    std::vector<std::string> addresses;
    for (const Peer& peer : founders_of(bundle)) {
        if (peer.name != bundle.node) addresses.push_back(peer.address);
    }
    const auto reports = EtcdApi(host, etcd_credentials()).reports(addresses);
    return std::any_of(reports.begin(), reports.end(), [](const auto& report) { return report.list.has_value(); });
}

/// Nothing of the cluster is here: it is founded, or it is there already.
Outcome EtcdJoin::begin(Host& host, const Bundle& bundle) {
    if (const std::string reason = fault(host, bundle); !reason.empty()) {
        // It promises nothing and founds nothing. The others are joined, if they begin without it.
        Outcome outcome = join(host, bundle);
        outcome.waiting_for += "; " + reason;
        return outcome;
    }
    const Advance advance = founder_.take_part(host, bundle);
    switch (advance.way) {
        case Advance::Way::waits:
            // A member may be there whose own makina-firstboot is not; and who may not begin has nothing else to do.
            if (advance.own.formation.empty() || somebody_answers(host, bundle)) return join(host, bundle);
            return {false, advance.waiting_for, {}, soon};
        case Advance::Way::joins:
            return join(host, bundle);
        case Advance::Way::founds:
            break;
    }
    return found(host, bundle, advance.own);
}

/// With the data of the snapshot, if the cluster begins from one. etcd's settings are written after the data is there:
/// with them alone it would begin empty, as the same member of the same cluster.
Outcome EtcdJoin::found(Host& host, const Bundle& bundle, const Statement& own) {
    const std::string initial = initial_cluster(bundle, own.decided);
    note_member(host, bundle);
    if (!bundle.restore.empty() && !has_data(host)) {
        // Once more: it may have been read hours ago.
        fault_ = snapshot_fault(host, bundle);
        if (!fault_->empty()) return {false, *fault_};
        restore_snapshot(host, bundle, {initial, own.formation, peer_url_of(own_address(bundle))}, data_folder);
    }
    start(host, initial, "new", own.formation);
    return {false, "the first members to elect a leader", {}, soon};
}

Outcome EtcdJoin::join(Host& host, const Bundle& bundle) {
    const JoinRecord record = recorded(host);
    state(host, bundle, own_statement(host, bundle));
    // What has data is started: whether it may still take part the others will say.
    if (has_data(host) && host.look(environment)) (void)host.run({"systemctl", "start", "--no-block", "etcd"}, 60);
    Sighting sighting = lookout_.sight(host, bundle, record, has_data(host));
    const bool is_due = record.own != 0 && has_data(host);
    const bool answers = is_due && EtcdApi(host, etcd_credentials()).identity(own_address(bundle), at_home) != 0;
    sighting.unready_for = unready_.seconds(is_due && !answers, host.uptime());
    return do_next(host, bundle, decide(sighting, record), record);
}

Outcome EtcdJoin::do_next(Host& host, const Bundle& bundle, const Decision& decision, JoinRecord record) {
    using Step = Decision::Step;
    EtcdApi api(host, etcd_credentials());
    if (decision.step == Step::wait) return {false, decision.waiting_for, {}, 2};
    if (Outcome claimed = claim(api, decision.via, bundle); !claimed.done) return claimed;
    switch (decision.step) {
        case Step::wait:
            break;
        case Step::remove: {
            record.removing = decision.id;
            makina::record(host, record);
            const auto change = api.remove(decision.via, decision.id);
            if (!change.done) return {false, "etcd to remove the old member: " + change.fault, {}, 2};
            return {false, "the old member to be gone from the list", {}, soon};
        }
        case Step::add:
            return add(host, bundle, decision, record);
        case Step::start:
            note_member(host, bundle);
            if (record.own != decision.id) {
                record.own = decision.id;
                makina::record(host, record);
            }
            start(host, makina::initial_cluster(decision.list, decision.id, bundle.node), "existing", "");
            return {false, "the new member to catch up", {}, soon};
        case Step::promote: {
            record.promoting = true;
            makina::record(host, record);
            const auto change = api.promote(decision.via, decision.id);
            if (!change.done) return {false, "the new member to get its vote: " + change.fault, {}, soon};
            return {false, "etcd on this node to have a vote", {}, soon};
        }
        case Step::joined:
            return {false, "etcd on this node to answer", {}, soon};
    }
    throw Error("an unknown step");
}

Outcome EtcdJoin::add(Host& host, const Bundle& bundle, const Decision& decision, JoinRecord record) {
    if (decision.aside) {
        (void)host.run({"systemctl", "stop", "etcd"}, 120);
        host.rename(data_folder, "never-had-a-vote-" + std::to_string(record.own));
    }
    EtcdApi api(host, etcd_credentials());
    if (record.own != 0) record = {};
    makina::record(host, record);
    const auto change = api.add_learner(decision.via, peer_url_of(own_address(bundle)));
    if (!change.done) return {false, "etcd to take in this node: " + change.fault, {}, 2};
    const auto& before = decision.list.members;
    const bool is_new =
        std::none_of(before.begin(), before.end(), [&](const Member& member) { return member.id == change.member.id; });
    if (!is_new || change.member.id == record.removing) {
        throw Error("etcd gave this node an identity that was used before: " + std::to_string(change.member.id));
    }
    record.own = change.member.id;
    makina::record(host, record);
    return {false, "the new member to start", {}, soon};
}

}  // namespace

Stage etcd_stage() {
    return remembering<EtcdJoin>();
}

}  // namespace makina
