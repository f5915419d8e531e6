#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <vector>

#include "firstboot/bundle/validity.hpp"
#include "tests/bundle/bundles.hpp"
#include "tests/unit/figures.hpp"

namespace makina {
namespace {

constexpr std::int64_t day = 86400;
constexpr std::int64_t year = 365 * day;

/// A bundle and its chain, by their times alone.
struct Times {
    std::int64_t issued, expires, not_before, not_after;
};

Opened opened(const Times& times) {
    Opened made;
    made.bundle = forge::worker_bundle();
    made.bundle.issued = times.issued;
    made.bundle.expires = times.expires;
    made.not_before = times.not_before;
    made.not_after = times.not_after;
    return made;
}

/// Bundles of several lives below chains of several lives, all issued while their chain was valid.
std::vector<Times> bundles() {
    std::vector<Times> all;
    for (const std::int64_t issued : {forge::issue_time, forge::issue_time + 12 * year}) {
        for (const std::int64_t life : {std::int64_t{1}, day, 30 * day, 20 * year}) {
            for (const std::int64_t before : {std::int64_t{0}, day}) {
                for (const std::int64_t after : {std::int64_t{0}, 7 * day, 25 * year}) {
                    all.push_back({issued, issued + life, issued - before, issued + after});
                }
            }
        }
    }
    return all;
}

/// What may be said, put in other words than the code's: by what is true of the clock, not by comparing ends.
Validity expected(const Times& times, const Moment& moment) {
    const bool begun = moment.now >= times.issued && moment.now >= times.not_before;
    if (!begun) return Validity::not_yet;
    if (!moment.synced) return Validity::valid;
    return moment.now <= times.expires && moment.now <= times.not_after ? Validity::valid : Validity::expired;
}

TEST(Row12, JudgesTwelveClocksOverManyBundles) {
    std::size_t cases = 0;
    std::size_t counted[3] = {0, 0, 0};
    for (const Times& times : bundles()) {
        const std::int64_t floor = clock_floor(times.issued - day, times.issued, 0);
        const std::vector<std::int64_t> clocks = {0,          // no battery
                                                  946684800,  // 2000-01-01
                                                  floor - 1,
                                                  floor,
                                                  floor + 1,
                                                  times.expires,
                                                  times.expires + 1,
                                                  times.not_after + 1,
                                                  floor + 10 * year,
                                                  floor - 10 * year,
                                                  2147483648,  // the first second that 32 bits cannot say
                                                  std::numeric_limits<std::int64_t>::max()};
        ASSERT_EQ(clocks.size(), 12U);
        for (const std::int64_t now : clocks) {
            for (const bool synced : {false, true}) {
                const Validity said = judge(opened(times), {now, synced});
                EXPECT_EQ(said, expected(times, {now, synced})) << now << " " << synced << " issued " << times.issued;
                // An unsynchronised clock is never too late.
                EXPECT_FALSE(!synced && said == Validity::expired);
                ++counted[static_cast<int>(said)];
                ++cases;
            }
            // Never below the floor: then no genuine bundle is too early for a clock that was wrong.
            EXPECT_NE(judge(opened(times), {std::max(now, floor), false}), Validity::not_yet);
            EXPECT_EQ(judge(opened(times), {std::max(now, floor), false}), Validity::valid);
        }
    }
    EXPECT_GE(cases, 12U * 30U);
    for (const std::size_t count : counted) EXPECT_GT(count, 0U);
    figures::count("clock_cases", cases);
}

TEST(Row12, JudgesTheEdgesAsSaid) {
    const Opened bundle = opened({1000, 2000, 900, 3000});
    EXPECT_EQ(judge(bundle, {999, true}), Validity::not_yet);
    EXPECT_EQ(judge(bundle, {999, false}), Validity::not_yet);
    EXPECT_EQ(judge(bundle, {1000, true}), Validity::valid);
    EXPECT_EQ(judge(bundle, {2000, true}), Validity::valid);
    EXPECT_EQ(judge(bundle, {2001, true}), Validity::expired);
    EXPECT_EQ(judge(bundle, {2001, false}), Validity::valid);
    EXPECT_EQ(judge(opened({1000, 5000, 900, 3000}), {3001, true}), Validity::expired);
    EXPECT_EQ(judge(opened({1000, 5000, 1100, 3000}), {1050, true}), Validity::not_yet);
}

TEST(Row12, KeepsTheClockAboveAllThatIsKnown) {
    EXPECT_EQ(clock_floor(3, 2, 1), 3);
    EXPECT_EQ(clock_floor(1, 3, 2), 3);
    EXPECT_EQ(clock_floor(2, 1, 3), 3);
    EXPECT_EQ(clock_floor(5, 5, 0), 5);
}

TEST(Row5, RefusesAnOlderEpochThanTheNodeHasUsed) {
    EXPECT_EQ(epoch_objection(5, 3), "epoch 3 is older than 5, which this node has used");
    EXPECT_EQ(epoch_objection(5, 4), "epoch 4 is older than 5, which this node has used");
    EXPECT_EQ(epoch_objection(5, 5), "");
    EXPECT_EQ(epoch_objection(5, 6), "");
    EXPECT_EQ(epoch_objection(std::nullopt, 1), "");
    EXPECT_EQ(epoch_objection(std::numeric_limits<std::uint64_t>::max(), 1),
              "epoch 1 is older than 18446744073709551615, which this node has used");
}

TEST(Row6, RefusesAnEpochThatUsesUpAllNumbers) {
    constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
    EXPECT_EQ(epoch_objection(5, 1005), "");
    EXPECT_EQ(epoch_objection(5, 1006), "epoch 1006 is more than 1000 above 5, which this node has used");
    EXPECT_EQ(epoch_objection(5, most),
              "epoch 18446744073709551615 is more than 1000 above 5, which this node has used");
    EXPECT_EQ(epoch_objection(most - 1, most), "");
    EXPECT_EQ(epoch_objection(std::nullopt, most), "");
}

}  // namespace
}  // namespace makina
