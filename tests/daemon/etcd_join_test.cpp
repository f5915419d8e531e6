#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "firstboot/bundle/error.hpp"
#include "firstboot/join/members.hpp"
#include "firstboot/join/standing.hpp"
#include "firstboot/node/node.hpp"
#include "firstboot/run.hpp"
#include "tests/daemon/at_every_step.hpp"

namespace makina::test {
namespace {

using ::testing::HasSubstr;
using Kind = Accident::Kind;

/// A cluster in which etcd-3 is dead, and a new card for it.
class EtcdReplacement : public ThirdCard {
  protected:
    EtcdReplacement() : ThirdCard("etcd") { begin_anew(); }

    std::unique_ptr<FakeHost> powered_on() override {
        auto host = host_of(machine, "etcd");
        host->after_change = nullptr;
        host->network = [this](FakeHost& one, const Request& request) { return etcd.answer(one, request); };
        host->programs["systemctl"] = [this](FakeHost& one, const std::vector<std::string>& argv) -> Answer {
            if (argv.at(1) == "is-active") return {etcd.named("etcd-3") != nullptr && running_ ? 0 : 3, "", ""};
            running_ = argv.at(1) != "stop";
            if (running_) etcd.start(one);
            return {};
        };
        host->world = [this](FakeHost& one) {
            // systemd tries again.
            if (running_) etcd.start(one);
            etcd.go_on();
            if (one.machine.uptime >= 20) one.machine.moment = {issued + a_day, true};
        };
        running_ = false;
        etcd.start_nothing();
        return host;
    }

