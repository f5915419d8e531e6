#include "firstboot/join/genesis.hpp"

#include <algorithm>
#include <functional>

namespace makina {
namespace {

std::string joined(const std::vector<std::string>& names) {
    std::string text;
    for (std::size_t at = 0; at < names.size(); ++at) {
        text += (at == 0 ? "" : at + 1 == names.size() ? " and " : ", ") + names[at];
    }
    return text;
}

/// This founder among those that it hears.
class Synod {
  public:
    Synod(const Founding& founding, const Statement& own, const std::vector<Statement>& heard)
        : founding_(founding), own_(own), heard_(heard) {}

    Advance advance(const Waited& waited);
    [[nodiscard]] bool has_quorum() const {
        return is_quorum([](const Statement&) { return true; });
    }

  private:
    using Test = std::function<bool(const Statement&)>;

    [[nodiscard]] bool is_founder(const Statement& statement) const {
        return std::find(founding_.founders.begin(), founding_.founders.end(), statement.node) !=
               founding_.founders.end();
    }
    /// One that takes part in this formation.
    [[nodiscard]] bool takes_part(const Statement& statement) const {
        return is_founder(statement) && !own_.formation.empty() && statement.formation == own_.formation;
    }
    [[nodiscard]] std::vector<const Statement*> participants() const;
    [[nodiscard]] bool has_forgotten(const Statement& statement) const;
    [[nodiscard]] bool is_quorum(const Test& test) const;
    [[nodiscard]] bool is_founded() const;
    [[nodiscard]] std::string contrary() const;

    void learn();
    void remember();
    void answer();
    void go_on(const Waited& waited);
    void attempt(const Waited& waited);
    [[nodiscard]] Founders proposed() const;
    [[nodiscard]] std::string missing() const;

