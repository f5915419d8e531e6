#include "tests/genesis/world.hpp"

#include <algorithm>

namespace makina::genesis {
namespace {

/// Short ones: nobody looks inside.
std::string cards_name(std::uint64_t number) {
    return "c" + std::to_string(number);
}

std::string text_of(const Founders& founders) {
    std::string text;
    for (const auto& [node, incarnation] : founders) text += " " + node + "=" + incarnation;
    return text;
}

/// Everything by which a founder can see that something goes on.
std::string progress_of(const Statement& statement) {
    std::string text = statement.incarnation;
    for (const Ballot& ballot : {statement.promised, statement.accepted, statement.attempt}) {
        text += "/" + std::to_string(ballot.round) + ballot.by;
    }
    return text + (statement.proposal.empty() ? "-" : "+");
}

/// True if so many may have elected a leader.
bool can_have_led(const Founders& founders, const std::set<std::string>& begun) {
    return begun.size() > founders.size() / 2;
}

}  // namespace

World::World(const Dangers& dangers, std::uint64_t seed) : dangers_(dangers), random_(seed) {
    for (std::size_t number = 0; number < dangers_.founders; ++number) {
        founding_.founders.push_back("m" + std::to_string(number + 1));
    }
    nodes_.resize(dangers_.founders);
    cut_.assign(dangers_.founders, std::vector<bool>(dangers_.founders, false));
    for (std::size_t number = 0; number < nodes_.size(); ++number) {
        give_card(number, false);
        if (dangers_.late_right && chance(20)) nodes_[number].card.formation.clear();
    }
}

void World::tell(const std::string& line) {
    story_.push_back(std::to_string(now_) + " s: " + line);
}

void World::give_card(std::size_t number, bool again) {
    Node& node = nodes_[number];
    node = {};
    node.card.cluster_id = "x";
    node.card.node = name_of(number);
    node.card.incarnation = cards_name(++cards_);
    node.card.formation = "x";
    node.card.again = again;
    tell(node.card.node + " has the card " + node.card.incarnation + (again ? ", not its first" : ""));
}

void World::forget(Node& node) {
    Statement left;
    left.cluster_id = node.card.cluster_id;
    left.node = node.card.node;
    left.incarnation = node.card.incarnation;
    left.formation = node.card.formation;
    node.card = left;
    node.begun = false;
}

void World::power(std::size_t number, bool on) {
    Node& node = nodes_[number];
    if (node.on == on) return;
    tell(node.card.node + (on ? " is on" : " is off"));
    node.on = on;
    if (!on && dangers_.lying_cards) forget(node);
    node.heard.reset();
    node.majority_since.reset();
    node.unchanged_since.reset();
    node.before.clear();
    node.next_turn = now_;
}

void World::look(std::size_t number) {
    Node& node = nodes_[number];
    node.heard.emplace();
    for (std::size_t other = 0; other < nodes_.size(); ++other) {
        if (other == number || !nodes_[other].on || cut_[number][other] || cut_[other][number]) continue;
        if (!peaceful_ && chance(10)) continue;
        node.heard->push_back(nodes_[other].card);
    }
}

void World::act(std::size_t number) {
    Node& node = nodes_[number];
    const std::vector<Statement> heard = std::move(*node.heard);
    node.heard.reset();
    founding_.self = node.card.node;
    const auto since = [&](std::optional<std::int64_t>& begun, bool is_so) -> std::int64_t {
        if (!is_so) begun.reset();
        if (is_so && !begun) begun = now_;
        return begun ? now_ - *begun : 0;
    };
    std::string all = progress_of(node.card);
    for (const Statement& statement : heard) all += progress_of(statement);
    const Waited waited{since(node.majority_since, has_quorum(founding_, node.card, heard)),
                        since(node.unchanged_since, all == node.before)};
    node.before = all;
    const Advance advance = makina::advance(founding_, node.card, heard, waited);
    // The power may go before the card has it, or just after.
    if (!peaceful_ && chance(2)) return power(number, false);
    if (!(advance.own == node.card) && advance.own.decided != node.card.decided) {
        tell(node.card.node + " knows:" + text_of(advance.own.decided));
    }
    node.card = advance.own;
    if (!peaceful_ && chance(2)) return power(number, false);
    if (advance.way == Advance::Way::founds && !node.begun) begin(node);
}

std::size_t World::clusters() const {
    return static_cast<std::size_t>(std::count_if(
        begun_.begin(), begun_.end(), [](const auto& cluster) { return can_have_led(cluster.first, cluster.second); }));
}

void World::begin(Node& node) {
    node.card.member = true;
    if (!peaceful_ && chance(2)) return power(static_cast<std::size_t>(&node - nodes_.data()), false);
    node.begun = true;
    const Founders& with = node.card.decided;
    tell(node.card.node + " begins with" + text_of(with));
    begun_[with].insert(node.card.incarnation);
    const auto agreed = with.find(node.card.node);
    is_split_ = is_split_ || agreed == with.end() || agreed->second != node.card.incarnation;
    for (const auto& one : begun_) {
        const auto& incarnations = one.second;
        if (one.first == with || !can_have_led(one.first, incarnations)) continue;
        is_split_ = is_split_ || std::any_of(nodes_.begin(), nodes_.end(), [&](const Node& other) {
                        return other.begun && incarnations.contains(other.card.incarnation);
                    });
    }
}

/// Something of the kind that happens in a house.
void World::happen() {
    const std::size_t number = random(nodes_.size());
    const std::uint64_t kind = random(100);
    if (kind < 35) {
        power(number, !nodes_[number].on);
    } else if (kind < 80) {
        const std::size_t other = random(nodes_.size());
        cut_[number][other] = !cut_[number][other];
    } else if (kind < 90) {
        for (auto& row : cut_) std::fill(row.begin(), row.end(), false);
    } else if (number < dangers_.new_cards && kind < 96) {
        power(number, false);
        give_card(number, true);
    } else if (dangers_.copies) {
        const auto has_met_all = [&](const Node& node) { return node.card.seen.size() + 1 == nodes_.size(); };
        if (!std::all_of(nodes_.begin(), nodes_.end(), has_met_all)) return;
        power(number, false);
        give_card(number, false);
        tell("(a copy of an image that was written before)");
    }
}

void World::trouble(std::size_t steps) {
    for (std::size_t step = 0; step < steps; ++step) {
        ++steps_;
        if (chance(8)) happen();
        const std::size_t number = random(nodes_.size());
        Node& node = nodes_[number];
        if (node.on) {
            if (node.heard) {
                act(number);
            } else {
                look(number);
            }
        }
        now_ += static_cast<std::int64_t>(random(3));
    }
}

bool World::settles(std::int64_t seconds) {
    peaceful_ = true;
    for (auto& row : cut_) std::fill(row.begin(), row.end(), false);
    for (std::size_t number = 0; number < nodes_.size(); ++number) power(number, true);
    const auto knows = [&](const Node& node) {
        return !node.card.decided.empty() ||
               std::any_of(nodes_.begin(), nodes_.end(), [](const Node& other) { return other.card.member; });
    };
    for (const std::int64_t end = now_ + seconds; now_ <= end; ++now_) {
        for (std::size_t number = 0; number < nodes_.size(); ++number) {
            ++steps_;
            look(number);
            act(number);
        }
        if (std::all_of(nodes_.begin(), nodes_.end(), knows)) return true;
    }
    return false;
}

}  // namespace makina::genesis
