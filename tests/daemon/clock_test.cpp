#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>

#include "firstboot/bundle/error.hpp"
#include "firstboot/node/node.hpp"
#include "firstboot/run.hpp"
#include "tests/daemon/scene.hpp"

namespace makina {
namespace {

using namespace makina::test;
using testing::HasSubstr;

constexpr const char* role = "gateway";
constexpr std::int64_t a_year = 365 * a_day;

enum class Expected { valid, expired };

struct Clock {
    const char* name;
    Moment moment;
};

/// Twelve clocks, as threats to a node without a battery name them; relative to a bundle that is issued at `issued`
/// and ends a year later, on an image that is a day older.
std::vector<Clock> clocks() {
    return {{"in 1970", {0, false}},
            {"in 2000", {946684800, false}},
            {"before the image, unsynchronised", {issued - 2 * a_day, false}},
            {"before the image, synchronised", {issued - 2 * a_day, true}},
            {"when it was issued", {issued, true}},
            {"a month later", {issued + 30 * a_day, true}},
            {"at its last second", {issued + a_year, true}},
            {"a second too late, unsynchronised", {issued + a_year + 1, false}},
            {"a second too late, synchronised", {issued + a_year + 1, true}},
            {"ten years later, unsynchronised", {issued + 10 * a_year, false}},
            {"ten years later, synchronised", {issued + 10 * a_year, true}},
            {"in 2038, synchronised", {2147483648, true}}};
}

TEST(Clock, DecidesAboutEveryBundleAsItShould) {
    // Bundles: issued and ending at different times; cards: with and without a time that is remembered.
    for (const std::int64_t age : {-400 * a_day, -30 * a_day, std::int64_t{0}, 30 * a_day}) {
        for (const std::int64_t length : {a_day, a_year, 20 * a_year}) {
            for (const std::int64_t known : {std::int64_t{0}, issued + 7 * a_day}) {
                for (const Clock& clock : clocks()) {
                    FakeMachine machine = new_machine(role);
                    Bundle bundle = bundle_of(role);
                    bundle.issued = issued + age;
                    bundle.expires = bundle.issued + length;
                    machine.files[kept::bundle].content = seal(bundle, first_signer());
                    FakeHost host(machine);
                    if (known > 0) host.put(kept::clock, std::to_string(known) + "\n");
                    machine.moment = clock.moment;
                    // The floor: the image's day, the issue, and until a time server has spoken what is remembered.
                    std::int64_t expected_now = clock.moment.now;
                    const std::int64_t remembered = clock.moment.synced ? 0 : known;
                    for (const std::int64_t least : {issued - a_day, bundle.issued, remembered}) {
                        if (expected_now < least) expected_now = least;
                    }
                    const bool expired = clock.moment.synced && expected_now > bundle.expires;
                    count("clock_cases");
                    try {
                        const Verification verification = verify(host);
                        EXPECT_TRUE(verification.outcome.done) << verification.outcome.waiting_for;
                        EXPECT_FALSE(expired) << clock.name;
                    } catch (const Untrusted& untrusted) {
                        EXPECT_TRUE(expired) << clock.name << ": " << untrusted.what();
                        EXPECT_THAT(untrusted.what(), HasSubstr("the bundle expired on 20"));
                        EXPECT_FALSE(host.has(kept::epoch));
                    }
                    EXPECT_EQ(machine.moment.now, expected_now) << clock.name;
                }
            }
        }
    }
}

TEST(Clock, ThatIsTooEarlyForTheSignerIsWaitedFor) {
    FakeMachine machine = new_machine(role);
    const auto host = host_of(machine, role);
    host->not_before = issued + 600;
    run_to_end(*host);
    EXPECT_THAT(host->lines,
                testing::Contains("verify: waiting for the clock: it says 2026-09-21 14:13:21 UTC, and the "
                                  "bundle is valid from 2026-09-21 14:23:20 UTC"));
    EXPECT_TRUE(host->has(kept::joined));
}

TEST(Clock, IsAskedAgainOnceATimeServerHasSetIt) {
    FakeMachine machine = new_machine(role);
    machine.interfaces[0].carrier = false;
    const auto host = host_of(machine, role);
    host->world = [](FakeHost& one) {
        if (one.machine.uptime > 3600) one.machine.moment = {issued + 400 * a_day, true};
    };
    host->stop_at = 7200;
    try {
        (void)run(*host, {});
        ADD_FAILURE();
    } catch (const Untrusted& untrusted) {
        EXPECT_STREQ(untrusted.what(),
                     "the bundle expired on 2027-09-21 14:13:20 UTC; hand over a new one, made with makina-image "
                     "bundle create");
    }
    EXPECT_LT(host->statuses.back().since_uptime, 3800);
    EXPECT_EQ(host->statuses.back().state, "refused");
    EXPECT_FALSE(host->has(kept::joined));
}

TEST(Clock, ThatExpiresWhileTheNodeWaitsIsNoticed) {
    FakeMachine machine = new_machine(role);
    machine.interfaces[0].carrier = false;
    Bundle bundle = bundle_of(role);
    bundle.expires = bundle.issued + 3 * a_day;
    machine.files[kept::bundle].content = seal(bundle, first_signer());
    machine.moment = {issued + a_day, true};
    const auto host = host_of(machine, role);
    host->stop_at = 3 * a_day;
    EXPECT_THROW((void)run(*host, {}), Untrusted);
    EXPECT_GT(host->statuses.back().since_uptime, a_day);
    EXPECT_LT(host->statuses.back().since_uptime, 2 * a_day + 3600);
}

TEST(Clock, OfAJoinedNodeMayPassTheEnd) {
    FakeMachine machine = new_machine(role);
    run_to_end(*host_of(machine, role));
    machine.moment = {issued + 5 * a_year, true};
    const auto host = host_of(machine, role);
    host->world = nullptr;
    host->stop_at = 40 * a_day;
    EXPECT_EQ(run(*host, {}), Ending::stopped);
    EXPECT_EQ(host->statuses.back().state, "joined");
    EXPECT_LT(host->lines.size(), 10U);
    // A time beyond the bundle's end is not remembered: a wrong time server could move the floor there for ever.
    EXPECT_EQ(host->changes, std::vector<std::string>());
}

TEST(Clock, IsRememberedEveryHourAndOnlyIfATimeServerHasSetIt) {
    FakeMachine machine = new_machine(role);
    machine.interfaces[0].carrier = false;
    const auto host = host_of(machine, role);
    host->world = nullptr;
    host->stop_at = a_day;
    EXPECT_EQ(run(*host, {}), Ending::stopped);
    EXPECT_FALSE(host->has(kept::clock));
    FakeMachine joined = new_machine(role);
    run_to_end(*host_of(joined, role));
    const auto later = host_of(joined, role);
    later->stop_at = joined.uptime + a_day;
    EXPECT_EQ(run(*later, {}), Ending::stopped);
    EXPECT_GE(later->changes.size(), 22U);
    EXPECT_LE(later->changes.size(), 24U);
    EXPECT_THAT(later->changes, testing::Each("write /var/lib/makina/clock"));
    EXPECT_GE(std::stoll(joined.files.at(kept::clock).content), joined.moment.now - 3700);
}

/// A joined node that remembers a time half a year ahead, from a time server that was wrong.
class Misled : public testing::Test {
  protected:
    static constexpr std::int64_t wrong = issued + 180 * a_day;

