#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "tests/genesis/world.hpp"
#include "tests/unit/figures.hpp"

namespace makina::genesis {
namespace {

struct Outcome {
    std::uint64_t schedules = 0, split = 0, second = 0, unsettled = 0, begun = 0, steps = 0;
    std::string first_story;
};

/// A million schedules in the long form, over all kinds of danger.
std::uint64_t schedules(unsigned percent) {
    const std::uint64_t total = figures::long_form() ? 1'000'000 : 200'000;
    return total * percent / 100;
}

std::string joined(const std::vector<std::string>& lines) {
    std::string text;
    for (const std::string& line : lines) text += line + "\n";
    return text;
}

Outcome play(const Dangers& dangers, std::uint64_t count, std::uint64_t first_seed) {
    Outcome outcome;
    std::mutex mutex;
    std::atomic<std::uint64_t> next = 0;
    std::vector<std::thread> workers;
    for (unsigned worker = 0; worker < std::max(1U, std::thread::hardware_concurrency()); ++worker) {
        workers.emplace_back([&] {
            for (std::uint64_t number = next++; number < count; number = next++) {
                World world(dangers, first_seed + number);
                world.trouble(20 + number % 180);
                const bool settled = world.settles(60);
                const bool split = world.is_split();
                const std::scoped_lock lock(mutex);
                ++outcome.schedules;
                outcome.steps += world.steps();
                if (world.clusters() > 0) ++outcome.begun;
                if (world.clusters() > 1) ++outcome.second;
                if (split) ++outcome.split;
                if (!settled) ++outcome.unsettled;
                if ((split || !settled) && outcome.first_story.empty()) {
                    outcome.first_story = "seed " + std::to_string(first_seed + number) + "\n" + joined(world.story());
                }
            }
        });
    }
    for (std::thread& worker : workers) worker.join();
    // What must go wrong, to show that it would be seen, is no figure.
    if (!dangers.lying_cards) {
        figures::count("schedules", outcome.schedules);
        figures::count("schedules_split", outcome.split);
        figures::count("schedule_steps", outcome.steps);
    }
    return outcome;
}

void expect_one_cluster(const Outcome& outcome) {
    EXPECT_EQ(outcome.split, 0U) << outcome.first_story;
    EXPECT_EQ(outcome.unsettled, 0U) << outcome.first_story;
    EXPECT_GT(outcome.begun, outcome.schedules / 2);
}

/// As long as a majority has its first cards.
void expect_one_cluster_ever(const Outcome& outcome) {
    expect_one_cluster(outcome);
    EXPECT_EQ(outcome.second, 0U) << outcome.first_story;
}

TEST(Genesis, ThreeFoundersBeginOneClusterThroughPowerCutsAndCutNetworks) {
    expect_one_cluster_ever(play({.founders = 3}, schedules(35), 1));
}

TEST(Genesis, FiveFoundersBeginOneCluster) {
    expect_one_cluster_ever(play({.founders = 5}, schedules(10), 100'000'000));
    expect_one_cluster_ever(play({.founders = 5, .new_cards = 2}, schedules(10), 150'000'000));
}

TEST(Genesis, ACardThatIsWrittenAnewBeginsNoSecondCluster) {
    expect_one_cluster_ever(play({.founders = 3, .new_cards = 1}, schedules(15), 200'000'000));
    expect_one_cluster(play({.founders = 3, .new_cards = 3}, schedules(10), 250'000'000));
}

TEST(Genesis, ACopyOfACardIsFoundOutByWhoHasMetTheFirst) {
    expect_one_cluster(play({.founders = 3, .new_cards = 1, .copies = true}, schedules(10), 300'000'000));
}

TEST(Genesis, CardsWithoutTheRightJoinWhatTheOthersBegin) {
    const Outcome outcome = play({.founders = 3, .late_right = true}, schedules(5), 350'000'000);
    EXPECT_EQ(outcome.split, 0U) << outcome.first_story;
    EXPECT_EQ(outcome.second, 0U) << outcome.first_story;
}

TEST(Genesis, OneFounderAndTwoFoundersBeginToo) {
    expect_one_cluster_ever(play({.founders = 1}, schedules(2), 400'000'000));
    // Of two, one that is written anew leaves none that can go on.
    const Outcome two = play({.founders = 2, .new_cards = 2}, schedules(3), 500'000'000);
    EXPECT_EQ(two.split, 0U) << two.first_story;
    EXPECT_EQ(two.unsettled, 0U) << two.first_story;
    EXPECT_GT(two.begun, 0U);
}

TEST(Genesis, TheSchedulesFindWhatCardsDoThatLoseTheirWrites) {
    const Outcome outcome = play({.founders = 3, .lying_cards = true}, 5000, 600'000'000);
    EXPECT_GT(outcome.split, 0U);
}

}  // namespace
}  // namespace makina::genesis
