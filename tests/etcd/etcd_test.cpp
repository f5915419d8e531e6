#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iostream>

#include "tests/lab/cluster.hpp"
#include "tests/unit/clusters.hpp"

namespace makina::lab {
namespace {

Profile three_members() {
    Profile profile = clusters::external_etcd();
    return profile;
}

TEST(Etcd, ThreeFoundersFormOneCluster) {
    if (const std::string reason = why_not(); !reason.empty()) GTEST_SKIP() << reason;
    Cluster cluster(three_members(), workshop() / "first");
    const double started = steady_seconds();
    for (const char* const node : {"etcd-1", "etcd-2", "etcd-3"}) {
        cluster.new_card(node);
        cluster.boot(node);
    }
    const bool formed = becomes_true(60, [&] {
        for (const char* const node : {"etcd-1", "etcd-2", "etcd-3"}) {
            if (cluster.status(node, "state") != "joined") return false;
        }
        return true;
    });
    std::cout << steady_seconds() - started << " s\n";
    EXPECT_TRUE(formed);
    for (const char* const node : {"etcd-1", "etcd-2", "etcd-3"}) {
        if (formed) continue;
        std::cout << node << ": " << cluster.machine(node).daemon_status() << "\n"
                  << cluster.machine(node).log("daemon");
        std::cout << cluster.machine(node).run({"cat", "/var/log/etcd.service.log"}).output << "\n";
    }
}

}  // namespace
}  // namespace makina::lab
