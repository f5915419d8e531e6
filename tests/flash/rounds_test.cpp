#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <iostream>
#include <thread>

#include "builder/commands/cluster.hpp"
#include "builder/commands/flash_jobs.hpp"
#include "tests/flash/person.hpp"
#include "tests/unit/clusters.hpp"
#include "tests/unit/scratch.hpp"

namespace makina::flashing {
namespace {

constexpr const char* next = "and press Enter: ";

/// An image that takes ten seconds, so that there is time to press Ctrl-C.
class SlowSource : public Source {
  public:
    [[nodiscard]] std::optional<std::uint64_t> size() const override { return pieces * piece_size; }
    [[nodiscard]] std::uint64_t total() const override { return pieces; }
    [[nodiscard]] std::uint64_t done() const override { return at_; }
    [[nodiscard]] std::optional<Piece> next(char*) override {
        if (at_ == pieces) return std::nullopt;
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        return Piece{at_++ * piece_size, Medium::block, false};
    }
    void fill(const Piece& piece, char* data) const override { std::memset(data, 's', piece.size); }

  private:
    static constexpr std::uint64_t pieces = 500;
    std::atomic<std::uint64_t> at_ = 0;
};

/// `flash --all` of three nodes with one reader, without building them.
class Rounds : public testing::Test {
  protected:
    Rounds() {
        for (const char* const name : {"lb-1", "lb-2", "lb-3"})
            nodes_.push_back(clusters::node(name, Role::load_balancer, "192.168.3.241"));
        command_.build.all = true;
        command_.devices = {scratch_ / "card"};
    }
    [[nodiscard]] std::pair<std::string, int> flashed(
        const std::function<FlashRun(const std::vector<const Node*>&)>& together,
        const std::vector<Typed>& person) const {
        return on_a_terminal(
            [&] {
                try {
                    return flash_rounds({&nodes_[0], &nodes_[1], &nodes_[2]}, command_, together);
                } catch (const Mistake& mistake) {
                    std::cerr << mistake.what() << std::endl;
                    return 2;
                }
            },
            person);
    }

