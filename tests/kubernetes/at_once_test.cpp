#include "tests/kubernetes/at_once.hpp"

#include <gtest/gtest.h>

#include "tests/unit/figures.hpp"

namespace makina::kubernetes {
namespace {

/// One control plane begins; two others and twenty workers join it, with the real kubeadm and API servers.
TEST(AtOnce, TwoControlPlanesAndTwentyWorkersJoin) {
    if (const std::string reason = why_not(); !reason.empty()) GTEST_SKIP() << reason;
    if (!figures::long_form()) GTEST_SKIP() << "takes both processors for minutes: MAKINA_ALL=1";
    Cluster cluster(with_workers(20), lab::workshop() / "at-once", programs());
    expect_to_join_at_once(cluster, 900);
}

}  // namespace
}  // namespace makina::kubernetes
