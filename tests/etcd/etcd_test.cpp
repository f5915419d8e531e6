#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "tests/etcd/suite.hpp"

namespace makina::lab {
namespace {

void sleep(double seconds) {
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

/// A cluster with everybody's first card in.
std::unique_ptr<Cluster> new_cluster(const std::string& name) {
    auto cluster = std::make_unique<Cluster>(three_members(), workshop() / name);
    for (const std::string& node : three) cluster->new_card(node);
    return cluster;
}

/// What every formation has to come to: the same cluster, with three votes, whomever one asks.
void expect_one_cluster(const Cluster& cluster, const std::string& where) {
    std::set<std::string> ids;
    for (const std::string& node : three) {
        const Said said = said_by(cluster, node);
        ids.insert(said.cluster);
        EXPECT_EQ(said.members.size(), 3U) << where;
        for (const Listed& member : said.members) EXPECT_FALSE(member.learner) << where;
    }
    EXPECT_EQ(ids.size(), 1U) << where;
    EXPECT_FALSE(ids.contains("")) << where;
    count("formations");
    count("clusters_split", ids.size() > 1 ? 1 : 0);
}

class Etcd : public ::testing::Test {
  protected:
    void SetUp() override {
        if (const std::string reason = why_not(); !reason.empty()) GTEST_SKIP() << reason;
        // Before there are threads: mounts are a thread's own business.
        static_cast<void>(workshop());
    }
};

TEST_F(Etcd, ThreeFoundersFormOneCluster) {
    const auto cluster = new_cluster("first");
    for (const std::string& node : three) cluster->boot(node);
    const double started = steady_seconds();
    EXPECT_TRUE(becomes_true(60, [&] { return cluster->have_joined(three); })) << cluster->story(three);
    measure("formation", steady_seconds() - started);
    expect_one_cluster(*cluster, "");
    for (const std::string& node : three) {
        // The keys that nobody else may read, and nothing that says who the members are but what the daemon found out.
        EXPECT_EQ(cluster->machine(node).run({"stat", "--format", "%U %a", "/etc/etcd/pki/peer.key"}).output,
                  "etcd 600\n");
    }
}

/// One formation with what can happen meanwhile, decided by its seed.
void form_through_trouble(std::uint64_t seed) {
    std::mt19937_64 random(seed);
    const auto below = [&](std::uint64_t limit) {
        return std::uniform_int_distribution<std::uint64_t>(0, limit - 1)(random);
    };
    const std::string where = "formation with seed " + std::to_string(seed);
    const auto cluster = new_cluster("trouble-" + std::to_string(seed));
    std::vector<std::string> order = three;
    std::shuffle(order.begin(), order.end(), random);
    for (const std::string& node : order) {
        sleep(static_cast<double>(below(40)) / 10);
        cluster->boot(node);
    }
    for (std::uint64_t trouble = below(5); trouble > 0; --trouble) {
        sleep(static_cast<double>(below(30)) / 10);
        const std::string& node = three[below(3)];
        Machine& machine = cluster->machine(node);
        switch (below(3)) {
            case 0:
                machine.power_off();
                sleep(static_cast<double>(below(20)) / 10);
                cluster->boot(node);
                break;
            case 1:
                cluster->lan().cut(node);
                sleep(static_cast<double>(below(80)) / 10);
                cluster->lan().heal(node);
                break;
            default:
                machine.freeze(true);
                sleep(static_cast<double>(below(50)) / 10);
                machine.freeze(false);
        }
    }
    const double last_fault = steady_seconds();
    EXPECT_TRUE(becomes_true(60, [&] { return cluster->have_joined(three); })) << where << "\n"
                                                                               << cluster->story(three);
    measure("formed_after_last_fault", steady_seconds() - last_fault);
    expect_one_cluster(*cluster, where);
}

TEST_F(Etcd, TheyFormOneClusterInAnyOrderThroughPowerCutsAndCutNetworks) {
    const std::uint64_t formations = long_form() ? 300 : 8;
    std::atomic<std::uint64_t> next = 0;
    std::vector<std::thread> workers;
    workers.reserve(4);
    for (int worker = 0; worker < 4; ++worker) {
        workers.emplace_back([&] {
            for (std::uint64_t seed = next++; seed < formations; seed = next++) {
                form_through_trouble(seed);
                std::error_code none;
                fs::remove_all(workshop() / ("trouble-" + std::to_string(seed)), none);
            }
        });
    }
    for (std::thread& worker : workers) worker.join();
}

TEST_F(Etcd, TwoOfThreeBeginAndTheThirdJoins) {
    const auto cluster = new_cluster("two");
    for (const char* const node : {"etcd-1", "etcd-3"}) cluster->boot(node);
    EXPECT_TRUE(becomes_true(60, [&] { return cluster->have_joined({"etcd-1", "etcd-3"}); })) << cluster->story(three);
    cluster->boot("etcd-2");
    EXPECT_TRUE(becomes_true(60, [&] { return cluster->have_joined(three); })) << cluster->story(three);
    expect_one_cluster(*cluster, "");
}

TEST_F(Etcd, OneAloneBeginsNothing) {
    const auto cluster = new_cluster("alone");
    cluster->boot("etcd-2");
    const std::string words = "etcd-1 and etcd-3: 2 of 3 founders begin the cluster";
    EXPECT_TRUE(becomes_true(30, [&] { return cluster->status("etcd-2", "waiting_for") == words; }))
        << cluster->status("etcd-2", "waiting_for");
    sleep(30);
    EXPECT_EQ(cluster->status("etcd-2", "waiting_for"), words);
    EXPECT_FALSE(fs::exists(cluster->machine("etcd-2").file("/var/lib/etcd/default")));
}

/// A dead member's new card takes its place while somebody writes.
void replace(Cluster& cluster, const std::string& node, const Writer& writer) {
    const Said before = said_by(cluster, node == "etcd-1" ? "etcd-2" : "etcd-1");
    cluster.machine(node).power_off();
    cluster.new_card(node);
    const double powered_on = steady_seconds();
    cluster.boot(node);
    ASSERT_TRUE(becomes_true(120, [&] { return cluster.have_joined({node}); })) << cluster.story(three);
    measure("replacement", steady_seconds() - powered_on);
    measure("rejoin", steady_seconds() - powered_on - 30);
    const Said after = said_by(cluster, node);
    EXPECT_EQ(after.cluster, before.cluster);
    ASSERT_EQ(after.members.size(), 3U);
    std::size_t same = 0;
    for (const Listed& member : after.members) {
        EXPECT_FALSE(member.learner);
        for (const Listed& old : before.members) {
            if (old.id != member.id) continue;
            ++same;
            // Only the dead one went.
            if (member.name == node) count("wrong_removals");
        }
    }
    EXPECT_EQ(same, 2U);
    count("wrong_removals", same == 2 ? 0 : 1);
    const std::size_t lost = writer.lost(node);
    EXPECT_EQ(lost, 0U);
    count("acked_lost", lost);
    count("replacements");
}

/// The cluster of three, formed.
std::unique_ptr<Cluster> formed_cluster(const std::string& name) {
    auto cluster = new_cluster(name);
    for (const std::string& node : three) cluster->boot(node);
    EXPECT_TRUE(becomes_true(60, [&] { return cluster->have_joined(three); })) << cluster->story(three);
    cluster->keys().note_formed("etcd", 1);
    return cluster;
}

TEST_F(Etcd, NewCardsTakeThePlaceOfDeadMembersWhileSomebodyWrites) {
    // One card after the other; the long form has five clusters side by side, an hour and a half long.
    const std::size_t clusters = long_form() ? 5 : 1;
    const std::size_t rounds = long_form() ? 100 : 2;
    std::vector<std::thread> workers;
    for (std::size_t number = 0; number < clusters; ++number) {
        workers.emplace_back([number, rounds] {
            const auto cluster = formed_cluster("replacements-" + std::to_string(number));
            const Writer writer(*cluster, "etcd-1");
            for (std::size_t round = 0; round < rounds && !HasFatalFailure(); ++round) {
                replace(*cluster, three[round % 3], writer);
            }
            const auto [written, seconds] = writer.written();
            count("acked_writes", written);
            EXPECT_GT(static_cast<double>(written) / seconds, 100);
        });
    }
    for (std::thread& worker : workers) worker.join();
}

TEST_F(Etcd, TheDaemonMayBeKilledAtAnyMomentOfAReplacement) {
    // After power-on: before the proof, in it, and then at every step to the vote, which takes some ten seconds.
    std::vector<double> moments = {2.0, 20.0, 32.0};
    const double apart = long_form() ? 0.25 : 2.0;
    for (int at = 0; 34.5 + at * apart < 46; ++at) moments.push_back(34.5 + at * apart);
    std::atomic<std::size_t> next = 0;
    std::vector<std::thread> workers;
    workers.reserve(4);
    for (int worker = 0; worker < 4; ++worker) {
        workers.emplace_back([&, worker] {
            const auto cluster = formed_cluster("killed-" + std::to_string(worker));
            for (std::size_t number = next++; number < moments.size(); number = next++) {
                const std::string& node = three[number % 3];
                const std::string where = "killed after " + std::to_string(moments[number]) + " s";
                const Said before = said_by(*cluster, three[(number + 1) % 3]);
                Machine& old = cluster->machine(node);
                old.power_off();
                Machine& machine = cluster->new_card(node);
                cluster->boot(node);
                sleep(moments[number]);
                (void)machine.run({"pkill", "-KILL", "makina-firstboo"});
                EXPECT_TRUE(becomes_true(5, [&] { return machine.run({"pgrep", "makina-firstboo"}).status != 0; }));
                machine.start_daemon();
                EXPECT_TRUE(becomes_true(120, [&] { return cluster->have_joined({node}); })) << where << "\n"
                                                                                             << cluster->story(three);
                const Said after = said_by(*cluster, node);
                EXPECT_EQ(after.cluster, before.cluster) << where;
                EXPECT_EQ(after.members.size(), 3U) << where;
                count("daemon_kills");
            }
        });
    }
    for (std::thread& worker : workers) worker.join();
}

TEST_F(Etcd, ACardOfALivingNodeWaitsAndChangesNothing) {
    const auto cluster = formed_cluster("twin");
    const Said before = said_by(*cluster, "etcd-1");
    const Machine& living = cluster->machine("etcd-2");
    Cluster::Spare twin = cluster->second_card("etcd-2");
    twin.boot();
    const auto refuses = [&] { return twin.status("waiting_for").find("192.168.3.232 is in use by ") == 0; };
    EXPECT_TRUE(becomes_true(90, refuses)) << twin.status("waiting_for");
    sleep(40);
    EXPECT_TRUE(refuses()) << twin.status("waiting_for");
    EXPECT_EQ(twin.status("stage"), "network");
    EXPECT_TRUE(living.is_on());
    const Said after = said_by(*cluster, "etcd-1");
    ASSERT_EQ(after.members.size(), 3U);
    for (std::size_t at = 0; at < 3; ++at) EXPECT_EQ(after.members[at].id, before.members[at].id);
}

TEST_F(Etcd, AnOlderCardStaysOutside) {
    const auto cluster = formed_cluster("older");
    cluster->machine("etcd-2").power_off();
    cluster->new_card("etcd-2");
    cluster->new_card("etcd-2", "etcd-2-older");
    cluster->boot("etcd-2");
    ASSERT_TRUE(becomes_true(120, [&] { return cluster->have_joined({"etcd-2"}); })) << cluster->story(three);
    cluster->machine("etcd-2").power_off();
    cluster->put_in("etcd-2", "etcd-2-older");
    cluster->boot("etcd-2");
    const std::string words = "a newer card: the cluster knows epoch 3 of etcd-2, this one has 2";
    EXPECT_TRUE(becomes_true(90, [&] { return cluster->status("etcd-2", "waiting_for") == words; }))
        << cluster->story(three);
    const Said said = said_by(*cluster, "etcd-1");
    EXPECT_EQ(said.members.size(), 3U);
}

TEST_F(Etcd, WithoutAMajorityNothingIsChanged) {
    const auto cluster = formed_cluster("quorum");
    for (const char* const node : {"etcd-2", "etcd-3"}) cluster->machine(node).power_off();
    cluster->new_card("etcd-2");
    cluster->boot("etcd-2");
    const auto waits = [&] {
        return cluster->status("etcd-2", "waiting_for").find("a member of the cluster that has a majority") == 0;
    };
    EXPECT_TRUE(becomes_true(60, waits)) << cluster->story(three);
    sleep(long_form() ? 600 : 40);
    EXPECT_TRUE(waits()) << cluster->story(three);
    // The third comes back with its data, and all is well.
    cluster->boot("etcd-3");
    EXPECT_TRUE(becomes_true(150, [&] { return cluster->have_joined(three); })) << cluster->story(three);
    EXPECT_EQ(said_by(*cluster, "etcd-2").members.size(), 3U);
}

}  // namespace
}  // namespace makina::lab
