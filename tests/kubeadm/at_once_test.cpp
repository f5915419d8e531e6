#include "tests/kubernetes/at_once.hpp"

#include <gtest/gtest.h>

#include "tests/unit/figures.hpp"

// A whole cluster whose nodes are powered on in the same moment: the daemons, etcd, haproxy and keepalived are the real
// ones; kubeadm, the API server and the kubelet are scripted.
namespace makina::kubernetes {
namespace {

TEST(AtOnce, EveryNodeJoins) {
    if (const std::string reason = why_no_machines(); !reason.empty()) GTEST_SKIP() << reason;
    Profile profile = with_workers(figures::long_form() ? 100 : 20);
    profile.kubernetes.version = {1, 34, 1};
    Cluster cluster(std::move(profile), lab::workshop() / "at-once", MAKINA_SOURCE "/tests/kubeadm/programs");
    // Twice what a hundred workers may take on a machine that does nothing else; the figures tell what it was.
    expect_to_join_at_once(cluster, 240);
}

/// etcd nodes and control planes each begin something of their own, at the same time.
TEST(AtOnce, EveryNodeJoinsWithEtcdNodes) {
    if (const std::string reason = why_no_machines(); !reason.empty()) GTEST_SKIP() << reason;
    Profile profile = with_etcd_nodes();
    profile.kubernetes.version = {1, 34, 1};
    Cluster cluster(std::move(profile), lab::workshop() / "with-etcd-nodes", MAKINA_SOURCE "/tests/kubeadm/programs");
    expect_to_join_at_once(cluster, 240);
}

}  // namespace
}  // namespace makina::kubernetes
