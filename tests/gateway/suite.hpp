#pragma once

#include <string>

#include "builder/profile/profile.hpp"

namespace makina::border {

/// Why these tests cannot run here; empty if they can.
[[nodiscard]] std::string why_not();

/// One gateway with everything that a profile may open.
[[nodiscard]] Profile one_gateway();
/// Two that share an address on both sides and know each other's connections.
[[nodiscard]] Profile two_gateways();
/// Two that share network.gateway and nothing else.
[[nodiscard]] Profile two_plain_gateways();

}  // namespace makina::border