    Scratch scratch_;
    std::vector<Node> nodes_;
    FlashCommand command_;
};

TEST_F(Rounds, AskForTheNextCardsAndCountThem) {
    const auto together = [](const std::vector<const Node*>& some) {
        FlashRun run;
        run.outcomes.resize(1);
        if (some[0]->name != "lb-2") run.outcomes[0].flashed.emplace();
        return run;
    };
    const auto [said, code] = flashed(together, {{next, "\n"}, {next, "\n"}});
    EXPECT_EQ(code, 1) << said;
    EXPECT_NE(said.find("put in the next cards, for lb-3, and press Enter"), std::string::npos) << said;
    EXPECT_NE(said.find("2 of 3 cards are verified; failed: lb-2\r\n"), std::string::npos) << said;
}

TEST_F(Rounds, EndAtCtrlCWhenTheNextCardsAreAskedFor) {
    const auto together = [](const std::vector<const Node*>&) {
        FlashRun run;
        run.outcomes.resize(1);
        run.outcomes[0].flashed.emplace();
        return run;
    };
    const auto [said, code] = flashed(together, {{next, "\n"}, {next, "\x03"}});
    EXPECT_EQ(code, 1) << said;
    EXPECT_NE(said.find("2 of 3 cards are verified; not begun: lb-3\r\n"), std::string::npos) << said;
}

FlashRun verified() {
    FlashRun run;
    run.outcomes.resize(1);
    run.outcomes[0].flashed.emplace();
    return run;
}

TEST_F(Rounds, TakeNothingForAnAnswerThatWasTypedBeforeTheQuestion) {
    const auto together = [](const std::vector<const Node*>&) {
        std::cerr << "at work" << std::endl;
        std::this_thread::sleep_for(std::chrono::milliseconds(400));
        return verified();
    };
    const auto [said, code] = flashed(together, {{"at work", "\n\n\n"}, {next, "\x03"}});
    EXPECT_EQ(code, 1) << said;
    EXPECT_NE(said.find("1 of 3 cards are verified; not begun: lb-2, lb-3\r\n"), std::string::npos) << said;
}

TEST_F(Rounds, ComeBackToANodeWhoseTargetCouldNotBeHad) {
    int rounds = 0;
    const auto together = [&rounds](const std::vector<const Node*>& some) {
        FlashRun run = verified();
        if (some[0]->name == "lb-2" && ++rounds == 1) run.outcomes[0] = {std::nullopt, "in use", false};
        return run;
    };
    const auto [said, code] =
        flashed(together, {{next, "\n"}, {"(s and Enter leaves out lb-2): ", "\n"}, {next, "\n"}});
    EXPECT_EQ(code, 0) << said;
    EXPECT_NE(said.find("3 of 3 cards are verified\r\n"), std::string::npos) << said;
}

TEST_F(Rounds, LeaveOutANodeIfAPersonSaysSo) {
    const auto together = [](const std::vector<const Node*>& some) {
        FlashRun run = verified();
        if (some[0]->name == "lb-2") run.outcomes[0] = {std::nullopt, "in use", false};
        return run;
    };
    const auto [said, code] =
        flashed(together, {{next, "\n"}, {"(s and Enter leaves out lb-2): ", "s\n"}, {next, "\n"}});
    EXPECT_EQ(code, 1) << said;
    EXPECT_NE(said.find("2 of 3 cards are verified; failed: lb-2\r\n"), std::string::npos) << said;
}

TEST_F(Rounds, GoOnAndCountIfOneOfThemEndsWithAFault) {
    const auto together = [](const std::vector<const Node*>& some) -> FlashRun {
        if (some[0]->name == "lb-2") throw Error("building lb-2: no overlay");
        return verified();
    };
    const auto [said, code] = flashed(together, {{next, "\n"}, {next, "\n"}});
    EXPECT_EQ(code, 1) << said;
    EXPECT_NE(said.find("building lb-2: no overlay\r\n"), std::string::npos) << said;
    EXPECT_NE(said.find("2 of 3 cards are verified; failed: lb-2\r\n"), std::string::npos) << said;
}

TEST(FinishedCards, AreThoseThatNothingTellsFromAnother) {
    Finished finished;
    DeviceFacts facts;
    facts.name = "sdb";
    facts.sequence = 7;
    finished.note({facts, {}}, "lb-1");
    EXPECT_THROW(finished.require_other({facts, {}}), Mistake);
    facts.sequence = 8;
    EXPECT_NO_THROW(finished.require_other({facts, {}}));
    // A kernel that does not number what is in a reader.
    facts.name = "sdc";
    facts.sequence.reset();
    EXPECT_NO_THROW(finished.require_other({facts, {}}));
    finished.note({facts, {}}, "lb-2");
    EXPECT_THROW(finished.require_other({facts, {}}), Mistake);
    const Scratch scratch;
    const FlashTarget file{std::nullopt, scratch.write("card", "verified")};
    finished.note(file, "lb-3");
    EXPECT_THROW(finished.require_other(file), Mistake);
    std::filesystem::rename(file.file, scratch / "elsewhere");
    EXPECT_NO_THROW(finished.require_other(file));
}

TEST_F(Rounds, EndAtCtrlCAndAskForNoOtherCards) {
    const auto together = [&](const std::vector<const Node*>& some) {
        const FlashTarget target{std::nullopt, command_.devices[0]};
        return run_flash_jobs({{some[0]->name, target, [] { return std::make_shared<SlowSource>(); }}}, command_, {});
    };
    // The second answer is for a program that asks all the same.
    const auto [said, code] = flashed(together, {{"writing", "\x03"}, {next, "\x04"}});
    EXPECT_EQ(code, 1) << said;
    EXPECT_EQ(said.find("put in the next cards"), std::string::npos) << said;
    EXPECT_NE(said.find("0 of 3 cards are verified; failed: lb-1; not begun: lb-2, lb-3\r\n"), std::string::npos)
        << said;
}

}  // namespace
}  // namespace makina::flashing
