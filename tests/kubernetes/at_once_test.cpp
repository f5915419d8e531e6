#include "tests/kubernetes/at_once.hpp"

#include <gtest/gtest.h>

#include "tests/unit/figures.hpp"

namespace makina::kubernetes {
namespace {

/// How many workers: none of it in the short form, it takes both processors for minutes.
std::vector<int> counts() {
    if (!figures::long_form()) return {};
    return {20};
}

class AtOnce : public ::testing::TestWithParam<int> {};

/// One control plane begins; two others and the workers join it, with the real kubeadm and API servers.
TEST_P(AtOnce, ControlPlanesAndWorkersJoin) {
    if (const std::string reason = why_not(); !reason.empty()) GTEST_SKIP() << reason;
    Cluster cluster(with_workers(GetParam()), lab::workshop() / "at-once", programs());
    expect_to_join_at_once(cluster, 900);
}

/// etcd nodes and control planes each begin something of their own, at the same time.
TEST(WithEtcdNodes, EveryNodeJoins) {
    if (const std::string reason = why_not(); !reason.empty()) GTEST_SKIP() << reason;
    Cluster cluster(with_etcd_nodes(), lab::workshop() / "with-etcd-nodes", programs());
    expect_to_join_at_once(cluster, 900);
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(AtOnce);
INSTANTIATE_TEST_SUITE_P(Workers, AtOnce, ::testing::ValuesIn(counts()));

}  // namespace
}  // namespace makina::kubernetes
