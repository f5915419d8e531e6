#pragma once

#include <map>
#include <string>
#include <vector>

#include "firstboot/bundle/bundle.hpp"
#include "firstboot/host.hpp"
#include "firstboot/join/statement.hpp"

namespace makina {

// What this node and the others say of the cluster: its own statement, on the card, and those of the nodes that answer.

/// Where the statement is kept; root's alone.
inline constexpr const char* statement_path = "/var/lib/makina/statement";

/// With what nodes speak to each other.
[[nodiscard]] Credentials node_credentials();
/// True once the keys stage has placed them.
[[nodiscard]] bool has_node_credentials(Host& host);

/// The peers that may found what this node's role is a part of: etcd nodes, else control planes.
[[nodiscard]] std::vector<Peer> founders_of(const Bundle& bundle);
/// True if etcd is on the control planes.
[[nodiscard]] bool is_stacked(const Bundle& bundle);
/// The node's address without its prefix length.
[[nodiscard]] std::string own_address(const Bundle& bundle);

/// What the card has said before, brought up to date with the bundle's right; a new one, with a new incarnation, if it
/// never said anything. Throws Error if the file is damaged: then nobody can know what it has promised.
[[nodiscard]] Statement own_statement(Host& host, const Bundle& bundle);
/// Makes it durable, if it has changed, and only then tells it.
void state(Host& host, const Bundle& bundle, const Statement& statement);

/// What was heard of the others.
struct Heard {
    std::vector<Statement> statements;          ///< of this cluster, each by its node
    std::map<std::string, std::string> faults;  ///< by name: why the others were not heard
};
[[nodiscard]] Heard hear(Host& host, const Bundle& bundle, const std::vector<Peer>& peers);

}  // namespace makina
