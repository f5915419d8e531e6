#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "builder/rehearse/director.hpp"
#include "builder/rehearse/drill.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Kind = Act::Kind;

const std::string address = "192.168.3.240";

std::string refusal(DrillKind kind, const std::string& text) {
    try {
        (void)parse_drill(kind, text);
    } catch (const Error& error) {
        return error.what();
    }
    return "accepted";
}

std::string refusal(const std::vector<Drill>& drills, bool shares = true) {
    try {
        check_drills(drills, {"lb-1", "lb-2"}, shares);
    } catch (const Error& error) {
        return error.what();
    }
    return "accepted";
}

TEST(Drill, IsANodeAndMaybeSeconds) {
    EXPECT_EQ(to_string(parse_drill(DrillKind::kill, "lb-1")), "kill lb-1");
    EXPECT_EQ(to_string(parse_drill(DrillKind::replace, "lb-1")), "replace lb-1");
    EXPECT_EQ(to_string(parse_drill(DrillKind::cut, "lb-1")), "cut lb-1 for 20 s");
    EXPECT_EQ(to_string(parse_drill(DrillKind::cut, "lb-1:7")), "cut lb-1 for 7 s");
    EXPECT_EQ(to_string(parse_drill(DrillKind::restart, "lb-1:3600")), "restart lb-1 for 3600 s");
}

TEST(Drill, RefusesWhatItDoesNotUnderstand) {
    EXPECT_EQ(refusal(DrillKind::kill, ""), "--kill : name a node");
    EXPECT_EQ(refusal(DrillKind::cut, ":5"), "--cut :5: name a node");
    EXPECT_EQ(refusal(DrillKind::kill, "lb-1:5"), "--kill lb-1:5: it does not last a while, say --kill lb-1");
    for (const char* const text : {"lb-1:", "lb-1:0", "lb-1:-1", "lb-1:3601", "lb-1:5s", "lb-1:1e9", "lb-1:5:5"}) {
        EXPECT_THAT(refusal(DrillKind::cut, text), HasSubstr("behind the colon go whole seconds, from 1 to 3600"));
    }
}

TEST(Drill, IsForANodeThatIsOnByThen) {
    EXPECT_EQ(refusal({{DrillKind::kill, "lb-3"}}),
              "--kill lb-3: it is not among the nodes that are booted: lb-1, lb-2");
    EXPECT_EQ(refusal({{DrillKind::kill, "lb-1"}, {DrillKind::cut, "lb-1", 5}}),
              "--cut lb-1: it is off by then; --replace lb-1 puts a new card in");
    EXPECT_EQ(refusal({{DrillKind::kill, "lb-1"}, {DrillKind::replace, "lb-1"}, {DrillKind::cut, "lb-1", 5}}),
              "accepted");
    EXPECT_EQ(refusal({{DrillKind::kill, "holder"}}), "accepted");
    EXPECT_EQ(refusal({{DrillKind::kill, "holder"}}, false),
              "--kill holder: no node that is booted shares the API's address with others");
}

/// A cluster of two balancers that does what a test says, looked at once a second.
class DirectorTest : public ::testing::Test {
  protected:
    void SetUp() override {
        sight.boards = {{"lb-1", true, "joined", "", "", ""}, {"lb-2", true, "joined", "", "", ""}};
        sight.held = {{0, {"lb-1"}}};
        sight.shared_answers = true;
        rules.shared = address;
    }
    Act look() {
        sight.asked = now;
        sight.now = now + 0.5;
        now += 1;
        return director().next(sight);
    }
    /// Looks until something is to be done.
    Act next_act(int looks = 2000) {
        for (int i = 0; i < looks; ++i) {
            if (Act act = look(); act.kind != Kind::wait) return act;
        }
        return {};
    }
    Director& director() {
        if (!director_) director_.emplace(rules);
        return *director_;
    }
    void held_by(std::vector<std::string> names) { sight.held.push_back({now, std::move(names)}); }

    DrillRules rules;
    Sight sight;
    double now = 0;

  private:
    std::optional<Director> director_;
};

TEST_F(DirectorTest, WithoutDrillsEndsWhenAllHaveJoinedForAWhile) {
    sight.boards[1].state = "";
    EXPECT_EQ(next_act(60).kind, Kind::wait);
    sight.boards[1].state = "joined";
    const double joined = now;
    EXPECT_EQ(next_act().kind, Kind::end);
    EXPECT_NEAR(now - joined, rules.steady, 2);
    EXPECT_TRUE(director().passed());
    ASSERT_EQ(director().outcomes().size(), 1U);
    EXPECT_FALSE(director().outcomes()[0].drill.has_value());
}

