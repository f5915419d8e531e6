#include <gtest/gtest.h>

#include "tests/kubernetes/round.hpp"
#include "tests/unit/figures.hpp"

namespace makina::kubernetes {
namespace {

TEST(ZeroTouch, MastersAndWorkersFormAClusterInAnyOrderAndNewCardsTakeTheDeadOnesPlaces) {
    if (const std::string reason = why_not(); !reason.empty()) GTEST_SKIP() << reason;
    const std::uint64_t rounds = figures::long_form() ? 10 : 1;
    for (std::uint64_t seed = 0; seed < rounds && !HasFailure(); ++seed) {
        Round round(seven_machines(), seed);
        round.form();
        // The founder first.
        for (const char* const node : {"master-1", "master-2", "worker-1"}) {
            if (!HasFailure()) round.replace(node);
        }
    }
}

}  // namespace
}  // namespace makina::kubernetes
