#include "firstboot/run.hpp"

#include <algorithm>
#include <functional>
#include <map>

#include "firstboot/bundle/error.hpp"
#include "firstboot/diary.hpp"
#include "firstboot/join/join.hpp"
#include "firstboot/node/node.hpp"
#include "firstboot/stage.hpp"

namespace makina {
namespace {

constexpr unsigned first_pause = 2;  // seconds
constexpr unsigned longest_pause = 60;
constexpr unsigned refused_pause = 10;
constexpr std::int64_t calm = 600;  // seconds without a fault, after which the next one is a first
constexpr const char* verifying = "verify";

/// How a part of the run ended.
enum class Way {
    on,      ///< done, the next
    again,   ///< from the beginning: something was handed over, or the clock says more than it did
    stopped  ///< asked to end
};

/// Pauses after faults grow, whatever is waited for between them: a join that fails at its end is begun anew, which
/// costs the cluster something each time.
class Backoff {
  public:
    unsigned after_fault(std::int64_t now) {
        seconds_ = seconds_ == 0 || now - last_ > calm ? first_pause : std::min(seconds_ * 2, longest_pause);
        last_ = now;
        return seconds_;
    }

  private:
    unsigned seconds_ = 0;
    std::int64_t last_ = 0;
};

class Daemon {
  public:
    Daemon(Host& host, const RunOptions& options) : host_(host), options_(options), diary_(host) {
        status_.version = MAKINA_VERSION;
    }

    Ending run();

  private:
    Way pass();
    Way verified(Identity& identity);
    Way reach(const std::string& stage, const std::function<Outcome()>& attempt);
    Outcome attempt(const Stage& stage, const Bundle& bundle);
    Way pause(const std::string& stage, unsigned seconds);
    Way stay(const Bundle& bundle);
    Way refused(const Untrusted& untrusted);
    [[nodiscard]] bool rest(unsigned seconds);
    [[nodiscard]] bool has_another();
    void tell_others();
    void keep_time();
    [[nodiscard]] bool begin_again();
    [[nodiscard]] bool undone();
    [[nodiscard]] bool was_cut(const Stage& stage) const { return stage.unseen && diary_.is_open(stage.name); }
    void adopt(const Identity& identity);
    void finish(const std::string& stage, const Outcome& outcome);
    void notice(const std::string& stage, const std::string& text);
    void enter(const std::string& state, const std::string& stage, Light light);
    void publish();

