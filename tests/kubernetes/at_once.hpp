#pragma once

#include "tests/kubernetes/cluster.hpp"

namespace makina::kubernetes {

/// Two balancers, three control planes, and so many workers, at most 200.
[[nodiscard]] Profile with_workers(int count);

/// Three etcd nodes, two balancers, three control planes and two workers.
[[nodiscard]] Profile with_etcd_nodes();

/// Powers on every node of a cluster in the same moment and expects that all of them join within so many seconds, as
/// one cluster; the figures have how many did and how long it took them.
void expect_to_join_at_once(Cluster& cluster, double patience);

}  // namespace makina::kubernetes
