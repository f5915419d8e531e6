#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "firstboot/run.hpp"
#include "tests/daemon/scene.hpp"

// The certificates that kubeadm init makes end a year after the time that the node has.
namespace makina::test {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::StartsWith;

/// The first control plane, whose clock a time server sets at this uptime.
struct Beginning {
    explicit Beginning(std::int64_t set) {
        if (set == 0) machine.moment = {issued + a_day, true};
        host->world = [set, others = host->world](FakeHost& one) {
            others(one);
            one.machine.moment.synced = one.machine.uptime >= set;
        };
        host->programs["kubeadm"] = [this, good = host->programs["kubeadm"]](FakeHost& one,
                                                                             const std::vector<std::string>& argv) {
            begun = one.machine.uptime;
            return good(one, argv);
        };
        run_to_end(*host);
    }
    [[nodiscard]] std::vector<std::string> waited_for() const {
        std::vector<std::string> all;
        for (const Status& status : host->statuses) all.push_back(status.waiting_for);
        return all;
    }

    FakeMachine machine = new_machine("control-plane");
    std::unique_ptr<FakeHost> host = host_of(machine, "control-plane");
    std::int64_t begun = 0;  ///< uptime
};

TEST(UnsetClock, IsWaitedForBeforeKubeadmInit) {
    const Beginning node(150);
    EXPECT_GE(node.begun, 150);
    EXPECT_LT(node.begun, 160);
    EXPECT_THAT(node.waited_for(), Contains("the clock to be synchronised, 295 seconds more at most"));
    EXPECT_EQ(node.host->statuses.back().notice, "");
}

TEST(UnsetClock, IsWaitedForNoLongerThanFiveMinutes) {
    const Beginning node(100000);
    EXPECT_GE(node.begun, 300);
    EXPECT_LT(node.begun, 330);
    const std::string words = "no time server had set the clock when kubeadm began, it said 2026-09-22 14:";
    EXPECT_THAT(node.host->lines, Contains(StartsWith("note: " + words)));
    EXPECT_THAT(node.host->statuses.back().notice, StartsWith(words));
    EXPECT_THAT(node.host->statuses.back().notice,
                HasSubstr("the certificates that kubeadm makes here end a year after that"));
}

TEST(UnsetClock, IsNoReasonToWaitOnceItIsSet) {
    const Beginning node(0);
    EXPECT_LT(node.begun, 60);
    EXPECT_THAT(node.waited_for(), testing::Not(Contains(HasSubstr("the clock to be synchronised"))));
}

}  // namespace
}  // namespace makina::test
