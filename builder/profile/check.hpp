#pragma once

#include "builder/profile/draft.hpp"

namespace makina {

/// Complains about everything that only shows when the sound values of a profile are put side by side.
void check(Draft& draft);

void check_ranges(Draft& draft);     ///< subnet, pods, services, gateway
void check_addresses(Draft& draft);  ///< nodes, VIP, DHCP, network cards
void check_cluster(Draft& draft);    ///< members, balancer, ports, versions
void check_snapshots(Draft& draft);  ///< of etcd: where they go, and with what
void check_gateway(Draft& draft);    ///< gateways and what they share; needs sound roles

}  // namespace makina
