#include "firstboot/join/founding.hpp"

#include "firstboot/join/standing.hpp"

namespace makina {

namespace {

/// True of what is said about the beginning of what this node is a part of. etcd nodes, and control planes that use
/// them, each have a beginning of their own; other nodes remember that of the cluster's etcd.
bool concerns(const Bundle& bundle, const Statement& statement) {
    const bool is_founders = statement.role == "etcd" || statement.role == "control-plane";
    return statement.role == bundle.role || (!is_founders && (bundle.role == "etcd" || is_stacked(bundle)));
}

}  // namespace

Advance Founder::take_part(Host& host, const Bundle& bundle) {
    Founding founding{bundle.node, {}};
    for (const Peer& peer : founders_of(bundle)) founding.founders.push_back(peer.name);
    const Statement before = own_statement(host, bundle);
    state(host, bundle, before);
    Heard heard = hear(host, bundle, bundle.peers);
    std::erase_if(heard.statements, [&](const Statement& statement) { return !concerns(bundle, statement); });
    const std::int64_t now = host.uptime();

    std::string all = encode(before);
    for (const Statement& statement : heard.statements) all += encode(statement);
    const Waited waited{majority_.seconds(has_quorum(founding, before, heard.statements), now),
                        unchanged_.seconds(all == heard_before_, now)};
    heard_before_ = all;
    Advance advance = makina::advance(founding, before, heard.statements, waited);
    state(host, bundle, advance.own);
    return advance;
}

void note_member(Host& host, const Bundle& bundle) {
    Statement statement = own_statement(host, bundle);
    statement.member = true;
    state(host, bundle, statement);
}

Outcome is_still_ours(Host& host, const Bundle& bundle) {
    const Statement own = own_statement(host, bundle);
    state(host, bundle, own);
    const std::size_t all = founders_of(bundle).size();
    Heard heard = hear(host, bundle, founders_of(bundle));
    std::size_t of_ours = 1;
    for (const Statement& statement : heard.statements) {
        const auto self = statement.decided.find(bundle.node);
        const bool names_us = self != statement.decided.end() && self->second == own.incarnation;
        const bool is_later = !statement.formation.empty() && statement.formation != own.formation;
        const bool is_other = (!statement.decided.empty() || statement.member) && !names_us;
        if (is_later || is_other) {
            return {false, "a person: " + statement.node +
                               " is of another beginning of the cluster than this card, which had begun one: write "
                               "the card of " +
                               bundle.node + " anew"};
        }
        if (names_us || !statement.formation.empty()) {
            ++of_ours;
        } else {
            heard.faults[statement.node] = "its card knows of no beginning";
        }
    }
    if (of_ours > all / 2) return {true};
    std::string faults;
    for (const auto& [name, fault] : heard.faults) faults += (faults.empty() ? "" : ", ") + name + " (" + fault + ")";
    return {false,
            std::to_string(all / 2 + 1) + " of " + std::to_string(all) +
                " founders, this node among them, to know of no other beginning of the cluster than this card's, "
                "before it goes on with that: " +
                faults,
            {},
            2};
}

}  // namespace makina