    const Founding& founding_;
    Statement own_;
    const std::vector<Statement>& heard_;
};

std::vector<const Statement*> Synod::participants() const {
    std::vector<const Statement*> all = {&own_};
    for (const Statement& statement : heard_) {
        if (takes_part(statement)) all.push_back(&statement);
    }
    std::sort(all.begin(), all.end(), [](const Statement* a, const Statement* b) { return a->node < b->node; });
    return all;
}

/// True if an earlier card of this founder may have promised something: its bundle says so, or somebody has met it.
bool Synod::has_forgotten(const Statement& statement) const {
    if (statement.again) return true;
    const auto knows_another = [&](const Statement& witness) {
        for (const auto* const list : {&witness.seen, &witness.value, &witness.proposal}) {
            const auto found = list->find(statement.node);
            if (found != list->end() && found->second != statement.incarnation) return true;
        }
        return false;
    };
    return knows_another(own_) || std::any_of(heard_.begin(), heard_.end(), knows_another);
}

bool Synod::is_quorum(const Test& test) const {
    std::size_t sure = 0;
    std::size_t all = 0;
    for (const Statement* const statement : participants()) {
        if (!test(*statement)) continue;
        ++all;
        if (!has_forgotten(*statement)) ++sure;
    }
    return sure > founding_.founders.size() / 2 || all == founding_.founders.size();
}

/// True if somebody is a member, of whichever formation, or knows that ours was founded.
bool Synod::is_founded() const {
    return std::any_of(heard_.begin(), heard_.end(), [&](const Statement& statement) {
        return statement.member || (!statement.decided.empty() && statement.formation == own_.formation);
    });
}

/// Why nothing is promised to anybody, whatever this card's right is.
std::string Synod::contrary() const {
    for (const Statement& statement : heard_) {
        if (!is_founder(statement) || statement.formation.empty() || statement.formation == own_.formation) continue;
        return statement.node +
               " to get a card of the same making as this one's: each of them would begin a cluster of "
               "its own";
    }
    return "";
}

/// What is decided is decided: by a majority whose acceptances are seen, or because somebody has seen it.
void Synod::learn() {
    if (!own_.decided.empty()) return;
    for (const Statement& statement : heard_) {
        const bool same =
            own_.formation.empty() || statement.formation.empty() || statement.formation == own_.formation;
        if (same && !statement.decided.empty()) own_.decided = statement.decided;
    }
    if (!own_.decided.empty() || own_.formation.empty()) return;
    for (const Statement* const one : participants()) {
        if (one->accepted.round == 0) continue;
        const auto accepted = [&](const Statement& statement) { return statement.accepted == one->accepted; };
        if (is_quorum(accepted)) {
            own_.decided = one->value;
            return;
        }
    }
}

void Synod::remember() {
    for (const Statement& statement : heard_) {
        if (is_founder(statement)) own_.seen.try_emplace(statement.node, statement.incarnation);
    }
}

/// As one who is asked by the others.
void Synod::answer() {
    for (const Statement* const one : participants()) {
        if (one->attempt.round == 0 || one->attempt < own_.promised) continue;
        own_.promised = one->attempt;
        if (one->proposal.empty()) continue;
        own_.accepted = one->attempt;
        own_.value = one->proposal;
    }
}

/// What has to be proposed after a quorum has promised: what may have been decided already, else all who are there.
Founders Synod::proposed() const {
    const Statement* newest = nullptr;
    Founders present;
    for (const Statement* const one : participants()) {
        if (one->promised != own_.attempt) continue;
        present.emplace(one->node, one->incarnation);
        if (one->accepted.round != 0 && (newest == nullptr || newest->accepted < one->accepted)) newest = one;
    }
    return newest == nullptr ? present : newest->value;
}

/// Our own attempt, if there is one that still can succeed.
void Synod::go_on(const Waited& waited) {
    if (own_.attempt.round == 0 || own_.attempt != own_.promised || !own_.proposal.empty()) return;
    const auto promised = [&](const Statement& statement) { return statement.promised == own_.attempt; };
    if (!is_quorum(promised)) return;
    const auto all = participants();
    const bool by_all = std::all_of(all.begin(), all.end(), [&](const Statement* one) { return promised(*one); });
    if (!by_all && waited.unchanged < patience_for_promises) return;
    own_.proposal = proposed();
    own_.accepted = own_.attempt;
    own_.value = own_.proposal;
}

void Synod::attempt(const Waited& waited) {
    if (!has_quorum()) return;
    const auto all = participants();
    if (all.size() < founding_.founders.size() && waited.majority < patience_for_all) return;
    std::int64_t rank = 0;
    Ballot highest = own_.promised;
    for (const Statement* const one : all) {
        if (one->node < own_.node) ++rank;
        highest = std::max({highest, one->promised, one->attempt});
    }
    // Somebody's attempt is on its way, ours or another's: it gets its time.
    const bool going_on = highest.round != 0;
    if (waited.unchanged < patience_for_others * (rank + (going_on ? 1 : 0))) return;
    own_.attempt = {highest.round + 1, own_.incarnation};
    own_.promised = own_.attempt;
    own_.proposal.clear();
}

std::string Synod::missing() const {
    std::vector<std::string> names;
    for (const std::string& name : founding_.founders) {
        const auto says = [&](const Statement& statement) { return statement.node == name && takes_part(statement); };
        if (name != own_.node && std::none_of(heard_.begin(), heard_.end(), says)) names.push_back(name);
    }
    const std::string needed = std::to_string(founding_.founders.size() / 2 + 1) + " of " +
                               std::to_string(founding_.founders.size()) + " founders";
    if (names.empty()) return "the founders to agree";
    if (has_quorum())
        return joined(names) + ", for " + std::to_string(patience_for_all) + " s, and the founders to agree";
    const bool unsure = has_forgotten(own_) || std::any_of(heard_.begin(), heard_.end(), [&](const Statement& one) {
                            return takes_part(one) && has_forgotten(one);
                        });
    return joined(names) + (unsure ? ": a founder's card was written anew, so all of them have to be there"
                                   : ": " + needed + " begin the cluster");
}

Advance Synod::advance(const Waited& waited) {
    using Way = Advance::Way;
    remember();
    learn();
    if (own_.decided.empty() && is_founded()) return {Way::joins, own_};
    if (own_.decided.empty()) {
        if (own_.formation.empty()) return {Way::waits, own_, "the cluster: this card may join it, but not begin it"};
        if (std::string reason = contrary(); !reason.empty()) return {Way::waits, own_, reason};
        answer();
        go_on(waited);
        learn();
    }
    if (own_.decided.empty()) {
        attempt(waited);
        // Who is alone has all promises at once.
        go_on(waited);
        learn();
    }
    if (own_.decided.empty()) return {Way::waits, own_, missing()};
    const auto found = own_.decided.find(own_.node);
    const bool is_first = found != own_.decided.end() && found->second == own_.incarnation;
    return {is_first ? Way::founds : Way::joins, own_};
}

}  // namespace

Advance advance(const Founding& founding, const Statement& own, const std::vector<Statement>& heard,
                const Waited& waited) {
    return Synod(founding, own, heard).advance(waited);
}

bool has_quorum(const Founding& founding, const Statement& own, const std::vector<Statement>& heard) {
    return Synod(founding, own, heard).has_quorum();
}

}  // namespace makina
