#include "builder/commands/rehearse_cluster.hpp"

#include <algorithm>
#include <fstream>
#include <ostream>
#include <set>
#include <thread>

#include "builder/commands/interruption.hpp"
#include "builder/commands/rehearsal_cards.hpp"
#include "builder/commands/rehearsal_view.hpp"
#include "builder/commands/terminal.hpp"
#include "builder/process.hpp"
#include "builder/rehearse/emulated_cluster.hpp"

namespace makina {
namespace {

/// An emulated node on a busy computer may take seconds for an answer.
constexpr std::chrono::milliseconds patience(4000);
constexpr const char* patience_of_curl = "4";

class ClusterRehearsal {
  public:
    /// Everything must outlive it.
    ClusterRehearsal(const ClusterRehearsalOptions& options, const ClusterPlan& plan, RehearsalCards& cards,
                     Interruption& interruption, std::ostream& out, RehearsalVoice voice, const std::string& name)
        : plan_(plan),
          cards_(cards),
          interruption_(interruption),
          shared_(plan.shared ? to_string(*plan.shared) : ""),
          director_({options.drills, shared_, options.settle, options.steady, options.timeout, options.until}),
          drills_(options.drills.size()),
          interval_(options.interval),
          start_(steady_seconds()),
          view_(out, voice, name, shared_, start_),
          cluster_(plan, std::max(std::thread::hardware_concurrency(), 1U), steady_seconds) {}

    /// Begins with a card for each node.
    bool lead(const std::vector<std::filesystem::path>& images) {
        for (std::size_t at = 0; at < images.size(); ++at) {
            during(plan_.nodes[at].node.name, [&] { cluster_.insert(at, images[at]); });
        }
        for (std::size_t at = 0; at < images.size(); ++at) cluster_.power_on(at);
        for (;;) {
            cluster_.go_on();
            const Sight sight = look();
            const Act act = director_.next(sight);
            for (; told_ < director_.outcomes().size(); ++told_) view_.outcome(director_.outcomes()[told_], sight.now);
            if (act.kind == Act::Kind::end) break;
            perform(act, sight.now);
            if (interruption_.within(interval_)) throw Error("interrupted");
        }
        tell_troubles();
        view_.end(director_, {plan_.nodes.size(), drills_, plan_.played}, steady_seconds());
        return director_.passed();
    }

  private:
    /// As a person sees a node: its own words if it has any.
    [[nodiscard]] Seen look_at(std::size_t at, const StatusReply* reply) const {
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
        } else {
            seen.node.state = "booting";
            seen.node.stage = state.stage ? to_string(*state.stage) : "";
        }
        return seen;
    }

    /// Only what can answer is asked: the others would cost the whole patience.
    [[nodiscard]] bool can_answer(std::size_t at) const {
        const BoardState state = cluster_.state(at);
        return state.on && state.stage && *state.stage >= BootStage::root && !cluster_.is_cut(at);
    }

