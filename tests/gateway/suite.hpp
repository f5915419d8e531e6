#pragma once

#include <string>
#include <vector>

#include "builder/profile/profile.hpp"

namespace makina::border {

/// Why these tests cannot run here; empty if they can.
[[nodiscard]] std::string why_not();
/// True for the long form (MAKINA_ALL=1).
[[nodiscard]] bool all_asked();

/// One gateway with everything that a profile may open.
[[nodiscard]] Profile one_gateway();
/// Two that share an address on both sides and know each other's connections.
[[nodiscard]] Profile two_gateways();
/// Two that share network.gateway and nothing else.
[[nodiscard]] Profile two_plain_gateways();

/// One fail-over: how long nobody was answered, how long two had the address, and whether what was open went on.
struct Failover {
    double silence = 0;
    double doubled = 0;
    bool kept = false;
};
/// Adds to the suite's figures, which are printed at its end.
void count(const Failover& failover);

}  // namespace makina::border