    Misled() {
        run_to_end(*host_of(machine, role));
        power_cycle(machine);
        host = host_of(machine, role);
        host->put(kept::clock, std::to_string(wrong) + "\n");
        host->world = [this](FakeHost& one) {
            const std::int64_t uptime = one.machine.uptime;
            if (uptime < 100) return;
            one.machine.moment = {is_right(uptime) ? issued + 2 * a_day + uptime : wrong + uptime, true};
        };
    }
    [[nodiscard]] std::ptrdiff_t times(const std::string& change) const {
        return std::ranges::count(host->changes, change);
    }
    void run_until(std::int64_t uptime) {
        host->stop_at = uptime;
        EXPECT_EQ(run(*host, {}), Ending::stopped);
    }

    FakeMachine machine = new_machine(role);
    std::unique_ptr<FakeHost> host;
    std::function<bool(std::int64_t)> is_right = [](std::int64_t) { return true; };
};

TEST_F(Misled, TheClockIsNotHeldToWhatIsRememberedOnceATimeServerSaysOtherwise) {
    run_until(500);
    EXPECT_LT(machine.moment.now, issued + 3 * a_day);
    // Before that it is all that the node has.
    EXPECT_EQ(times("set clock"), 1);
    EXPECT_EQ(times("write /var/lib/makina/clock"), 0);
}

TEST_F(Misled, WhatIsRememberedIsWrittenAnewAfterTenMinutes) {
    run_until(1200);
    EXPECT_LT(machine.moment.now, issued + 3 * a_day);
    EXPECT_EQ(times("write /var/lib/makina/clock"), 1);
    EXPECT_LT(std::stoll(host->text(kept::clock)), issued + 3 * a_day);
    // The next power-on has a floor that is right.
    power_cycle(machine);
    host = host_of(machine, role);
    host->world = nullptr;
    run_until(100);
    EXPECT_LT(machine.moment.now, issued + 3 * a_day);
    EXPECT_GE(machine.moment.now, issued + 2 * a_day);
}

TEST_F(Misled, ATimeServerThatIsWrongForMinutesIsNotBelieved) {
    is_right = [](std::int64_t uptime) { return uptime % 900 < 400; };
    run_until(5000);
    EXPECT_GE(std::stoll(host->text(kept::clock)), wrong);
}

TEST(Clock, ThatIsDamagedOnTheCardIsWrittenAnew) {
    FakeMachine machine = new_machine(role);
    FakeHost(machine).put(kept::clock, "nonsense");
    machine.moment = {issued + a_day, true};
    run_to_end(*host_of(machine, role));
    EXPECT_EQ(machine.files.at(kept::clock).content.substr(0, 4), "1790");
}

}  // namespace
}  // namespace makina