    Sight look() {
        Sight sight;
        sight.asked = steady_seconds();
        std::vector<AskedNode> asked;
        std::vector<std::size_t> which;
        for (std::size_t at = 0; at < plan_.nodes.size(); ++at) {
            if (!can_answer(at)) continue;
            asked.push_back({plan_.nodes[at].node.name, *parse_address("127.0.0.1"), plan_.outside.ways_in[at].local});
            which.push_back(at);
        }
        const std::vector<StatusReply> replies = ask_nodes(asked, patience);
        std::vector<Seen> all;
        for (std::size_t at = 0; at < plan_.nodes.size(); ++at) {
            const auto found = std::find(which.begin(), which.end(), at);
            const bool answered = found != which.end();
            all.push_back(look_at(at, answered ? &replies[static_cast<std::size_t>(found - which.begin())] : nullptr));
            const Seen& seen = all.back();
            const bool own_words = !seen.status.is_null();
            sight.boards.push_back({seen.node.name, cluster_.power(at) != EmulatedCluster::Power::off,
                                    own_words ? seen.node.state : "", seen.node.stage, seen.node.waiting_for,
                                    cluster_.state(at).trouble});
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
    [[nodiscard]] bool shared_answers(const Sight& sight) const {
        if (!plan_.shared || sight.held.empty() || sight.held.back().by.size() != 1) return false;
        const std::string port = std::to_string(plan_.outside.ways_in.back().local);
        return run({{"curl", "--silent", "--fail", "--insecure", "--noproxy", "*", "--max-time", patience_of_curl,
                     "--output", "/dev/null", "https://127.0.0.1:" + port + "/healthz"}})
                   .status == 0;
    }

    [[nodiscard]] std::size_t number_of(const std::string& name) const {
        const auto found = std::find_if(plan_.nodes.begin(), plan_.nodes.end(),
                                        [&](const PlannedNode& one) { return one.node.name == name; });
        return static_cast<std::size_t>(found - plan_.nodes.begin());
    }

    void perform(const Act& act, double now) {
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
                cluster_.insert(node, cards_.next(plan_.nodes[node].node));
                return cluster_.power_on(node);
            case Act::Kind::cut:
                return cluster_.cut(node);
            case Act::Kind::plug:
                return cluster_.plug(node);
        }
    }

    void tell_troubles() {
        for (std::size_t at = 0; at < plan_.nodes.size(); ++at) {
            const BoardState state = cluster_.state(at);
            if (!state.trouble.empty()) view_.console(plan_.nodes[at].node.name, state.last_lines, steady_seconds());
        }
    }

    const ClusterPlan& plan_;
    RehearsalCards& cards_;
    Interruption& interruption_;
    std::string shared_;
    Director director_;
    std::size_t drills_;
    double interval_;
    double start_;
    RehearsalView view_;
    EmulatedCluster cluster_;
    std::size_t told_ = 0;  ///< outcomes
};

/// MemAvailable of proc(5); 0 if it is not known.
std::uint64_t available_memory_mib() {
    std::ifstream lines("/proc/meminfo");
    std::string key;
    std::uint64_t kib = 0;
    while (lines >> key) {
        if (key == "MemAvailable:" && lines >> kib) return kib >> 10;
    }
    return 0;
}

void warn_of_size(const ClusterPlan& plan, Reporter& reporter) {
    // What QEMU itself takes besides, and the kernel and initrd that are kept for it.
    constexpr unsigned beside = 256;
    std::uint64_t wanted = 0;
    for (const PlannedNode& node : plan.nodes) wanted += node.board.memory_mib + beside;
    const std::uint64_t available = available_memory_mib();
    const std::string machines =
        std::to_string(plan.nodes.size()) + (plan.nodes.size() == 1 ? " machine takes" : " machines take");
    reporter.step("rehearsal", machines + " up to " + human_size(wanted << 20) +
                                   " of memory, and minutes to boot: there is no Raspberry Pi here, each is emulated");
    if (available > 0 && wanted > available) {
        reporter.warning("rehearsal", "only " + human_size(available << 20) +
                                          " of memory are free here: boot fewer with --nodes, or give less with "
                                          "--memory");
    }
}

std::vector<std::string> names_of(const ClusterPlan& plan) {
    std::vector<std::string> names;
    names.reserve(plan.nodes.size());
    for (const PlannedNode& node : plan.nodes) names.push_back(node.node.name);
    return names;
}

void give_consoles(const std::filesystem::path& folder, ClusterPlan& plan) {
    if (folder.empty()) return;
    std::error_code failed;
    std::filesystem::create_directories(folder, failed);
    if (failed) throw Error("making the folder " + folder.string() + ": " + failed.message());
    for (PlannedNode& node : plan.nodes) node.board.console = folder / (node.node.name + ".log");
}

/// What is wrong with a choice is a mistake of the person.
ClusterPlan checked_plan(const Profile& profile, const ClusterRehearsalOptions& options) {
    for (const std::string& name : options.choice.nodes) (void)node_named(profile, name);
    try {
        ClusterPlan plan = plan_cluster(profile, options.choice, free_ports(profile.nodes.size() + 1));
        check_drills(options.drills, names_of(plan), plan.shared.has_value());
        return plan;
    } catch (const Error& error) {
        throw Mistake(error.what());
    }
}

}  // namespace

int rehearse_cluster(const ClusterRehearsalOptions& options, std::ostream& out, bool live) {
    const Profile profile = load_profile(profile_or_default(options.build.profile));
    ClusterPlan plan = checked_plan(profile, options);
    give_consoles(options.console, plan);
    plan.outside.stand_in = "/proc/" + std::to_string(getpid()) + "/exe stand-in";
    Interruption interruption;
    Reporter reporter(options.json);
    for (const std::string& warning : plan.warnings) reporter.warning("rehearsal", warning);
    warn_of_size(plan, reporter);
    RehearsalCards cards(profile, options.build, options.images, reporter);
    const RehearsalVoice voice = options.json ? RehearsalVoice::json
                                 : live       ? RehearsalVoice::table
                                              : RehearsalVoice::lines;
    try {
        std::vector<std::filesystem::path> images;
        for (const PlannedNode& node : plan.nodes) images.push_back(cards.first(node.node));
        ClusterRehearsal rehearsal(options, plan, cards, interruption, out, voice, profile.name);
        return rehearsal.lead(images) ? 0 : 1;
    } catch (const Error&) {
        // A program that was interrupted with us has failed for no reason of its own.
        if (!interruption.within(0)) throw;
    }
    throw Error("interrupted: every emulator is ended");
}

}  // namespace makina
