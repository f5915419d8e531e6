#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/kubernetes/by_hand.hpp"
#include "tests/unit/figures.hpp"

// That the lab is what it says: a cluster formed in it by hand, without anything of ours but the files of the cards.
namespace makina::kubernetes {
namespace {

using figures::measure;

using ::testing::ElementsAre;

class Lab : public ::testing::Test {
  protected:
    void SetUp() override {
        if (const std::string reason = why_not(); !reason.empty()) GTEST_SKIP() << reason;
        // Before there are threads: mounts are a thread's own business.
        static_cast<void>(lab::workshop());
    }
};

/// The node's first card, powered on, with its keys; and what kubeadm says.
Result enter(Cluster& cluster, const std::string& node, const std::string& verb) {
    cluster.new_card(node);
    cluster.boot_without_daemon(node);
    put_keys(cluster, node);
    const double started = lab::steady_seconds();
    Result result = run_kubeadm(cluster, node, verb);
    measure("by_hand_" + verb, lab::steady_seconds() - started);
    return result;
}

TEST_F(Lab, FormsAClusterByHand) {
    Cluster cluster(seven_machines(), lab::workshop() / "by-hand", programs());
    for (const std::string& balancer : balancers) {
        cluster.new_card(balancer);
        cluster.boot(balancer);
    }
    const Result founded = enter(cluster, "master-1", "init");
    ASSERT_EQ(founded.status, 0) << founded.errors;
    for (const std::string node : {"master-2", "master-3", "worker-1"}) {
        const Result joined = enter(cluster, node, "join");
        ASSERT_EQ(joined.status, 0) << node << ": " << joined.errors;
    }
    const auto ready = [&] { return cluster.ready_nodes("master-3"); };
    EXPECT_TRUE(lab::becomes_true(30, [&] { return ready().size() == 4; }));
    EXPECT_THAT(ready(), ElementsAre("master-1", "master-2", "master-3", "worker-1"));
    for (const std::string& master : masters) {
        EXPECT_EQ(cluster.members(master).size(), 3U) << master;
        EXPECT_EQ(cluster.cluster_id(master), cluster.cluster_id("master-1")) << master;
    }
}

}  // namespace
}  // namespace makina::kubernetes
