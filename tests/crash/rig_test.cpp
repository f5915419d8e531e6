#include <gtest/gtest.h>

#include "builder/process.hpp"
#include "firstboot/journal.hpp"
#include "firstboot/node/node.hpp"
#include "tests/crash/cuts.hpp"
#include "tests/crash/kills.hpp"
#include "tests/crash/power.hpp"
#include "tests/crash/rig.hpp"
#include "tests/crash/suite.hpp"

namespace makina::crash {
namespace {

/// A card on which a program has everything still to do, for the program that stands for the daemon.
class Rig : public testing::Test {
  protected:
    void SetUp() override {
        if (const std::string reason = why_not(); !reason.empty()) GTEST_SKIP() << reason;
        const fs::path tree = workshop() / "tree";
        promise.bundle = filler(30'000, 1);
        promise.joined = filler(700, 2);
        for (unsigned i = 0; i < 5; ++i) {
            promise.payloads["/etc/makina/payload-" + std::to_string(i)] = filler(300 + 5000 * i, 10 + i);
        }
        Journal journal;
        for (std::size_t i = 0; i < Journal::most_notes; ++i) {
            journal.add({Note::Kind::intent, static_cast<std::int64_t>(1'800'000'000 + i), "network",
                         filler(20 + i % 37, static_cast<unsigned>(i))});
        }
        put(tree.string() + kept::bundle, promise.bundle);
        put(tree.string() + std::string(Journal::path), encode(journal));
        put(workshop() / "input/joined", promise.joined);
        for (const auto& [path, content] : promise.payloads) {
            put((workshop() / "input/payloads").string() + path, content);
        }
        card = workshop() / "before";
        make_card(card, tree);
        promise.tables.push_back(first_sector(card));
    }
    Tally tally_of(const std::string& fault, std::size_t random, bool commits) {
        const fs::path recorded =
            record({card,
                    [&](const fs::path& root) {
                        run_checked({{MAKINA_CRASH_WRITER, fault, root.string(), (workshop() / "input").string()}});
                    },
                    commits},
                   fault);
        const Found after = look_at(recorded / "after", promise);
        EXPECT_EQ(broken(promise, after), std::vector<std::string>{});
        EXPECT_TRUE(after.joined);
        EXPECT_FALSE(after.bundle);
        return cut_power({card, recorded, random, 42}, promise);
    }

    Promise promise;
    fs::path card;
};

TEST_F(Rig, FindsNothingWrongWithACarefulProgram) {
    const Tally tally = tally_of("none", 3, true);
    EXPECT_GT(tally.states, 100U);
    EXPECT_EQ(tally.faults, std::vector<std::string>{});
}

TEST_F(Rig, CatchesEveryCarelessProgram) {
    for (const char* const fault : {"file-not-synced", "folder-not-synced", "in-place", "secrets-first"}) {
        const Tally tally = tally_of(fault, 6, false);
        EXPECT_GT(tally.violated, 0U) << fault << " is not caught in " << tally.states << " states";
        count("seeded_bugs_caught", tally.violated > 0 ? 1 : 0);
    }
}

TEST_F(Rig, CatchesACarelessProgramThatIsKilled) {
    if (!have_program("strace")) GTEST_SKIP() << "needs strace: apt install strace";
    const auto found_on = [this](const fs::path& root) {
        Found found;
        read_node(root, promise, found);
        return found;
    };
    for (const char* const fault : {"none", "secrets-first"}) {
        Victim victim;
        victim.tree = workshop() / "tree";
        victim.argv = [&](const fs::path& root) {
            return std::vector<std::string>{MAKINA_CRASH_WRITER, fault, root, workshop() / "input"};
        };
        victim.wrong_midway = [&](const fs::path& root) { return broken(promise, found_on(root)); };
        victim.wrong_at_end = [&](const fs::path& root) { return unfinished(promise, found_on(root)); };
        const std::vector<Point> points = points_of(victim, {"unlink", "rename"});
        const Trials trials = try_points(victim, points, "signal=SIGKILL", false, 4);
        EXPECT_GE(trials.points, 10U);
        EXPECT_EQ(trials.failed > 0, fault == std::string("secrets-first")) << testing::PrintToString(trials.faults);
    }
}

}  // namespace
}  // namespace makina::crash
