#include "tests/kubernetes/at_once.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/clusters.hpp"
#include "tests/unit/figures.hpp"

namespace makina::kubernetes {

Profile with_workers(int count) {
    Profile profile = seven_machines();
    std::erase_if(profile.nodes, [](const Node& node) { return node.role == Role::worker; });
    for (int i = 1; i <= count; ++i) {
        profile.nodes.push_back(
            clusters::node("worker-" + std::to_string(i), Role::worker, "192.168.3." + std::to_string(10 + i)));
    }
    return profile;
}

Profile with_etcd_nodes() {
    Profile profile = seven_machines();
    profile.etcd.topology = EtcdTopology::external;
    for (int i = 1; i <= 3; ++i) {
        profile.nodes.push_back(
            clusters::node("etcd-" + std::to_string(i), Role::etcd, "192.168.3." + std::to_string(230 + i)));
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
    const double begun = lab::steady_seconds();
    for (const std::string& node : all) cluster.machine(node).start_daemon();
    const std::vector<std::string> failed = cluster.wait_until_joined(all, patience, [&](const std::string& /*node*/) {
        figures::measure("joined_at_once", lab::steady_seconds() - begun);
    });
    EXPECT_TRUE(failed.empty()) << cluster.story(failed);
    figures::count("joined_at_once", all.size() - failed.size());
    figures::count("joined_failed", failed.size());

    const Profile& profile = cluster.lab().profile();
    EXPECT_EQ(cluster.ready_nodes("master-1").size(),
              profile.with_role(Role::control_plane).size() + profile.with_role(Role::worker).size());
    if (profile.etcd.topology == EtcdTopology::stacked) (void)cluster.expect_one_etcd("all at once");
}

}  // namespace makina::kubernetes
