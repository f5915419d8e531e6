#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace makina {

/// What a person wants to know of a node that has no screen. Holds no secret.
struct Status {
    struct Step {
        std::string name;
        bool done = false;
    };
    std::string version;                                         ///< of the daemon
    std::string cluster, cluster_id, node, role, card, address;  ///< empty until the bundle is verified
    std::uint64_t epoch = 0;
    std::int64_t expires = 0;       ///< of the bundle, seconds since 1970; 0 if not known
    std::string state;              ///< "starting" | "working" | "waiting" | "failed" | "refused" | "joined"
    std::string stage;              ///< where it is: "network"
    std::string waiting_for;        ///< empty unless waiting or refused
    std::string last_error;         ///< the newest fault of this boot, kept when it is over
    std::string notice;             ///< what a person should know besides: a delivered bundle that was refused
    std::int64_t since = 0;         ///< of state and stage, seconds since 1970
    std::int64_t since_uptime = 0;  ///< the same in seconds since power-on: right also while the clock is not
    std::int64_t now = 0, uptime = 0;
    bool clock_synced = false;
    std::vector<Step> steps;
};

/// One JSON object (RFC 8259), keys as the members are called, ASCII only.
[[nodiscard]] std::string to_json(const Status& status);
/// The same as a page for a browser, which asks for itself again every few seconds.
[[nodiscard]] std::string to_html(const Status& status);

/// The TCP port of the page, on the node's own address; until that is known, on each that a wired interface has.
inline constexpr std::uint16_t status_port = 6480;

}  // namespace makina
