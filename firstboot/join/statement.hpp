#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace makina {

/// The number of an attempt to found the cluster; later attempts are greater.
struct Ballot {
    std::uint64_t round = 0;  ///< 0: none
    std::string by = {};      ///< incarnation of who attempts: a card that was written anew cannot repeat a ballot
    auto operator<=>(const Ballot&) const = default;
};

/// The members that a cluster begins with: name of each node, and the incarnation that it has to be.
using Founders = std::map<std::string, std::string>;

/// What a node tells every other node that asks, and keeps on its card: nothing is told that is not durable. For a
/// founder it is its part in the agreement about the first members (see genesis.hpp); other roles only remember.
struct Statement {
    static constexpr std::size_t largest = std::size_t{32} << 10;  ///< bytes

    std::string cluster_id;   ///< as Bundle::cluster_id
    std::string node;         ///< who says it
    std::string role;         ///< as profiles spell it
    std::string incarnation;  ///< 128 random bits of this card in this node, 32 hex digits; made at its first boot
    std::string formation;    ///< as Bundle::genesis; empty: a card that may not found
    bool again = false;       ///< as Bundle::genesis_again
    Ballot promised;          ///< no attempt below it is accepted any more
    Ballot accepted;          ///< of the newest founders that were accepted
    Founders value;           ///< those founders; empty if none were accepted yet
    Ballot attempt;           ///< our own, the newest
    Founders proposal;        ///< what it proposes; empty while it still asks for promises
    Founders decided;         ///< with whom the cluster began or begins; empty: not known
    bool member = false;      ///< this node has begun to be a member: it may have data of the cluster
    std::map<std::string, std::string> seen;  ///< incarnation of each other founder when it was first heard
    bool operator==(const Statement&) const = default;
};

/// Lines of text, each ended by a newline, in this order; those in brackets may be absent, as their values say:
///     makina-statement 1
///     cluster-id HEX      node NAME        role ROLE        incarnation HEX
///     [formation HEX]     [again yes]
///     [promised ROUND HEX]    [accepted ROUND HEX]    [value NAME=HEX,...]
///     [attempt ROUND HEX]     [proposal NAME=HEX,...] [decided NAME=HEX,...]
///     [member yes]        [seen NAME=HEX,...]
///     end
[[nodiscard]] std::string encode(const Statement& statement);
/// Reads what `encode` wrote, and nothing else; throws Untrusted "<what>, line 3".
[[nodiscard]] Statement decode_statement(std::string_view text);

}  // namespace makina
