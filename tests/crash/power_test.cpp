#include <gtest/gtest.h>

#include "firstboot/bundle/error.hpp"
#include "tests/crash/cuts.hpp"
#include "tests/crash/node.hpp"
#include "tests/crash/power.hpp"
#include "tests/crash/rig.hpp"
#include "tests/crash/suite.hpp"

namespace makina::crash {
namespace {

std::string first_sector(const fs::path& card) {
    return content_of(card).value().substr(0, 512);
}

class PowerCut : public testing::TestWithParam<const char*> {
  protected:
    void SetUp() override {
        if (const std::string reason = why_not(); !reason.empty()) GTEST_SKIP() << reason;
        node = make_node(GetParam());
        card = workshop() / ("card-" + node.role);
        make_card(card, node.tree);
        node.promise.tables.push_back(first_sector(card));
    }
    void TearDown() override {
        if (!card.empty()) fs::remove(card);
    }
    /// One undisturbed first boot; learns from it what the card is in the end.
    fs::path boot_once(bool commits) {
        const fs::path recorded = record({card,
                                          [&](const fs::path& root) {
                                              const Result result = boot(root);
                                              EXPECT_EQ(result.status, 0) << result.errors;
                                              end = snapshot(root);
                                          },
                                          commits},
                                         node.role);
        node.promise.tables.resize(1);
        node.promise.tables.push_back(first_sector(recorded / "after"));
        node.promise.largest_root = file_system_size(recorded / "after");
        EXPECT_EQ(unfinished(node.promise, look_at(recorded / "after", node.promise)), std::vector<std::string>{});
        return recorded;
    }
    [[nodiscard]] std::vector<std::string> resumed(const fs::path& cut, unsigned worker) const {
        std::vector<std::string> wrong;
        {
            const Loop loop(cut);
            Mounted root(loop.partition(root_partition), workshop() / ("resume-" + std::to_string(worker)));
            const Result result = boot(root.path());
            if (result.status != 0)
                wrong.push_back("exit code " + std::to_string(result.status) + ": " + result.errors);
            for (const std::string& line : differences(end, snapshot(root.path()))) wrong.push_back(line);
            root.unmount();
        }
        for (const std::string& line : unfinished(node.promise, look_at(cut, node.promise))) wrong.push_back(line);
        return wrong;
    }

    Node node;
    fs::path card;
    std::map<std::string, std::string> end;
};

TEST_P(PowerCut, GrowsTheCardInOneFirstBoot) {
    static_cast<void>(boot_once(false));
    const Place before = place_of(node.promise.tables.front(), root_partition);
    const Place after = place_of(node.promise.tables.back(), root_partition);
    const Place spare = place_of(node.promise.tables.back(), root_partition + 1);
    EXPECT_EQ(before.offset, after.offset);
    EXPECT_GT(after.size, 20 * before.size);
    EXPECT_EQ(spare.offset, after.offset + after.size);
    EXPECT_EQ(spare.offset + spare.size, card_size);
    EXPECT_GT(node.promise.largest_root, 20 * root_size);
}

TEST_P(PowerCut, LeavesTheOldOrTheNewAndIsResumed) {
    for (const bool commits : {false, true}) {
        const fs::path recorded = boot_once(commits);
        const Tally tally =
            cut_power(card, recorded, node.promise, long_form() ? 60 : 5, commits ? 1 : 2, long_form() ? 400 : 40,
                      [this](const fs::path& cut, unsigned worker) { return resumed(cut, worker); });
        EXPECT_EQ(tally.faults, std::vector<std::string>{});
        count("crash_states", tally.states);
        count("crash_violations", tally.violated + tally.stuck);
        count("crash_states_resumed", tally.resumed);
    }
}

std::vector<const char*> roles() {
    if (long_form()) return {"load-balancer", "gateway", "worker", "control-plane"};
    return {"load-balancer"};
}

INSTANTIATE_TEST_SUITE_P(Roles, PowerCut, testing::ValuesIn(roles()), [](const auto& parameter) {
    std::string name = parameter.param;
    std::erase(name, '-');
    return name;
});

}  // namespace
}  // namespace makina::crash
