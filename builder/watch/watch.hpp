#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "builder/profile/address.hpp"

namespace makina {

/// A node whose daemon is to be asked for its status.
struct AskedNode {
    std::string name;
    Address address;
    std::uint16_t port = 0;
};

/// What came back.
struct StatusReply {
    std::string document;  ///< the JSON object, not looked at; empty if there was a fault
    std::string fault;     ///< "connection refused", "no answer within 2 s"; empty if there was none
};

/// Asks all nodes at once for /status.json by HTTP, in the order given; none takes longer than `patience`, and none
/// gives more than 64 KiB. Throws Error only if no sockets can be made.
[[nodiscard]] std::vector<StatusReply> ask_nodes(const std::vector<AskedNode>& nodes,
                                                 std::chrono::milliseconds patience);

/// A line of the table. Texts are a node's own and may be anything.
struct WatchedNode {
    std::string name;
    std::string role;
    bool reached = false;
    std::string state;  ///< of a node that is not reached: why
    std::string stage;
    std::string waiting_for;
    std::uint64_t epoch = 0;
    std::optional<std::int64_t> seconds;  ///< in this state; none if unknown
};

/// The table with a heading, as wide as the terminal at most; with `styled` nodes that are not reached are grey and
/// states have colours. Everything that is not printable ASCII is shown as "?".
[[nodiscard]] std::string to_table(const std::vector<WatchedNode>& nodes, std::size_t width, bool styled);
/// The same of one node for a log, without a newline: "master-1 waiting at network: the network cable of eth0".
[[nodiscard]] std::string to_line(const WatchedNode& node);

}  // namespace makina
