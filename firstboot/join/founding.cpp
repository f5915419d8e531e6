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

}  // namespace makina