    bool running_ = false;
};

TEST_F(EtcdReplacement, TakesThePlaceOfTheDeadMember) {
    const auto host = powered_on();
    EXPECT_EQ(run_for(*host), Ending::joined) << host->lines.back();
    expect_done("");
    const auto in_list = [&](const std::string& words) {
        return std::any_of(host->statuses.begin(), host->statuses.end(),
                           [&](const Status& status) { return status.waiting_for.find(words) != std::string::npos; });
    };
    EXPECT_TRUE(in_list("the proof that etcd-3 is dead: 30 s without a sign of life"));
    EXPECT_TRUE(decode_statement(host->text(statement_path)).member);
}

TEST_F(EtcdReplacement, ComesToItsEndAfterAPowerCutAtEveryStep) {
    cut_everywhere("replacement_cut_points", "write " + std::string(statement_path));
}

TEST_F(EtcdReplacement, TriesAgainAfterAFaultAtEveryStep) {
    fail_everywhere("fault_points");
}

TEST_F(EtcdReplacement, StopsAndWaitsWhenASecondMemberDiesAtAnyStep) {
    for (const std::string step : {"remove", "add", "promote"}) {
        etcd.before_change = [&](const std::string& change) {
            if (change == step) etcd.alive.erase("etcd-2");
        };
        begin_anew();
        const auto host = powered_on();
        EXPECT_EQ(run_for(*host), Ending::stopped) << step;
        EXPECT_EQ(host->statuses.back().state, "waiting") << step;
        EXPECT_EQ(etcd.wrongs(), std::vector<std::string>()) << step;
        const std::size_t before = etcd.changes();
        // It comes back, and everything goes on.
        etcd.before_change = nullptr;
        etcd.alive.insert("etcd-2");
        power_cycle(machine);
        const auto next = powered_on();
        EXPECT_EQ(run_for(*next), Ending::joined) << step << "\n" << next->lines.back();
        EXPECT_GT(etcd.changes(), before);
        expect_done(step);
    }
}

TEST_F(EtcdReplacement, AnEtcdThatItHasNotStartedIsNotTheCluster) {
    // Somebody tries one out on this node, with its certificates; the cluster itself has no majority.
    EtcdModel trial({"etcd-1", "etcd-2", "etcd-3"});
    etcd.alive.erase("etcd-2");
    const auto host = powered_on();
    host->network = [&](FakeHost& one, const Request& request) {
        return request.address == EtcdModel::address(3) ? trial.answer(one, request) : etcd.answer(one, request);
    };
    EXPECT_EQ(run_for(*host), Ending::stopped);
    EXPECT_EQ(host->statuses.back().stage, "join");
    EXPECT_FALSE(decode_statement(host->text(statement_path)).member);
    EXPECT_EQ(etcd.changes() + trial.changes(), 0U);
}

TEST_F(EtcdReplacement, WaitsWhileTheOldMemberLives) {
    etcd.alive.insert("etcd-3");
    etcd.unreachable.insert("etcd-3");
    expect_waiting("the proof that etcd-3 is dead: 30 s without a sign of life");
}

TEST_F(EtcdReplacement, WaitsWhileSomebodyElseHasItsAddress) {
    // Before the address is taken that is the network stage's business; later it is ours.
    const auto host = powered_on();
    const auto world = host->world;
    host->world = [&](FakeHost& one) {
        if (one.machine.uptime > 30) one.machine.neighbours[EtcdModel::address(3)] = "dc:a6:32:99:99:99";
        world(one);
    };
    EXPECT_EQ(run_for(*host), Ending::stopped);
    EXPECT_EQ(host->statuses.back().waiting_for,
              "dc:a6:32:99:99:99 to leave our address: the member that is to be replaced lives");
    EXPECT_EQ(etcd.changes(), 0U);
}

TEST_F(EtcdReplacement, BeginsTheProofAnewAfterEverySignOfLife) {
    const auto host = powered_on();
    const auto world = host->world;
    host->world = [&](FakeHost& one) {
        // Frozen for 20 s of each 25 s.
        const bool lives = one.machine.uptime % 25 < 5;
        lives ? (void)etcd.alive.insert("etcd-3") : (void)etcd.alive.erase("etcd-3");
        etcd.unreachable = {"etcd-3"};
        world(one);
    };
    EXPECT_EQ(run_for(*host), Ending::stopped);
    EXPECT_EQ(etcd.changes(), 0U);
}

TEST_F(EtcdReplacement, WaitsWithoutAMajority) {
    etcd.alive.erase("etcd-2");
    expect_waiting("a member of the cluster that has a majority behind it: 192.168.3.251 (");
}

TEST_F(EtcdReplacement, WaitsWithoutAnyMember) {
    etcd.alive.clear();
    expect_waiting("a member of the cluster that has a majority behind it: 192.168.3.251 (connection refused)");
}

TEST_F(EtcdReplacement, WaitsForASecondDeadMemberOfFive) {
    etcd = EtcdModel({"etcd-1", "etcd-2", "etcd-3", "etcd-4", "etcd-5"});
    etcd.alive = {"etcd-1", "etcd-2", "etcd-5"};
    expect_waiting("etcd-4 to be healthy: a member is replaced only while all the others are");
}

TEST_F(EtcdReplacement, AnOlderCardDoesNotComeBack) {
    etcd.keys[epoch_key] = "7";
    patience = 300;
    expect_waiting("a newer card: the cluster knows epoch 7 of etcd-3, this one has 2");
}

TEST_F(EtcdReplacement, DataThatNeverHadAVoteAndDoesNotStartIsMovedAside) {
    etcd.data_is_damaged = true;
    const auto host = powered_on();
    const auto world = host->world;
    host->world = [&](FakeHost& one) {
        const bool moved = std::any_of(one.machine.files.begin(), one.machine.files.end(), [](const auto& file) {
            return file.first.rfind("/var/lib/etcd/never-had-a-vote-101/", 0) == 0;
        });
        if (moved) etcd.data_is_damaged = false;
        world(one);
    };
    EXPECT_EQ(run_for(*host), Ending::joined) << host->lines.back();
    expect_done("");
    EXPECT_TRUE(host->has("/var/lib/etcd/never-had-a-vote-101/member/wal"));
    EXPECT_GT(etcd.named("etcd-3")->id, 101U);
}

TEST_F(EtcdReplacement, ALearnerThatEndsAgainAndAgainIsAddedAnewThoughItSpeaksToTheOthers) {
    etcd.pod_crashes = true;
    patience = 4000;
    const auto host = powered_on();
    host->world = [&, world = host->world](FakeHost& one) {
        if (one.has("/var/lib/etcd/never-had-a-vote-101/member/wal")) etcd.pod_crashes = false;
        world(one);
    };
    EXPECT_EQ(run_for(*host), Ending::joined) << host->lines.back();
    expect_done("");
    EXPECT_EQ(etcd.removed, (std::vector<std::uint64_t>{3, 101}));
    EXPECT_GT(machine.uptime, patience_with_start);
}

TEST_F(EtcdReplacement, ALearnerWhoseDataIsDamagedIsRemovedThoughAnotherIsNotWell) {
    etcd.data_is_damaged = true;
    etcd.add_voter("etcd-4", "https://192.168.3.254:2380");
    etcd.alive.insert("etcd-4");
    patience = 4000;
    const auto host = powered_on();
    host->world = [&, world = host->world](FakeHost& one) {
        if (one.has("/var/lib/etcd/default/member/wal")) etcd.alive.erase("etcd-4");
        world(one);
    };
    EXPECT_EQ(run_for(*host), Ending::stopped);
    EXPECT_EQ(etcd.removed.size(), 2U);
    EXPECT_EQ(etcd.named("etcd-3"), nullptr);
    EXPECT_EQ(host->statuses.back().waiting_for,
              "etcd-4 to be healthy: a member is replaced only while all the others are");
}

TEST_F(EtcdReplacement, DataThatMayHaveHadAVoteIsNeverMoved) {
    {
        const auto host = powered_on();
        EXPECT_EQ(run_for(*host), Ending::joined);
    }
    // The card sees its bundle once more, and its member was removed meanwhile by somebody.
    etcd.alive.erase("etcd-3");
    const std::uint64_t own = etcd.named("etcd-3")->id;
    etcd.forget(own);
    machine.files.erase(kept::joined);
    write_card(new_card(3));
    power_cycle(machine);
    const auto host = powered_on();
    EXPECT_EQ(run_for(*host), Ending::stopped);
    EXPECT_THAT(host->statuses.back().waiting_for, HasSubstr("a new card is needed"));
    EXPECT_TRUE(host->has("/var/lib/etcd/default/member/wal"));
}

TEST_F(EtcdReplacement, WaitsForAPersonWhereTwoMembersHaveItsPlace) {
    etcd = EtcdModel({"etcd-1", "etcd-2", "etcd-3", "etcd-4"});
    etcd.alive.erase("etcd-3");
    etcd.add_voter("etcd-3", "https://192.168.3.99:2380");
    expect_waiting("a person: etcd-3 and etcd-3 both have our name or our address");
}

TEST_F(EtcdReplacement, JoinsWhereNobodyHadItsPlace) {
    etcd.forget(3);
    const auto host = powered_on();
    EXPECT_EQ(run_for(*host), Ending::joined);
    expect_done("");
    EXPECT_LT(machine.uptime, 60);
}

TEST_F(EtcdReplacement, FinishesWhatAnEarlierAttemptHasAdded) {
    etcd.forget(3);
    etcd.add_learner("https://" + EtcdModel::address(3) + ":2380");
    const auto host = powered_on();
    EXPECT_EQ(run_for(*host), Ending::joined);
    expect_done("");
}

TEST_F(EtcdReplacement, WaitsWhileAnotherOneIsJoining) {
    etcd.forget(3);
    etcd.add_learner("https://192.168.3.77:2380");
    expect_waiting("192.168.3.77, which is joining, to have a vote");
}

TEST(JoinRecord, ReadsWhatItWroteAndNothingElse) {
    for (const JoinRecord& record :
         {JoinRecord{}, JoinRecord{1, 2, true}, JoinRecord{0, 18446744073709551615U, false}}) {
        EXPECT_EQ(decode_join_record(encode(record)), record);
    }
    for (const char* const text : {"", "makina-etcd-join 2\nend\n", "makina-etcd-join 1\nown 0\nend\n",
                                   "makina-etcd-join 1\npromoting no\nend\n", "makina-etcd-join 1\nend\nx",
                                   "makina-etcd-join 1\nown 5\nremoving 4\nend\n"}) {
        EXPECT_THROW((void)decode_join_record(text), Untrusted) << text;
    }
}

}  // namespace
}  // namespace makina::test
