#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "builder/rehearse/board.hpp"
#include "builder/rehearse/emulated_cluster.hpp"
#include "firstboot/bundle/error.hpp"
#include "tests/boot/suite.hpp"
#include "tests/unit/clusters.hpp"
#include "tests/unit/scratch.hpp"
#include "tests/unit/small_image.hpp"

namespace makina::boot {
namespace {

double seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

template <typename Condition>
bool within(double patience, Condition condition) {
    for (const double end = seconds() + patience; seconds() < end;) {
        if (condition()) return true;
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return false;
}

/// A cluster whose router, that QEMU's own, has the address which is watched.
ClusterPlan plan_of(const std::vector<std::string>& nodes) {
    Profile profile = clusters::pair();
    profile.network.dns = {clusters::address("9.9.9.9")};
    ClusterPlan plan = plan_cluster(profile, {nodes}, free_ports(profile.nodes.size() + 1));
    plan.shared = plan.outside.router;
    plan.outside.stand_in = MAKINA_IMAGE " stand-in";
    return plan;
}

TEST(Switch, HasARouterOfQemusOwnThatAnswersForItsAddress) {
    if (const std::string reason = why_not(); !reason.empty()) GTEST_SKIP() << reason;
    const EmulatedCluster cluster(plan_of({"lb-1"}), 1, seconds);
    EXPECT_TRUE(within(60, [&] { return !cluster.held().empty(); }));
    EXPECT_EQ(cluster.held().at(0).by.size(), 1U);
}

TEST(Switch, SaysWhatIsWrongIfItsRouterCannotBe) {
    if (const std::string reason = why_not(); !reason.empty()) GTEST_SKIP() << reason;
    ClusterPlan plan = plan_of({"lb-1"});
    plan.outside.router = clusters::address("10.0.0.1");
    EmulatedCluster cluster(plan, 1, seconds);
    std::string fault;
    EXPECT_TRUE(within(60, [&] {
        try {
            cluster.go_on();
        } catch (const Error& error) {
            fault = error.what();
        }
        return !fault.empty();
    }));
    EXPECT_NE(fault.find("the rehearsal's network ended: qemu-system-aarch64 ended with 1"), std::string::npos)
        << fault;
}

TEST(Switch, AMachinesCableIsPulledAndPluggedAndItsPowerGoes) {
    if (const std::string reason = why_not(); !reason.empty()) GTEST_SKIP() << reason;
    const Scratch scratch;
    small_image::make(scratch / "lb-1.img", "lb-1");
    EmulatedCluster cluster(plan_of({"lb-1", "lb-2"}), 2, seconds);
    cluster.insert(0, scratch / "lb-1.img");
    cluster.power_on(0);
    cluster.cut(0);
    EXPECT_TRUE(cluster.is_cut(0));
    cluster.plug(0);
    EXPECT_FALSE(cluster.is_cut(0));
    EXPECT_TRUE(cluster.state(0).on) << cluster.state(0).trouble;
    cluster.power_off(0);
    EXPECT_FALSE(cluster.state(0).on);
    EXPECT_EQ(cluster.power(0), EmulatedCluster::Power::off);
    // The same card again.
    cluster.power_on(0);
    cluster.cut(0);
    EXPECT_TRUE(cluster.state(0).on) << cluster.state(0).trouble;
}

}  // namespace
}  // namespace makina::boot
