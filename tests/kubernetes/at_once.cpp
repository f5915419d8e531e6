#include "tests/kubernetes/at_once.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/clusters.hpp"
#include "tests/unit/figures.hpp"

namespace makina::kubernetes {
namespace {

using ::testing::Each;
using ::testing::Field;

/// Starts every daemon and measures for each node how long it was until it had joined; gives those that have not.
std::vector<std::string> start_daemons(Cluster& cluster, std::vector<std::string> nodes, double patience) {
    const double begun = lab::steady_seconds();
    for (const std::string& node : nodes) cluster.machine(node).start_daemon();
    (void)lab::becomes_true(patience, [&] {
        std::erase_if(nodes, [&](const std::string& node) {
            const bool joined = cluster.lab().have_joined({node});
            if (joined) figures::measure("joined_at_once", lab::steady_seconds() - begun);
            return joined;
        });
        return nodes.empty();
    });
    return nodes;
}

}  // namespace

Profile with_workers(int count) {
    Profile profile = seven_machines();
    std::erase_if(profile.nodes, [](const Node& node) { return node.role == Role::worker; });
    for (int i = 1; i <= count; ++i) {
        profile.nodes.push_back(
            clusters::node("worker-" + std::to_string(i), Role::worker, "192.168.3." + std::to_string(10 + i)));
    }
    return profile;
}

void expect_to_join_at_once(Cluster& cluster, double patience) {
    std::vector<std::string> all;
    for (const Node& node : cluster.lab().profile().nodes) all.push_back(node.name);
    for (const std::string& node : all) {
        cluster.new_card(node);
        cluster.boot_without_daemon(node);
    }
    const std::vector<std::string> failed = start_daemons(cluster, all, patience);
    EXPECT_TRUE(failed.empty()) << cluster.story(failed);
    figures::count("joined_at_once", all.size() - failed.size());
    figures::count("joined_failed", failed.size());

    EXPECT_EQ(cluster.ready_nodes("master-1").size(), all.size() - balancers.size());
    for (const std::string& master : masters) {
        const std::vector<Member> members = cluster.members(master);
        EXPECT_EQ(members.size(), masters.size()) << "asked " << master;
        EXPECT_THAT(members, Each(Field(&Member::learner, false))) << "asked " << master;
        EXPECT_EQ(cluster.cluster_id(master), cluster.cluster_id("master-1"));
    }
}

}  // namespace makina::kubernetes