TEST_F(DirectorTest, AKilledHolderMustBeFollowedByAnother) {
    rules.drills = {{DrillKind::kill, "lb-1"}};
    const Act act = next_act();
    EXPECT_EQ(act.kind, Kind::power_off);
    EXPECT_EQ(act.node, "lb-1");
    EXPECT_EQ(director().current()->node, "lb-1");
    sight.boards[0] = {"lb-1", false, "", "", "", ""};
    EXPECT_EQ(next_act(30).kind, Kind::wait) << "nobody has it yet";
    held_by({"lb-2"});
    EXPECT_EQ(next_act().kind, Kind::end);
    EXPECT_TRUE(director().passed());
    const Outcome& outcome = director().outcomes()[1];
    EXPECT_THAT(outcome.held_before, ElementsAre("lb-1"));
    EXPECT_THAT(outcome.held_after, ElementsAre("lb-2"));
    EXPECT_NEAR(*outcome.moved, 30, 1);
}

TEST_F(DirectorTest, AKilledHolderThatNobodyFollowsIsGivenUpAtTheTime) {
    rules.drills = {{DrillKind::kill, "lb-1"}, {DrillKind::replace, "lb-1"}};
    rules.timeout = 60;
    EXPECT_EQ(next_act().kind, Kind::power_off);
    sight.boards[0] = {"lb-1", false, "", "", "", ""};
    const double killed = now;
    EXPECT_EQ(next_act().kind, Kind::end) << "what comes after a cluster that is not well says nothing";
    EXPECT_NEAR(now - killed, 60, 2);
    EXPECT_FALSE(director().passed());
    EXPECT_THAT(director().outcomes()[1].objections,
                ElementsAre("not well again within 60 s", "192.168.3.240 was last held by lb-1, which is off"));
}

TEST_F(DirectorTest, HolderIsWhoHoldsTheAddressThen) {
    rules.drills = {{DrillKind::kill, "holder"}};
    sight.held = {{0, {"lb-2"}}};
    EXPECT_EQ(next_act().node, "lb-2");
    EXPECT_EQ(director().current()->node, "lb-2");
}

TEST_F(DirectorTest, ADrillForANodeThatIsOffByThenFailsAndTheNextOneBegins) {
    rules.drills = {{DrillKind::kill, "holder"}, {DrillKind::restart, "lb-1", 5}, {DrillKind::cut, "lb-2", 5}};
    EXPECT_EQ(next_act().node, "lb-1");
    sight.boards[0] = {"lb-1", false, "", "", "", ""};
    held_by({"lb-2"});
    EXPECT_EQ(next_act().kind, Kind::cut);
    EXPECT_THAT(director().outcomes()[2].objections, ElementsAre("lb-1 is off by then"));
}

TEST_F(DirectorTest, APulledCableIsPluggedAgainAndBothAreWellAfterwards) {
    rules.drills = {{DrillKind::cut, "lb-1", 20}};
    EXPECT_EQ(next_act().kind, Kind::cut);
    const double pulled = now;
    sight.boards[0].state = "";
    held_by({"lb-2"});
    const Act act = next_act();
    EXPECT_EQ(act.kind, Kind::plug);
    EXPECT_NEAR(now - pulled, 20, 2);
    EXPECT_EQ(next_act(30).kind, Kind::wait);
    sight.boards[0].state = "joined";
    held_by({"lb-1", "lb-2"});
    EXPECT_EQ(next_act(7).kind, Kind::wait) << "one too many";
    held_by({"lb-2"});
    EXPECT_EQ(next_act().kind, Kind::end);
    EXPECT_TRUE(director().passed());
    EXPECT_NEAR(director().outcomes()[1].several, 7, 0.1);
    EXPECT_NEAR(*director().outcomes()[1].moved, 1, 1);
}

TEST_F(DirectorTest, ACutHolderThatNobodyFollowsFailsAlthoughAllIsWellAfterwards) {
    rules.drills = {{DrillKind::cut, "lb-1", 20}};
    EXPECT_EQ(next_act().kind, Kind::cut);
    EXPECT_EQ(next_act().kind, Kind::plug);
    EXPECT_EQ(next_act().kind, Kind::end);
    EXPECT_THAT(director().outcomes()[1].objections, ElementsAre("192.168.3.240 stayed with lb-1, which was cut off"));
}

