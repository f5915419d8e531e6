#pragma once

#include <string>
#include <vector>

#include "tests/balancer/cluster.hpp"

namespace makina::balancer {

/// Something that takes the holder of the address out, and what makes it good again.
struct Cut {
    const char* name;
    bool stays;    ///< the holder comes back so quickly that it may keep the address
    bool returns;  ///< it may have the address again afterwards: it was never told that it lost it
    void (*make)(Cluster& cluster, const std::string& holder);
    void (*heal)(Cluster& cluster, const std::string& holder);
};

/// Every kind, those of the short form first.
[[nodiscard]] const std::vector<Cut>& cuts();
/// How many a run has: a handful, 200 in the long form (MAKINA_ALL), or MAKINA_CUTS.
[[nodiscard]] std::size_t cut_count();

void pause(double seconds);

}  // namespace makina::balancer
