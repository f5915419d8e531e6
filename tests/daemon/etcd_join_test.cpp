#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "firstboot/bundle/error.hpp"
#include "firstboot/join/members.hpp"
#include "firstboot/join/standing.hpp"
#include "firstboot/node/node.hpp"
#include "firstboot/run.hpp"
#include "tests/daemon/etcd_model.hpp"
#include "tests/daemon/scene.hpp"

namespace makina::test {
namespace {

using ::testing::HasSubstr;
using Kind = Accident::Kind;

constexpr const char* epoch_key = "/makina/nodes/etcd-3/epoch";

/// The bundle of a card for etcd-3 that was written after the cluster had been formed.
Bundle new_card(std::uint64_t epoch = 2) {
    Bundle bundle = bundle_of("etcd", epoch);
    bundle.node = "etcd-3";
    bundle.address = EtcdModel::address(3) + "/24";
    bundle.genesis.clear();
    bundle.peers.clear();
    for (std::size_t number = 1; number <= 3; ++number) {
        bundle.peers.push_back({"etcd-" + std::to_string(number), "etcd", EtcdModel::address(number)});
    }
    return bundle;
}

/// A cluster in which etcd-3 is dead, and a new card for it.
class EtcdReplacement : public ::testing::Test {
  protected:
    EtcdModel etcd{{"etcd-1", "etcd-2", "etcd-3"}};
    FakeMachine machine;

    EtcdReplacement() { begin_anew(); }

    void begin_anew() {
        const auto before_change = etcd.before_change;
        etcd = EtcdModel({"etcd-1", "etcd-2", "etcd-3"});
        etcd.alive.erase("etcd-3");
        etcd.before_change = before_change;
        etcd.keys[epoch_key] = "1";
        machine = new_machine("etcd");
        write_card(new_card());
    }
    void write_card(const Bundle& bundle) {
        FakeHost host(machine);
        Trust trust = trust_of("etcd");
        trust.node = bundle.node;
        host.put(std::string(Trust::path), encode(trust));
        host.put(kept::bundle, seal(bundle, first_signer()), {0600, "root", "root"});
        host.put(network_file, "[Address]\nAddress=" + bundle.address + "\n");
    }
    std::unique_ptr<FakeHost> powered_on() {
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
    /// Runs for so many seconds at the most, or until it has joined.
    Ending run_for(FakeHost& host, std::int64_t seconds = 1200) {
        host.stop_at = machine.uptime + seconds;
        RunOptions options;
        options.until_joined = true;
        return run(host, options);
    }
    void expect_replaced(const std::string& where) {
        EXPECT_EQ(etcd.wrongs(), std::vector<std::string>()) << where;
        ASSERT_EQ(etcd.members().size(), 3U) << where;
        const Member* const own = etcd.named("etcd-3");
        ASSERT_NE(own, nullptr) << where;
        EXPECT_GT(own->id, 3U) << where;
        EXPECT_FALSE(own->learner) << where;
        EXPECT_EQ(etcd.keys[epoch_key], "2") << where;
        EXPECT_TRUE(machine.files.contains(kept::joined)) << where;
    }
    /// Waits, says these words, and nothing of the cluster's list is changed.
    void expect_waiting(const std::string& words, std::int64_t seconds = 1200) {
        const auto host = powered_on();
        EXPECT_EQ(run_for(*host, seconds), Ending::stopped);
        EXPECT_EQ(host->statuses.back().stage, "join");
        EXPECT_THAT(host->statuses.back().waiting_for, HasSubstr(words));
        EXPECT_EQ(etcd.changes(), 0U);
        EXPECT_EQ(etcd.wrongs(), std::vector<std::string>());
    }

    bool running_ = false;
};

TEST_F(EtcdReplacement, TakesThePlaceOfTheDeadMember) {
    const auto host = powered_on();
    EXPECT_EQ(run_for(*host), Ending::joined) << host->lines.back();
    expect_replaced("");
    const auto in_list = [&](const std::string& words) {
        return std::any_of(host->statuses.begin(), host->statuses.end(),
                           [&](const Status& status) { return status.waiting_for.find(words) != std::string::npos; });
    };
    EXPECT_TRUE(in_list("the proof that etcd-3 is dead: 30 s without a sign of life"));
    EXPECT_TRUE(decode_statement(host->text(statement_path)).member);
}

TEST_F(EtcdReplacement, ComesToItsEndAfterAPowerCutAtEveryStep) {
    const auto undisturbed = powered_on();
    EXPECT_EQ(run_for(*undisturbed), Ending::joined);
    const auto steps = undisturbed->changes;
    const auto first = std::find(steps.begin(), steps.end(), "write " + std::string(statement_path));
    for (const Kind kind : {Kind::cut_before, Kind::cut_half_done, Kind::cut_after}) {
        for (auto at = static_cast<std::size_t>(first - steps.begin()) + 1; at <= steps.size(); ++at) {
            begin_anew();
            const auto host = powered_on();
            host->accident = Accident{kind, at};
            EXPECT_THROW((void)run_for(*host), Cut);
            power_cycle(machine);
            const auto next = powered_on();
            const std::string where = "cut at " + std::to_string(at) + ": " + steps[at - 1];
            EXPECT_EQ(run_for(*next), Ending::joined) << where << "\n" << next->lines.back();
            expect_replaced(where);
            count("replacement_cut_points");
            if (HasFailure()) return count("cut_points_failed");
        }
    }
}

TEST_F(EtcdReplacement, TriesAgainAfterAFaultAtEveryStep) {
    const auto undisturbed = powered_on();
    EXPECT_EQ(run_for(*undisturbed), Ending::joined);
    const auto steps = undisturbed->changes;
    for (const Kind kind : {Kind::fail_before, Kind::fail_after}) {
        for (std::size_t at = 1; at <= steps.size(); ++at) {
            begin_anew();
            const auto host = powered_on();
            host->accident = Accident{kind, at};
            EXPECT_EQ(run_for(*host), Ending::joined) << steps[at - 1];
            expect_replaced(steps[at - 1]);
            count("fault_points");
            if (HasFailure()) return count("fault_points_failed");
        }
    }
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
        expect_replaced(step);
    }
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
    expect_waiting("a newer card: the cluster knows epoch 7 of etcd-3, this one has 2", 300);
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
    expect_replaced("");
    EXPECT_TRUE(host->has("/var/lib/etcd/never-had-a-vote-101/member/wal"));
    EXPECT_GT(etcd.named("etcd-3")->id, 101U);
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
    expect_replaced("");
    EXPECT_LT(machine.uptime, 60);
}

TEST_F(EtcdReplacement, FinishesWhatAnEarlierAttemptHasAdded) {
    etcd.forget(3);
    etcd.add_learner("https://" + EtcdModel::address(3) + ":2380");
    const auto host = powered_on();
    EXPECT_EQ(run_for(*host), Ending::joined);
    expect_replaced("");
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
