#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <random>
#include <sstream>
#include <thread>

#include "builder/commands/snapshot.hpp"
#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/snapshot.hpp"
#include "tests/etcd/suite.hpp"

namespace makina::lab {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* folder = "/var/lib/makina/snapshots";
constexpr const char* access_key = "AKIATESTS";
constexpr const char* secret_key = "wJalr/K7+tests=";

std::string text_of(const fs::path& path) {
    std::ostringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    return text.str();
}

/// etcdctl on a node, towards its own member.
std::string ask_etcd(const Cluster& cluster, const std::string& node, std::vector<std::string> words) {
    std::vector<std::string> argv = {"etcdctl", "--endpoints=https://" + cluster.address(node) + ":2379",
                                     "--cacert=/etc/etcd/pki/ca.crt", "--cert=/etc/etcd/pki/peer.crt",
                                     "--key=/etc/etcd/pki/peer.key"};
    argv.insert(argv.end(), words.begin(), words.end());
    return cluster.machine(node).run_checked(argv);
}

std::vector<std::string> snapshots_on(const Machine& machine) {
    std::vector<std::string> names;
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(machine.file(folder), none)) {
        names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
}

/// The unit's service, as its timer starts it; true if it did not fail.
bool run_service(const Machine& machine) {
    return machine.run({"/usr/lib/lab/systemctl", "start", "makina-snapshot"}).status == 0;
}

/// All that are there get older; another one gets another name.
void let_time_pass(const Machine& machine) {
    machine.run_checked({"sh", "-c", std::string("touch -d '-20 minutes' ") + folder + "/*.db"});
    std::this_thread::sleep_for(std::chrono::milliseconds(1100));
}

class EtcdSnapshots : public ::testing::Test {
  protected:
    void SetUp() override {
        if (const std::string reason = why_not(); !reason.empty()) GTEST_SKIP() << reason;
        static_cast<void>(workshop());
    }
    /// Three members, formed, with something in them.
    static std::unique_ptr<Cluster> cluster_with(const std::string& name, const Snapshots& snapshots) {
        Profile profile = three_members();
        profile.etcd.snapshots = snapshots;
        profile.etcd.snapshots.every = 600;
        auto cluster = std::make_unique<Cluster>(std::move(profile), workshop() / name);
        for (const std::string& node : three) cluster->new_card(node);
        for (const std::string& node : three) cluster->boot(node);
        EXPECT_TRUE(becomes_true(60, [&] { return cluster->have_joined(three); })) << cluster->story(three);
        for (const char* const fruit : {"apple", "pear", "plum"}) {
            ask_etcd(*cluster, "etcd-1", {"put", std::string("fruit/") + fruit, fruit});
        }
        return cluster;
    }
};

TEST_F(EtcdSnapshots, AreTakenWhenItIsTimeAndTheNewestFewAreKept) {
    Snapshots wanted;
    wanted.keep = 2;
    const auto cluster = cluster_with("snapshots", wanted);
    const Machine& machine = cluster->machine("etcd-1");
    EXPECT_TRUE(run_service(machine));
    const auto first = snapshots_on(machine);
    ASSERT_EQ(first.size(), 1U);
    EXPECT_THAT(first[0], ::testing::MatchesRegex("etcd-1-2[0-9]+T[0-9]+Z\\.db"));
    const fs::path file = machine.file(folder) / first[0];
    EXPECT_EQ(fs::status(file).permissions(), fs::perms(0600));
    EXPECT_EQ(fs::status(machine.file(folder)).permissions(), fs::perms(0700));
    EXPECT_NO_THROW((void)read_snapshot(file));
    // It is not time for another one.
    EXPECT_TRUE(run_service(machine));
    EXPECT_EQ(snapshots_on(machine), first);
    // What a cut has left goes; and of three the oldest.
    for (int more = 0; more < 2; ++more) {
        let_time_pass(machine);
        machine.run_checked(
            {"sh", "-c", std::string("echo half > ") + folder + "/.taking.part; echo half > " + folder + "/.taking"});
        EXPECT_TRUE(run_service(machine));
    }
    const auto last = snapshots_on(machine);
    ASSERT_EQ(last.size(), 2U);
    EXPECT_GT(last[0], first[0]);
    count("snapshots_taken", 3);
}

TEST_F(EtcdSnapshots, AreNotTakenBeforeTheNodeHasJoined) {
    Cluster cluster(three_members(), workshop() / "too-early");
    cluster.new_card("etcd-1");
    cluster.boot("etcd-1");
    EXPECT_TRUE(becomes_true(30, [&] { return !cluster.status("etcd-1", "waiting_for").empty(); }));
    EXPECT_TRUE(run_service(cluster.machine("etcd-1")));
    EXPECT_FALSE(fs::exists(cluster.machine("etcd-1").file(folder)));
}

TEST_F(EtcdSnapshots, FailVisiblyAndKeepTheOlderOnesWhereNoneCanBeTaken) {
    const auto cluster = cluster_with("no-snapshot", {});
    const Machine& machine = cluster->machine("etcd-2");
    EXPECT_TRUE(run_service(machine));
    const auto before = snapshots_on(machine);
    let_time_pass(machine);
    // A program that gives one with a changed byte in it: a card that forgets.
    machine.run_checked(
        {"sh", "-c",
         "printf '#!/bin/sh\\n/usr/bin/etcdctl \"$@\" || exit 1\\ncase \"$*\" in *snapshot\\ save*) for last; do "
         ":; done; printf x | dd of=\"$last\" bs=1 seek=9000 conv=notrunc;; esac\\n' > "
         "/usr/local/bin/etcdctl; chmod 755 /usr/local/bin/etcdctl"});
    const Result damaged = machine.run({"/usr/lib/makina/snapshot"});
    EXPECT_EQ(damaged.status, 1);
    EXPECT_THAT(damaged.errors, HasSubstr("no snapshot: what etcd gave is damaged\n"));
    EXPECT_EQ(snapshots_on(machine), before);
    machine.run_checked({"rm", "/usr/local/bin/etcdctl"});
    machine.run_checked({"/usr/lib/lab/systemctl", "stop", "etcd"});
    const Result silent = machine.run({"/usr/lib/makina/snapshot"});
    EXPECT_EQ(silent.status, 1);
    EXPECT_THAT(silent.errors, HasSubstr("no snapshot: etcd on this node does not answer\n"));
    EXPECT_FALSE(run_service(machine));
    EXPECT_EQ(snapshots_on(machine), before);
    machine.run_checked({"/usr/lib/lab/systemctl", "start", "etcd"});
    EXPECT_TRUE(becomes_true(20, [&] { return run_service(machine); }));
    EXPECT_EQ(snapshots_on(machine).size(), before.size() + 1);
}

/// A machine on the cluster's switch that is no node of it.
std::unique_ptr<Machine> other_machine(const Cluster& cluster, const std::string& name, const std::string& cidr,
                                       const std::map<std::string, std::string>& files) {
    auto machine = std::make_unique<Machine>(name, workshop() / name);
    for (const auto& [path, content] : files) machine->install(path, content, 0600);
    machine->power_on();
    machine->plug(cluster.lan(), "eth0");
    machine->give("eth0", cidr);
    return machine;
}

/// A new key pair: the private and the public one.
std::pair<std::string, std::string> new_key(const fs::path& file) {
    makina::run_checked({{"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "tests", "-f", file.string()}});
    return {text_of(file), text_of(file.string() + ".pub")};
}

fs::path private_file(const fs::path& file, const std::string& content) {
    std::ofstream(file) << content;
    fs::permissions(file, fs::perms(0600));
    return file;
}

TEST_F(EtcdSnapshots, AreCopiedBySshToTheHostThatIsKnownOnly) {
    if (!have_program("sshd") || !have_program("rsync")) GTEST_SKIP() << "needs openssh-server and rsync";
    const auto [host_key, host_public] = new_key(workshop() / "host-key");
    const auto [other_key, other_public] = new_key(workshop() / "other-key");
    const auto [own_key, own_public] = new_key(workshop() / "own-key");
    Snapshots wanted;
    wanted.ssh = "root@192.168.3.200:/srv/etcd";
    wanted.credentials = private_file(workshop() / "credentials", own_key + "192.168.3.200 " + host_public);
    const auto cluster = cluster_with("by-ssh", wanted);
    const std::string settings =
        "AuthorizedKeysFile /etc/ssh/lab-keys\nPasswordAuthentication no\nUsePAM no\nStrictModes no\n";
    const auto nas = other_machine(*cluster, "nas", "192.168.3.200/24",
                                   {{"/etc/ssh/lab-host", host_key},
                                    {"/etc/ssh/lab-other", other_key},
                                    {"/etc/ssh/lab-keys", own_public},
                                    {"/etc/ssh/lab-settings", settings}});
    const auto serve = [&](const std::string& key) {
        (void)nas->run(
            {"sh", "-c",
             "[ ! -f /run/sshd.pid ] || kill $(cat /run/sshd.pid); rm -f /run/sshd.pid; mkdir -p /run/sshd"});
        nas->start(nas->inside({"/usr/sbin/sshd", "-D", "-e", "-f", "/etc/ssh/lab-settings", "-h", key}), "sshd");
        ASSERT_TRUE(becomes_true(10, [&] { return fs::exists(nas->file("/run/sshd.pid")); })) << nas->log("sshd");
    };
    const Machine& machine = cluster->machine("etcd-3");
    // Somebody else is at that address: nothing is given to him, and what was taken stays.
    serve("/etc/ssh/lab-other");
    const Result refused = machine.run({"/usr/lib/makina/snapshot"});
    EXPECT_EQ(refused.status, 1) << refused.output;
    EXPECT_THAT(refused.errors, HasSubstr("Host key verification failed"));
    EXPECT_THAT(refused.errors, HasSubstr("is not copied to root@192.168.3.200:/srv/etcd yet: it is tried again\n"));
    EXPECT_FALSE(run_service(machine));
    EXPECT_FALSE(fs::exists(nas->file("/srv/etcd")));
    const auto taken = snapshots_on(machine);
    ASSERT_EQ(taken.size(), 1U);
    // The right one: the same snapshot is copied, no second one is taken for it.
    serve("/etc/ssh/lab-host");
    const Result copied = machine.run({"/usr/lib/makina/snapshot"});
    EXPECT_EQ(copied.status, 0) << copied.errors << nas->log("sshd");
    EXPECT_EQ(copied.output, "copied: " + taken[0] + "\n");
    EXPECT_EQ(text_of(nas->file("/srv/etcd") / taken[0]), text_of(machine.file(folder) / taken[0]));
    EXPECT_TRUE(run_service(machine));
    EXPECT_EQ(machine.run({"stat", "--format", "%U %a", "/etc/makina/snapshots/ssh.key"}).output, "root 600\n");
    count("snapshots_copied_by_ssh");
}

TEST_F(EtcdSnapshots, AreCopiedToAStoreWithASignatureThatItChecks) {
    Snapshots wanted;
    wanted.bucket = "cellar/etcd";
    wanted.endpoint = "http://192.168.3.201:9000";
    wanted.region = "eu-central-1";
    wanted.credentials =
        private_file(workshop() / "store-credentials", std::string("aws_access_key_id = ") + access_key +
                                                           "\naws_secret_access_key = " + secret_key + "\n");
    const auto cluster = cluster_with("by-s3", wanted);
    const auto store = other_machine(*cluster, "store", "192.168.3.201/24", {});
    const auto serve = [&](const std::string& secret) {
        (void)store->run({"pkill", "python3"});
        store->start(store->beside({"python3", std::string(MAKINA_SOURCE) + "/tests/etcd/s3.py", "192.168.3.201",
                                    "9000", (store->card() / "objects").string(), access_key, secret, wanted.region}),
                     "store");
        EXPECT_TRUE(becomes_true(10, [&] {
            return store->run({"curl", "--silent", "http://192.168.3.201:9000/"}).status == 0;
        })) << store->log("store");
    };
    const Machine& machine = cluster->machine("etcd-1");
    // Everything that curl is told where others can read it.
    machine.run_checked({"sh", "-c",
                         "printf '#!/bin/sh\\necho \"$@\" >> /var/log/curl\\nexec /usr/bin/curl \"$@\"\\n' > "
                         "/usr/local/bin/curl; chmod 755 /usr/local/bin/curl"});
    serve("another secret");
    const Result refused = machine.run({"/usr/lib/makina/snapshot"});
    EXPECT_EQ(refused.status, 1);
    EXPECT_THAT(refused.errors, HasSubstr("403"));
    EXPECT_THAT(refused.errors, HasSubstr("is not copied to s3://cellar/etcd yet: it is tried again\n"));
    EXPECT_THAT(store->log("store"), HasSubstr("SignatureDoesNotMatch"));
    const auto taken = snapshots_on(machine);
    ASSERT_EQ(taken.size(), 1U);
    serve(secret_key);
    const Result copied = machine.run({"/usr/lib/makina/snapshot"});
    EXPECT_EQ(copied.status, 0) << copied.errors << store->log("store");
    EXPECT_EQ(text_of(store->card() / "objects/cellar/etcd" / taken[0]), text_of(machine.file(folder) / taken[0]));
    const std::string told = text_of(machine.file("/var/log/curl"));
    EXPECT_THAT(told, HasSubstr("--aws-sigv4"));
    EXPECT_THAT(told, Not(HasSubstr(secret_key)));
    EXPECT_EQ(machine.run({"stat", "--format", "%U %a", "/etc/makina/snapshots/s3"}).output, "root 600\n");
    count("snapshots_copied_to_a_store");
}

// --- a cluster that is made from one ---

std::string taken_from(const Cluster& cluster, const std::string& node) {
    const Machine& machine = cluster.machine(node);
    EXPECT_TRUE(run_service(machine));
    return text_of(machine.file(folder) / snapshots_on(machine).at(0));
}

void expect_restored(const Cluster& cluster, const Said& before, const std::string& where) {
    std::set<std::string> ids;
    for (const std::string& node : three) {
        const Said said = said_by(cluster, node);
        ids.insert(said.cluster);
        EXPECT_EQ(said.members.size(), 3U) << where;
        for (const Listed& member : said.members) {
            EXPECT_FALSE(member.learner) << where;
            for (const Listed& old : before.members) EXPECT_NE(member.id, old.id) << where;
        }
        EXPECT_EQ(ask_etcd(cluster, node, {"get", "--prefix", "fruit/", "--print-value-only"}), "apple\npear\nplum\n")
            << where;
        EXPECT_FALSE(fs::exists(cluster.machine(node).file(snapshot_path))) << where;
        EXPECT_FALSE(fs::exists(cluster.machine(node).file("/var/lib/etcd/restoring"))) << where;
    }
    EXPECT_EQ(ids.size(), 1U) << where;
    EXPECT_FALSE(ids.contains("") || ids.contains(before.cluster)) << where;
    count("clusters_restored");
    count("clusters_split", ids.size() > 1 ? 1 : 0);
}

TEST_F(EtcdSnapshots, MakeANewClusterOfThreeThroughPowerCuts) {
    const auto cluster = cluster_with("restored", {});
    cluster->keys().note_formed("etcd", 1);
    const std::size_t rounds = long_form() ? 40 : 4;
    for (std::size_t round = 0; round < rounds && !HasFailure(); ++round) {
        std::mt19937_64 random(round);
        const std::string where = "restored with seed " + std::to_string(round);
        const Said before = said_by(*cluster, "etcd-1");
        const std::string snapshot = taken_from(*cluster, three[round % 3]);
        // What is written after it is not in it.
        ask_etcd(*cluster, "etcd-1", {"put", "fruit/quince", "quince"});
        cluster->begin_from(snapshot);
        for (const std::string& node : three) cluster->machine(node).power_off();
        for (const std::string& node : three) cluster->new_card(node);
        for (const std::string& node : three) cluster->boot(node);
        // The first round is without cuts: how long it takes.
        const double started = steady_seconds();
        for (std::size_t cut = 0; cut < 3 * std::min<std::size_t>(round, 1); ++cut) {
            std::this_thread::sleep_for(std::chrono::milliseconds(500 + random() % 6000));
            const std::string& node = three[random() % 3];
            cluster->machine(node).power_off();
            cluster->boot(node);
            count("restores_cut");
        }
        EXPECT_TRUE(becomes_true(90, [&] { return cluster->have_joined(three); })) << where << "\n"
                                                                                   << cluster->story(three);
        if (round == 0) measure("restore", steady_seconds() - started);
        expect_restored(*cluster, before, where);
        cluster->keys().note_formed("etcd", 1);
    }
    // A card that is written later is an ordinary one, which takes the dead node's place.
    cluster->begin_from("");
    cluster->machine("etcd-2").power_off();
    cluster->new_card("etcd-2");
    EXPECT_FALSE(fs::exists(cluster->machine("etcd-2").file(snapshot_path)));
    cluster->boot("etcd-2");
    EXPECT_TRUE(becomes_true(120, [&] { return cluster->have_joined({"etcd-2"}); })) << cluster->story(three);
    EXPECT_EQ(ask_etcd(*cluster, "etcd-2", {"get", "fruit/plum", "--print-value-only"}), "plum\n");
}

TEST_F(EtcdSnapshots, AFounderWhoseSnapshotWasChangedJoinsTheOthersWithoutIt) {
    const auto cluster = cluster_with("changed", {});
    const Said before = said_by(*cluster, "etcd-1");
    cluster->begin_from(taken_from(*cluster, "etcd-1"));
    for (const std::string& node : three) cluster->machine(node).power_off();
    for (const std::string& node : three) cluster->new_card(node);
    std::fstream file(cluster->machine("etcd-3").file(snapshot_path), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(9000) << "x";
    file.close();
    cluster->boot("etcd-3");
    const auto waits = [&] {
        return cluster->status("etcd-3", "waiting_for").find("is not the snapshot that the cluster begins with") !=
               std::string::npos;
    };
    EXPECT_TRUE(becomes_true(30, waits)) << cluster->story(three);
    for (const char* const node : {"etcd-1", "etcd-2"}) cluster->boot(node);
    EXPECT_TRUE(becomes_true(150, [&] { return cluster->have_joined(three); })) << cluster->story(three);
    expect_restored(*cluster, before, "");
}

}  // namespace
}  // namespace makina::lab
