#include <gtest/gtest.h>

#include "firstboot/bundle/error.hpp"
#include "tests/crash/cuts.hpp"
#include "tests/crash/node.hpp"
#include "tests/crash/power.hpp"
#include "tests/crash/rig.hpp"
#include "tests/crash/suite.hpp"

namespace makina::crash {
namespace {

struct Subject {
    NodeWish wish;
    bool commits = false;  ///< as in Work
};

class PowerCut : public testing::TestWithParam<Subject> {
  protected:
    void SetUp() override {
        if (const std::string reason = why_not(); !reason.empty()) GTEST_SKIP() << reason;
        node = make_node(GetParam().wish);
        card = workshop() / ("card-" + node.role);
        make_card(card, node.tree);
        node.promise.tables.push_back(first_sector(card));
    }
    void TearDown() override {
        if (!card.empty()) fs::remove(card);
    }
    /// One undisturbed first boot; learns from it what the card is in the end.
    fs::path boot_once() {
        fs::path recorded = record({card,
                                    [&](const fs::path& root) {
                                        const Result result = boot(root);
                                        EXPECT_EQ(result.status, 0) << result.errors;
                                        end = snapshot(root);
                                    },
                                    GetParam().commits},
                                   node.role);
        node.promise.tables.resize(1);
        node.promise.tables.push_back(first_sector(recorded / "after"));
        node.promise.largest_root = file_system_size(recorded / "after");
        EXPECT_EQ(unfinished(node.promise, look_at(recorded / "after", node.promise)), std::vector<std::string>{});
        return recorded;
    }
    [[nodiscard]] std::vector<std::string> resumed(const fs::path& cut) const {
        std::vector<std::string> wrong;
        {
            const Loop loop(cut);
            Mounted root(loop.partition(root_partition), workshop() / ("resume-" + cut.filename().string()));
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

TEST_P(PowerCut, FindsTheCardGrownAfterOneFirstBoot) {
    static_cast<void>(boot_once());
    const Place root = place_of(node.promise.tables.back(), root_partition);
    const Place spare = place_of(node.promise.tables.back(), root_partition + 1);
    EXPECT_EQ(root.offset, root_offset);
    EXPECT_EQ(root.size, card_size - root_offset - spare_size);
    EXPECT_EQ(spare.offset, root.offset + root.size);
    EXPECT_EQ(spare.size, spare_size);
    EXPECT_EQ(node.promise.largest_root, root.size);
    EXPECT_NE(node.promise.tables.front(), node.promise.tables.back());
    if (!may_grow()) {
        GTEST_SKIP()
            << "growing a mounted file system needs CAP_SYS_RESOURCE: only the table was grown under power cuts";
    }
}

TEST_P(PowerCut, LeavesTheOldOrTheNewAndIsResumed) {
    const fs::path recorded = boot_once();
    const Tally tally = cut_power({card, recorded, long_form() ? 60U : 9U, 1, long_form() ? 400U : 40U,
                                   [this](const fs::path& cut) { return resumed(cut); }},
                                  node.promise);
    EXPECT_EQ(tally.faults, std::vector<std::string>{});
    count("crash_states", tally.states);
    count("crash_violations", tally.violated + tally.stuck);
    count("crash_states_resumed", tally.resumed);
}

std::vector<Subject> subjects() {
    if (!long_form()) return {{{"load-balancer", spare_size}, false}, {{"load-balancer", spare_size, true}, true}};
    std::vector<Subject> all;
    for (const char* const role : {"load-balancer", "gateway", "worker", "control-plane"}) {
        for (const bool commits : {false, true}) {
            for (const bool delivery : {false, true}) all.push_back({{role, spare_size, delivery}, commits});
        }
    }
    return all;
}

INSTANTIATE_TEST_SUITE_P(Nodes, PowerCut, testing::ValuesIn(subjects()), [](const auto& parameter) {
    return title(parameter.param.wish) + (parameter.param.commits ? "ThatCommits" : "");
});

}  // namespace
}  // namespace makina::crash