TEST_F(DirectorTest, ARestartedNodeGetsItsPowerBack) {
    rules.drills = {{DrillKind::restart, "lb-2", 5}};
    EXPECT_EQ(next_act().kind, Kind::power_off);
    sight.boards[1] = {"lb-2", false, "", "", "", ""};
    const Act act = next_act();
    EXPECT_EQ(act.kind, Kind::power_on);
    EXPECT_EQ(act.node, "lb-2");
    sight.boards[1].on = true;
    EXPECT_EQ(next_act(60).kind, Kind::wait);
    sight.boards[1].state = "joined";
    EXPECT_EQ(next_act().kind, Kind::end);
    EXPECT_TRUE(director().passed());
    EXPECT_FALSE(director().outcomes()[1].moved.has_value());
}

TEST_F(DirectorTest, WhatWasSeenBeforeADrillDoesNotCountAfterIt) {
    rules.drills = {{DrillKind::replace, "lb-2"}};
    EXPECT_EQ(next_act().kind, Kind::replace);
    // The new card has not said a word yet.
    sight.boards[1].state = "";
    EXPECT_EQ(next_act(20).kind, Kind::wait);
    sight.boards[1].state = "joined";
    const double joined = now;
    EXPECT_EQ(next_act().kind, Kind::end);
    EXPECT_GE(now - joined, rules.steady);
}

TEST_F(DirectorTest, AClusterThatOnlyWaitsSettlesAndDoesNotPass) {
    rules.drills = {{DrillKind::kill, "lb-2"}};
    rules.until = 10;
    sight.boards[0] = {"lb-1", true, "waiting", "join", "etcd", ""};
    const double began = now;
    EXPECT_EQ(next_act().kind, Kind::power_off);
    EXPECT_NEAR(now - began, rules.settle, 2);
    sight.boards[1] = {"lb-2", false, "", "", "", ""};
    const double killed = now;
    EXPECT_EQ(next_act().kind, Kind::end);
    EXPECT_NEAR(now - killed, 10, 2) << "it was to be judged then";
    EXPECT_FALSE(director().passed());
    for (const Outcome& outcome : director().outcomes()) {
        EXPECT_THAT(outcome.objections, ElementsAre("lb-1 is waiting at join: etcd"));
    }
}

TEST_F(DirectorTest, ANodeThatWorksIsNotSettledAndOneThatCountsSecondsIs) {
    sight.boards[0] = {"lb-1", true, "working", "packages", "", ""};
    EXPECT_EQ(next_act(100).kind, Kind::wait);
    sight.boards[0].state = "waiting";
    for (int i = 0; i < 58; ++i) {
        sight.boards[0].waiting_for = "another " + std::to_string(100 - i) + " s";
        EXPECT_EQ(look().kind, Kind::wait) << i;
    }
    sight.boards[0].waiting_for = "something else";
    EXPECT_EQ(next_act(58).kind, Kind::wait);
    EXPECT_EQ(next_act(5).kind, Kind::end);
}

TEST_F(DirectorTest, AMachineThatWillNotComeUpEndsItAtOnce) {
    sight.boards[1] = {"lb-2", true, "", "", "", "the boot failed: Kernel panic - not syncing"};
    EXPECT_EQ(look().kind, Kind::end);
    EXPECT_THAT(director().outcomes()[0].objections, ElementsAre("lb-2: the boot failed: Kernel panic - not syncing"));
}

TEST_F(DirectorTest, AStartThatDoesNotComeToAnEndIsGivenUp) {
    rules.drills = {{DrillKind::kill, "lb-1"}};
    rules.timeout = 100;
    sight.boards[1].state = "";
    EXPECT_EQ(next_act().kind, Kind::end);
    EXPECT_NEAR(now, 100, 2);
    EXPECT_THAT(director().outcomes()[0].objections,
                ElementsAre("the cluster did not settle within 100 s", "lb-2 is not reached"));
    EXPECT_FALSE(director().passed()) << "a drill was left out";
}

TEST_F(DirectorTest, NamesEverythingThatIsNotWell) {
    sight.boards[0].state = "refused";
    sight.boards[0].waiting_for = "the bundle is another node's";
    sight.held = {};
    EXPECT_THAT(objections(sight, address),
                ElementsAre("lb-1 is refused: the bundle is another node's", "192.168.3.240 is held by nobody"));
    EXPECT_THAT(objections(sight, ""), ElementsAre("lb-1 is refused: the bundle is another node's"));
    sight.boards[0].state = "joined";
    sight.held = {{0, {"lb-1", "lb-2"}}};
    EXPECT_THAT(objections(sight, address), ElementsAre("192.168.3.240 is held by lb-1 and lb-2 at once"));
    sight.held = {{0, {"lb-1"}}};
    sight.shared_answers = false;
    EXPECT_THAT(objections(sight, address), ElementsAre("192.168.3.240 is held by lb-1, but nothing answers there"));
    sight.shared_answers = true;
    EXPECT_THAT(objections(sight, address), IsEmpty());
}

}  // namespace
}  // namespace makina
