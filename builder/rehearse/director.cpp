#include "builder/rehearse/director.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "builder/profile/spelling.hpp"

namespace makina {
namespace {

std::vector<std::string> holders(const Sight& sight) {
    return sight.held.empty() ? std::vector<std::string>() : sight.held.back().by;
}

bool is_on(const Sight& sight, const std::string& name) {
    return std::any_of(sight.boards.begin(), sight.boards.end(),
                       [&](const SeenBoard& board) { return board.name == name && board.on; });
}

/// A daemon in one of these states does not go on by itself at once.
bool rests(const SeenBoard& board) {
    constexpr std::array<std::string_view, 4> resting = {"joined", "waiting", "failed", "refused"};
    return !board.on || std::find(resting.begin(), resting.end(), board.state) != resting.end();
}

/// What a waiting node says may count seconds: that is no change.
std::string in_words(const Sight& sight) {
    std::string words;
    for (const SeenBoard& board : sight.boards) {
        words += board.name + (board.on ? " on " : " off ") + board.state + " " + board.stage + " ";
        for (const char letter : board.waiting_for) {
            if (letter < '0' || letter > '9') words += letter;
        }
        words += '\n';
    }
    return words + enumerate(holders(sight), " and ") + (sight.shared_answers ? " answers" : "");
}

std::vector<std::string> troubles(const Sight& sight) {
    std::vector<std::string> all;
    for (const SeenBoard& board : sight.boards) {
        if (!board.trouble.empty()) all.push_back(board.name + ": " + board.trouble);
    }
    return all;
}

std::string in_seconds(double seconds) {
    return std::to_string(static_cast<int>(seconds)) + " s";
}

std::string objection_to(const SeenBoard& board) {
    if (!board.trouble.empty()) return board.name + ": " + board.trouble;
    if (!board.on || board.state == "joined") return {};
    if (board.state.empty()) return board.name + " is not reached";
    return board.name + " is " + board.state + (board.stage.empty() ? "" : " at " + board.stage) +
           (board.waiting_for.empty() ? "" : ": " + board.waiting_for);
}

std::string objection_to_holder(const Sight& sight, const std::string& shared) {
    const std::vector<std::string> by = holders(sight);
    if (by.empty()) return shared + " is held by nobody";
    if (by.size() > 1) return shared + " is held by " + enumerate(by, " and ") + " at once";
    if (!is_on(sight, by[0])) return shared + " was last held by " + by[0] + ", which is off";
    return sight.shared_answers ? std::string() : shared + " is held by " + by[0] + ", but nothing answers there";
}

}  // namespace

std::vector<std::string> objections(const Sight& sight, const std::string& shared) {
    std::vector<std::string> all;
    for (const SeenBoard& board : sight.boards) all.push_back(objection_to(board));
    if (!shared.empty()) all.push_back(objection_to_holder(sight, shared));
    std::erase(all, "");
    return all;
}

void Director::object(const std::vector<std::string>& more) {
    std::vector<std::string>& all = outcomes_.back().objections;
    all.insert(all.end(), more.begin(), more.end());
}

std::optional<Drill> Director::current() const {
    const bool going_on = phase_ == Phase::away || phase_ == Phase::healing;
    return going_on ? std::optional(drill_) : std::nullopt;
}

bool Director::passed() const {
    return outcomes_.size() == rules_.drills.size() + 1 &&
           std::all_of(outcomes_.begin(), outcomes_.end(), [](const Outcome& one) { return one.passed(); });
}

Act Director::next(const Sight& sight) {
    if (!began_) began_ = sight.asked;
    note(sight);
    switch (phase_) {
        case Phase::settling:
            return settle(sight);
        case Phase::away:
            return come_back(sight);
        case Phase::healing:
            return heal(sight);
        case Phase::over:
            return {Act::Kind::end, {}};
    }
    return {Act::Kind::end, {}};
}

void Director::note(const Sight& sight) {
    if (const std::string seen = in_words(sight); seen != last_seen_) {
        last_seen_ = seen;
        changed_ = sight.now;
    }
    if (phase_ == Phase::healing && !back_) back_ = sight.asked;
    if (!objections(sight, rules_.shared).empty()) {
        well_since_.reset();
    } else if (!well_since_) {
        well_since_ = sight.now;
    }
}

bool Director::well(const Sight& sight) const {
    return well_since_ && sight.now - *well_since_ >= rules_.steady;
}

bool Director::settled(const Sight& sight) const {
    const bool resting = std::all_of(sight.boards.begin(), sight.boards.end(), rests);
    return well(sight) || (resting && sight.now - changed_ >= rules_.settle);
}

Act Director::settle(const Sight& sight) {
    if (auto all = troubles(sight); !all.empty()) return conclude(sight, std::move(all), false);
    if (settled(sight)) {
        if (!outcomes_.empty()) return begin(sight);
        return conclude(sight, objections(sight, rules_.shared), true);
    }
    if (sight.now - *began_ < rules_.timeout) return {};
    if (done_ < rules_.drills.size()) drill_ = rules_.drills[done_];
    std::vector<std::string> all = objections(sight, rules_.shared);
    all.insert(all.begin(), "the cluster did not settle within " + in_seconds(rules_.timeout));
    return conclude(sight, std::move(all), false);
}

Act Director::begin(const Sight& sight) {
    drill_ = rules_.drills[done_];
    began_ = sight.now;
    if (drill_.node == shared_holder) {
        const std::vector<std::string> by = holders(sight);
        if (by.size() != 1) return conclude(sight, {objection_to_holder(sight, rules_.shared)}, true);
        drill_.node = by[0];
    }
    if (drill_.kind != DrillKind::replace && !is_on(sight, drill_.node)) {
        return conclude(sight, {drill_.node + " is off by then"}, true);
    }
    return start(sight);
}

Act Director::start(const Sight& sight) {
    held_then_ = holders(sight);
    back_.reset();
    well_since_.reset();
    phase_ = drill_.seconds > 0 ? Phase::away : Phase::healing;
    switch (drill_.kind) {
        case DrillKind::kill:
        case DrillKind::restart:
            return {Act::Kind::power_off, drill_.node};
        case DrillKind::replace:
            return {Act::Kind::replace, drill_.node};
        case DrillKind::cut:
            return {Act::Kind::cut, drill_.node};
    }
    return {Act::Kind::end, {}};
}

Act Director::come_back(const Sight& sight) {
    if (sight.now - *began_ < drill_.seconds) return {};
    phase_ = Phase::healing;
    well_since_.reset();
    return {drill_.kind == DrillKind::cut ? Act::Kind::plug : Act::Kind::power_on, drill_.node};
}

Act Director::heal(const Sight& sight) {
    if (auto all = troubles(sight); !all.empty()) return conclude(sight, std::move(all), false);
    if (rules_.until) {
        if (sight.now - *back_ < *rules_.until) return {};
        return conclude(sight, objections(sight, rules_.shared), true);
    }
    if (well(sight)) return conclude(sight, {}, true);
    if (sight.now - *began_ < rules_.timeout) return {};
    std::vector<std::string> all = objections(sight, rules_.shared);
    all.insert(all.begin(), "not well again within " + in_seconds(rules_.timeout));
    return conclude(sight, std::move(all), false);
}

Outcome Director::outcome(const Sight& sight) const {
    Outcome one;
    one.began = *began_;
    one.seconds = sight.now - *began_;
    one.held_before = held_then_;
    one.held_after = holders(sight);
    for (std::size_t at = 0; at < sight.held.size(); ++at) {
        const Held& held = sight.held[at];
        const double end = at + 1 < sight.held.size() ? sight.held[at + 1].since : sight.now;
        const double during = std::max(end - std::max(held.since, *began_), 0.0);
        if (held.by.empty()) one.nobody += during;
        if (held.by.size() > 1) one.several += during;
        const bool another = held.by.size() == 1 && held.by != held_then_;
        if (another && held.since >= *began_ && !one.moved) one.moved = held.since - *began_;
    }
    return one;
}

Act Director::conclude(const Sight& sight, std::vector<std::string> because, bool go_on) {
    Outcome one = outcome(sight);
    if (!outcomes_.empty()) {
        one.drill = drill_;
        // A cable that is plugged again hides that nobody stood in.
        const bool stood_in = one.held_before != std::vector{one.drill->node} || one.moved;
        if (phase_ == Phase::healing && one.drill->kind == DrillKind::cut && !stood_in) {
            because.push_back(rules_.shared + " stayed with " + one.drill->node + ", which was cut off");
        }
        ++done_;
    }
    one.objections = std::move(because);
    outcomes_.push_back(std::move(one));
    began_ = sight.now;
    held_then_.clear();
    phase_ = go_on && done_ < rules_.drills.size() ? Phase::settling : Phase::over;
    return {phase_ == Phase::over ? Act::Kind::end : Act::Kind::wait, {}};
}

}  // namespace makina
