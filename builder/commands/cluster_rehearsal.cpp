#include "builder/commands/cluster_rehearsal.hpp"

#include <algorithm>
#include <ostream>
#include <thread>

#include "builder/commands/keyring.hpp"
#include "builder/commands/terminal.hpp"
#include "builder/process.hpp"

namespace makina {
namespace {

/// An emulated node on a busy computer may take seconds for an answer.
constexpr std::chrono::milliseconds patience(4000);
constexpr const char* patience_of_curl = "4";
/// As long as the probe gives a question, in seconds.
constexpr double patience_of_question = 60;

std::string objection_to(const std::string& node, const Reply& reply) {
    if (reply.status < 0) return node + " does not answer: " + reply.question.name;
    std::string said = indented(indented(reply.output));
    while (!said.empty() && said.back() == '\n') said.pop_back();
    return node + " answers wrongly: " + reply.question.name + " (exit code " + std::to_string(reply.status) + ")" +
           (said.empty() ? "" : "\n" + said);
}

}  // namespace

ClusterRehearsal::ClusterRehearsal(const ClusterRehearsalOptions& options, const ClusterPlan& plan,
                                   RehearsalCards& cards, Interruption& interruption, std::ostream& out,
                                   RehearsalVoice voice, const std::string& cluster)
    : plan_(plan),
      cards_(cards),
      interruption_(interruption),
      shared_(plan.shared ? to_string(*plan.shared) : ""),
      director_({options.drills, shared_, options.settle, options.steady, options.timeout, options.until}),
      drills_(options.drills.size()),
      interval_(options.interval),
      start_(steady_seconds()),
      view_(out, voice, cluster, shared_, start_),
      cluster_(plan, std::max(std::thread::hardware_concurrency(), 1U), steady_seconds) {}

bool ClusterRehearsal::lead(const std::vector<std::filesystem::path>& images) {
    for (std::size_t at = 0; at < images.size(); ++at) {
        during(plan_.nodes[at].node.name, [&] { cluster_.insert(at, images[at]); });
    }
    for (std::size_t at = 0; at < images.size(); ++at) cluster_.power_on(at);
    for (;;) {
        cluster_.go_on();
        const Sight sight = look();
        const Act act = director_.next(sight);
        for (; told_ < director_.outcomes().size(); ++told_) {
            director_.object(wrong_answers());
            view_.outcome(director_.outcomes().back(), sight.now);
        }
        if (act.kind == Act::Kind::end) break;
        perform(act, sight.now);
        if (interruption_.within(interval_)) throw Error("interrupted");
    }
    tell_troubles();
    view_.end(director_, {plan_.nodes.size(), drills_, plan_.played}, steady_seconds());
    return director_.passed();
}

/// As a person sees a node: its own words if it has any.
Seen ClusterRehearsal::look_at(std::size_t at, const StatusReply* reply) const {
    const Node& node = plan_.nodes[at].node;
    const BoardState state = cluster_.state(at);
    Seen seen;
    if (reply != nullptr) seen = seen_of(node, *reply);
    if (seen.node.reached && state.trouble.empty()) return seen;
    seen.node = {node.name, to_string(node.role), true, "", "", "", 0, std::nullopt};
    const EmulatedCluster::Power power = cluster_.power(at);
    if (power == EmulatedCluster::Power::off) {
        seen.node.reached = false;
        seen.node.state = "off";
    } else if (!state.trouble.empty()) {
        seen.node.state = "failed";
        seen.node.waiting_for = state.trouble;
    } else if (power == EmulatedCluster::Power::waits) {
        seen.node.state = "waits for its turn";
    } else if (cluster_.is_cut(at)) {
        seen.node.state = "cut off";
    } else if (reply != nullptr && state.stage == BootStage::multi_user) {
        seen.node.reached = false;
        seen.node.state = reply->fault;
    } else {
        seen.node.state = "booting";
        seen.node.stage = state.stage ? to_string(*state.stage) : "";
    }
    return seen;
}

/// Only what can answer is asked: the others would cost the whole patience.
bool ClusterRehearsal::can_answer(std::size_t at) const {
    const BoardState state = cluster_.state(at);
    return state.on && state.stage && *state.stage >= BootStage::root && !cluster_.is_cut(at);
}

std::vector<Seen> ClusterRehearsal::look_at_nodes() const {
    std::vector<AskedNode> asked;
    for (std::size_t at = 0; at < plan_.nodes.size(); ++at) {
        if (!can_answer(at)) continue;
        asked.push_back({plan_.nodes[at].node.name, *parse_address("127.0.0.1"), plan_.outside.ways_in[at].local});
    }
    const std::vector<StatusReply> replies = ask_nodes(asked, patience);
    std::vector<Seen> all;
    std::size_t next = 0;
    for (std::size_t at = 0; at < plan_.nodes.size(); ++at) {
        const bool was_asked = next < asked.size() && asked[next].name == plan_.nodes[at].node.name;
        all.push_back(look_at(at, was_asked ? &replies[next++] : nullptr));
    }
    return all;
}

Sight ClusterRehearsal::look() {
    Sight sight;
    sight.asked = steady_seconds();
    const std::vector<Seen> all = look_at_nodes();
    for (std::size_t at = 0; at < all.size(); ++at) {
        const WatchedNode& node = all[at].node;
        const bool own_words = !all[at].status.is_null();
        if (own_words && node.state == "joined") formed_.insert(plan_.nodes[at].node.role);
        sight.boards.push_back({node.name, cluster_.power(at) != EmulatedCluster::Power::off,
                                own_words ? node.state : "", node.stage, node.waiting_for, cluster_.state(at).trouble});
    }
    sight.held = cluster_.held();
    sight.shared_answers = shared_answers(sight);
    sight.now = steady_seconds();
    view_.held(sight.held);
    view_.answers(sight.shared_answers, sight.now);
    view_.nodes(all, sight.now);
    return sight;
}

/// Asked through the address itself: its holder, the balancer on it, and what stands behind the balancer.
bool ClusterRehearsal::shared_answers(const Sight& sight) const {
    if (!plan_.shared || sight.held.empty() || sight.held.back().by.size() != 1) return false;
    const std::string port = std::to_string(plan_.outside.ways_in.back().local);
    return run({{"curl", "--silent", "--fail", "--insecure", "--noproxy", "*", "--max-time", patience_of_curl,
                 "--output", "/dev/null", "https://127.0.0.1:" + port + "/healthz"}})
               .status == 0;
}

std::size_t ClusterRehearsal::number_of(const std::string& name) const {
    const auto found = std::find_if(plan_.nodes.begin(), plan_.nodes.end(),
                                    [&](const PlannedNode& one) { return one.node.name == name; });
    return static_cast<std::size_t>(found - plan_.nodes.begin());
}

void ClusterRehearsal::perform(const Act& act, double now) {
    if (act.kind == Act::Kind::wait) return;
    const std::size_t node = number_of(act.node);
    // What comes back belongs to the drill that took it away.
    const bool begins = act.kind != Act::Kind::power_on && act.kind != Act::Kind::plug;
    if (begins) view_.drill(*director_.current(), director_.outcomes().size(), drills_, now);
    switch (act.kind) {
        case Act::Kind::wait:
        case Act::Kind::end:
            return;
        case Act::Kind::power_off:
            return cluster_.power_off(node);
        case Act::Kind::power_on:
            return cluster_.power_on(node);
        case Act::Kind::replace:
            cluster_.power_off(node);
            cluster_.insert(node, cards_.next(plan_.nodes[node].node, formed_.contains(plan_.nodes[node].node.role)));
            return cluster_.power_on(node);
        case Act::Kind::cut:
            return cluster_.cut(node);
        case Act::Kind::plug:
            return cluster_.plug(node);
    }
}

/// Asks every guest that is up all questions, and waits for the answers.
std::vector<std::string> ClusterRehearsal::wrong_answers() {
    std::vector<std::size_t> asked;
    std::size_t questions = 0;
    for (std::size_t at = 0; at < plan_.nodes.size(); ++at) {
        if (cluster_.inquiry(at) == nullptr || !can_answer(at)) continue;
        cluster_.inquiry(at)->ask();
        questions = cluster_.inquiry(at)->replies().size();
        asked.push_back(at);
    }
    const double end = steady_seconds() + patience_of_question * static_cast<double>(questions + 1);
    const auto open = [&](std::size_t at) { return !cluster_.inquiry(at)->answered(); };
    while (std::any_of(asked.begin(), asked.end(), open) && steady_seconds() < end) {
        if (interruption_.within(0.2)) throw Error("interrupted");
    }
    std::vector<std::string> wrong;
    for (const std::size_t at : asked) {
        for (const Reply& reply : cluster_.inquiry(at)->replies()) {
            const std::string& name = plan_.nodes[at].node.name;
            view_.reply(name, reply, steady_seconds());
            if (reply.status == 0) continue;
            wrong.push_back(objection_to(name, reply));
        }
    }
    return wrong;
}

void ClusterRehearsal::tell_troubles() {
    for (std::size_t at = 0; at < plan_.nodes.size(); ++at) {
        const BoardState state = cluster_.state(at);
        if (!state.trouble.empty()) view_.console(plan_.nodes[at].node.name, state.last_lines, steady_seconds());
    }
}

}  // namespace makina