    Host& host_;
    RunOptions options_;
    Diary diary_;
    Status status_;
    std::map<std::string, std::string> notices_;  ///< by stage
    std::optional<Light> light_;
    Bundle bundle_;  ///< the one in use, without payloads
    Moment verified_at_;
    Doubt doubt_;
    unsigned rounds_ = 0;
};

Ending Daemon::run() {
    enter("starting", "", Light::working);
    for (;;) {
        Way way = Way::again;
        try {
            way = pass();
        } catch (const Untrusted& untrusted) {
            if (refused(untrusted) == Way::stopped) throw;
        }
        switch (way) {
            case Way::on:
                return Ending::joined;
            case Way::again:
                break;
            case Way::stopped:
                return Ending::stopped;
        }
    }
}

Way Daemon::pass() {
    Identity identity;
    status_.steps = {{verifying, false}};
    Way way = verified(identity);
    if (way != Way::on) return way;
    for (const Stage& stage : stages_of(identity.bundle.role)) {
        if (identity.joined && !stage.lasting && !was_cut(stage)) continue;
        way = reach(std::string(stage.name), [&] { return attempt(stage, identity.bundle); });
        if (way != Way::on) return way;
    }
    return stay(identity.bundle);
}

Way Daemon::verified(Identity& identity) {
    return reach(verifying, [&] {
        if (look_for_delivery(host_).ready) diary_.intend(verifying);
        const Verification verification = verify(host_);
        notice(verifying, verification.outcome.notice);
        if (verification.identity) {
            identity = *verification.identity;
            adopt(identity);
        }
        verified_at_ = host_.moment();
        return verification.outcome;
    });
}

void Daemon::adopt(const Identity& identity) {
    const Bundle& bundle = identity.bundle;
    bundle_ = without_payloads(bundle);
    status_.cluster = bundle.cluster;
    status_.cluster_id = bundle.cluster_id;
    status_.node = bundle.node;
    status_.role = bundle.role;
    status_.card = bundle.card;
    status_.address = bundle.address;
    status_.epoch = bundle.epoch;
    status_.expires = bundle.expires;
    status_.steps = {{verifying, false}};
    for (const Stage& stage : stages_of(bundle.role))
        status_.steps.push_back({std::string(stage.name), identity.joined && !stage.lasting});
    diary_.say("node " + bundle.node + ", " + bundle.role + " of cluster " + bundle.cluster + ", bundle " +
               std::to_string(bundle.epoch));
}

/// Asks, acts, asks again, for as long as it takes.
Way Daemon::reach(const std::string& stage, const std::function<Outcome()>& attempt) {
    enter("working", stage, Light::working);
    Backoff backoff;
    for (unsigned waits = first_pause;;) {
        unsigned seconds = waits;
        try {
            const Outcome outcome = attempt();
            if (outcome.done) {
                finish(stage, outcome);
                return Way::on;
            }
            status_.waiting_for = outcome.waiting_for;
            enter("waiting", stage, Light::waiting);
            diary_.say(stage + ": waiting for " + outcome.waiting_for);
            waits = outcome.again > 0 ? first_pause : std::min(waits * 2, longest_pause);
            if (outcome.again > 0) seconds = outcome.again;
        } catch (const Untrusted&) {
            throw;
        } catch (const Error& error) {
            status_.last_error = stage + ": " + error.what();
            enter("failed", stage, Light::failed);
            diary_.say(status_.last_error + "; it is tried again");
            diary_.fault(stage, error.what());
            seconds = backoff.after_fault(host_.uptime());
        }
        const Way way = pause(stage, seconds);
        if (way != Way::on) return way;
    }
}

Outcome Daemon::attempt(const Stage& stage, const Bundle& bundle) {
    Outcome outcome = stage.ask(host_, bundle);
    if (outcome.done && !was_cut(stage)) return outcome;
    diary_.intend(std::string(stage.name));
    return stage.act(host_, bundle);
}

/// False if the run is to end.
bool Daemon::rest(unsigned seconds) {
    ++rounds_;
    if (options_.most_rounds > 0 && rounds_ >= options_.most_rounds) return false;
    if (!host_.wait(seconds)) return false;
    publish();
    return true;
}

Way Daemon::pause(const std::string& stage, unsigned seconds) {
    if (!rest(seconds)) return Way::stopped;
    tell_others();
    // Verifying looks for itself.
    if (stage == verifying) return Way::on;
    keep_time();
    return begin_again() ? Way::again : Way::on;
}

/// Joined: stays to tell how the node is, and for what is handed over later.
Way Daemon::stay(const Bundle& bundle) {
    enter("joined", "", Light::joined);
    diary_.say(bundle.node + " has joined " + bundle.cluster);
    tell_others();
    if (options_.until_joined) return Way::on;
    Way way = Way::on;
    while (way == Way::on) way = pause("", longest_pause);
    return way;
}

/// What other nodes ask us for.
void Daemon::tell_others() {
    try {
        if (!bundle_.node.empty()) keep_statement(host_, bundle_);
    } catch (const Error& error) {
        status_.last_error = std::string("telling other nodes: ") + error.what();
        diary_.say(status_.last_error);
    }
}

/// Hours may pass at a stage, and the card should know them after a power cut.
void Daemon::keep_time() {
    try {
        if (!ask_time(host_, bundle_).done) (void)do_time(host_, bundle_);
        doubt_.look(host_);
    } catch (const Error& error) {
        status_.last_error = std::string("time: ") + error.what();
        diary_.say(status_.last_error);
    }
}

/// True if what was done has been undone from outside: the cable is out, or another machine has taken the address.
bool Daemon::undone() {
    const auto is_done = [&](std::string_view name) {
        return std::ranges::any_of(status_.steps,
                                   [&](const Status::Step& step) { return step.done && step.name == name; });
    };
    for (const Stage& stage : stages_of(bundle_.role)) {
        if (!stage.lasting || stage.name == status_.stage || !is_done(stage.name)) continue;
        if (const Outcome outcome = stage.ask(host_, bundle_); !outcome.done) return true;
    }
    return false;
}

/// Something was handed over, something was undone, or whether the bundle has expired can be said only now.
bool Daemon::begin_again() {
    try {
        const Handover handover = look_for_delivery(host_);
        notice(verifying, handover.notice);
        if (handover.ready || undone()) return true;
    } catch (const Untrusted&) {
        throw;
    } catch (const Error& error) {
        status_.last_error = error.what();
        diary_.say(std::string("looking around: ") + error.what());
    }
    const Moment moment = host_.moment();
    const bool late = moment.now > status_.expires;
    return status_.state != "joined" && moment.synced && late &&
           !(verified_at_.synced && verified_at_.now > status_.expires);
}

void Daemon::finish(const std::string& stage, const Outcome& outcome) {
    for (Status::Step& step : status_.steps) {
        if (step.name == stage) step.done = true;
    }
    // One that was done already is no news.
    if (status_.state != "working") diary_.say(stage + ": done");
    if (stage != verifying) notice(stage, outcome.notice);
    diary_.done(stage);
}

void Daemon::notice(const std::string& stage, const std::string& text) {
    notices_[stage] = text;
    if (!text.empty()) diary_.say("note: " + text);
    status_.notice.clear();
    for (const auto& [name, one] : notices_) {
        if (!one.empty()) status_.notice += (status_.notice.empty() ? "" : "; ") + one;
    }
}

void Daemon::enter(const std::string& state, const std::string& stage, Light light) {
    if (state != "waiting" && state != "refused") status_.waiting_for.clear();
    if (status_.state != state || status_.stage != stage) {
        status_.state = state;
        status_.stage = stage;
        status_.since = host_.moment().now;
        status_.since_uptime = host_.uptime();
    }
    publish();
    if (light_ != light) host_.show(light);
    light_ = light;
}

void Daemon::publish() {
    const Moment moment = host_.moment();
    status_.now = moment.now;
    status_.clock_synced = moment.synced;
    status_.uptime = host_.uptime();
    try {
        host_.publish(status_);
    } catch (const Error& error) {
        diary_.say(std::string("the status cannot be published: ") + error.what());
    }
}

/// What was refused is never tried again. The node stays to say so, and for another bundle.
Way Daemon::refused(const Untrusted& untrusted) {
    status_.last_error = untrusted.what();
    status_.waiting_for = way_out(host_);
    enter("refused", status_.stage, Light::refused);
    diary_.say(std::string("refused: ") + untrusted.what());
    if (options_.until_joined) return Way::stopped;
    while (rest(refused_pause)) {
        if (has_another()) return Way::again;
    }
    return Way::stopped;
}

/// A bundle was handed over that takes the place of the refused one.
bool Daemon::has_another() {
    try {
        const Handover handover = look_for_delivery(host_);
        notice(verifying, handover.notice);
        return handover.newer;
    } catch (const Error& error) {
        diary_.say(std::string("looking for another bundle: ") + error.what());
        return false;
    }
}

}  // namespace

Ending run(Host& host, const RunOptions& options) {
    return Daemon(host, options).run();
}

}  // namespace makina
