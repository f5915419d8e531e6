#include <gtest/gtest.h>

#include "builder/process.hpp"
#include "tests/crash/kills.hpp"
#include "tests/crash/node.hpp"
#include "tests/crash/rig.hpp"
#include "tests/crash/suite.hpp"

namespace makina::crash {
namespace {

class Killed : public testing::TestWithParam<NodeWish> {
  protected:
    void SetUp() override {
        std::string reason = why_not();
        if (!have_program("strace")) reason = "needs strace: apt install strace";
        if (!reason.empty()) GTEST_SKIP() << reason;
        node = make_node(GetParam());
        victim.tree = node.tree;
        victim.argv = daemon_on;
        victim.wrong_midway = [this](const fs::path& root) { return broken(node.promise, found_on(root)); };
        victim.wrong_at_end = [this](const fs::path& root) {
            auto wrong = unfinished(node.promise, found_on(root));
            for (const std::string& line : differences(end, snapshot(root))) wrong.push_back(line);
            return wrong;
        };
        const fs::path root = workshop() / "undisturbed";
        fs::remove_all(root);
        run_checked({{"cp", "-a", node.tree.string(), root.string()}});
        const Result result = run_for_a_minute(daemon_on(root));
        ASSERT_EQ(result.status, 0) << result.errors;
        ASSERT_EQ(unfinished(node.promise, found_on(root)), std::vector<std::string>{}) << result.errors;
        end = snapshot(root);
    }
    [[nodiscard]] Found found_on(const fs::path& root) const {
        Found found;
        read_node(root, node.promise, found);
        return found;
    }
    /// In the short form a part of the roles' points.
    [[nodiscard]] std::vector<Point> points(const std::set<std::string>& calls, std::size_t most) const {
        const std::vector<Point> all = points_of(victim, calls);
        return long_form() ? all : sample(all, most);
    }

    static void counted(const Trials& trials) {
        EXPECT_EQ(trials.faults, std::vector<std::string>{});
        count("error_points", trials.points);
        count("error_points_failed", trials.failed);
    }

    // A run waits a second for answers to its ARP probes.
    static constexpr unsigned at_once = 24;
    Node node;
    Victim victim;
    std::map<std::string, std::string> end;
};

TEST_P(Killed, AtAnyStateChangingCallIsResumed) {
    const Trials trials = try_points(victim, points(changing_calls(), 1000), "signal=SIGKILL", false, at_once);
    EXPECT_EQ(trials.faults, std::vector<std::string>{});
    count("kill_points", trials.points);
    count("kill_points_failed", trials.failed);
}

TEST_P(Killed, OrRefusedByAFullOrFailingCardNeverSaysJoinedWrongly) {
    for (const char* const error : {"error=ENOSPC", "error=EIO"}) {
        counted(try_points(victim, points(failing_calls(), 40), error, false, at_once));
        // A write that fails for ever would also be one to our own threads, which cannot fail so.
        std::set<std::string> calls = failing_calls();
        calls.erase("write");
        counted(try_points(victim, points(calls, 25), error, true, at_once));
    }
}

TEST_P(Killed, OrOnACardThatIsFullNeverSaysJoinedWrongly) {
    std::vector<std::uint64_t> rooms;
    for (std::uint64_t room = 0; room <= 32 << 10; room += long_form() ? 4 << 10 : 8 << 10) rooms.push_back(room);
    counted(try_full(victim, rooms, at_once));
}

std::vector<NodeWish> wishes() {
    if (!long_form()) return {{"load-balancer", 0, true}};
    return {{"load-balancer", 0, true}, {"gateway"}, {"worker", 0, true}, {"control-plane"}};
}

INSTANTIATE_TEST_SUITE_P(Nodes, Killed, testing::ValuesIn(wishes()),
                         [](const auto& parameter) { return title(parameter.param); });

}  // namespace
}  // namespace makina::crash
