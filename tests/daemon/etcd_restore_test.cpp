#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/snapshot.hpp"
#include "firstboot/join/standing.hpp"
#include "firstboot/node/node.hpp"
#include "firstboot/run.hpp"
#include "tests/daemon/at_every_step.hpp"

namespace makina::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Kind = Accident::Kind;

constexpr const char* content = "a snapshot of what the cluster had";
constexpr const char* environment = "/var/lib/makina/etcd.env";
constexpr const char* data = "/var/lib/etcd/default/member/snap/db";
constexpr const char* beside = "/var/lib/etcd/restoring";

/// What `snapshot restore` makes of its last argument.
void make_data(FakeHost& host, const std::string& folder, const std::string& what) {
    host.machine.files[folder].kind = PathFacts::Kind::directory;
    host.put(folder + "/member/snap/db", what);
}

bool is_below(const std::string& path, const std::string& folder) {
    return path == folder || path.rfind(folder + "/", 0) == 0;
}

Answer remove_all(FakeHost& host, const std::vector<std::string>& argv) {
    std::erase_if(host.machine.files, [&](const auto& file) { return is_below(file.first, argv.back()); });
    return {};
}

Answer give_away(FakeHost& host, const std::vector<std::string>& argv) {
    for (auto& [path, file] : host.machine.files) {
        if (is_below(path, argv.back())) file.access = {0600, "etcd", "etcd"};
    }
    return {};
}

Answer print_sum(FakeHost& host, const std::vector<std::string>& argv) {
    return {0, sha256(host.text(argv.back())) + "  " + argv.back() + "\n", ""};
}

/// The programs with which a snapshot is restored.
void give_programs(FakeHost& host) {
    const auto restore = [](FakeHost& one, const std::vector<std::string>& argv) -> Answer {
        if (one.has(beside)) return {1, "", "Error: data-dir \"/var/lib/etcd/restoring\" not empty\n"};
        make_data(one, argv.back(), one.text(argv.at(3)));
        return {};
    };
    host.programs["etcdutl"] = restore;
    host.halves["etcdutl"] = [](FakeHost& one) { make_data(one, beside, "half of it"); };
    host.programs["rm"] = remove_all;
    host.halves["rm"] = [](FakeHost& one) { one.machine.files.erase(std::string(beside) + "/member/snap/db"); };
    host.programs["chown"] = give_away;
    host.programs["sync"] =
        host.programs["rmdir"] = [](FakeHost&, const std::vector<std::string>&) { return Answer(); };
    host.programs["sha256sum"] = print_sum;
}

Bundle card() {
    Bundle bundle = bundle_of("etcd");
    bundle.restore = sha256(content);
    return bundle;
}

/// The only founder of a cluster that begins from a snapshot.
class EtcdRestore : public AtEveryStep {
  protected:
    std::vector<std::string> wrongs;

    EtcdRestore() {
        patience = 600;
        begin_anew();
    }

    void begin_anew() override {
        machine = new_machine("etcd");
        FakeHost host(machine);
        host.put(kept::bundle, seal(card(), first_signer()), {0600, "root", "root"});
        host.put(snapshot_path, content, {0600, "root", "root"});
    }
    /// As systemd does it: with the file that says as whom, and not before.
    void start_etcd(FakeHost& host) {
        if (!host.has(environment)) return;
        if (host.text(data) != content) wrongs.emplace_back("etcd was started without the data of the snapshot");
        if (host.machine.files[data].access != Access{0600, "etcd", "etcd"}) wrongs.emplace_back("etcd cannot read it");
        host.put("/run/active/etcd", "");
    }
    std::unique_ptr<FakeHost> powered_on() override {
        auto host = host_of(machine, "etcd");
        host->after_change = nullptr;
        give_programs(*host);
        host->programs["systemctl"] = [this](FakeHost& one, const std::vector<std::string>& argv) -> Answer {
            if (argv.at(1) == "is-active") return {one.has("/run/active/" + argv.back()) ? 0 : 3, "", ""};
            if (argv.back() == "etcd") start_etcd(one);
            return {};
        };
        host->world = [this](FakeHost& one) {
            if (one.machine.uptime >= 20) one.machine.moment = {issued + a_day, true};
            start_etcd(one);
        };
        start_etcd(*host);
        return host;
    }
    void expect_done(const std::string& where) override {
        EXPECT_THAT(wrongs, ElementsAre()) << where;
        EXPECT_EQ(machine.files[data].content, content) << where;
        EXPECT_TRUE(machine.files.contains(kept::joined)) << where;
        for (const auto& [path, file] : machine.files) {
            EXPECT_FALSE(is_below(path, beside) || path == snapshot_path) << where << " left " << path;
        }
    }
};

TEST_F(EtcdRestore, BeginsTheClusterWithTheDataOfTheSnapshot) {
    const auto host = powered_on();
    EXPECT_EQ(run_for(*host), Ending::joined) << host->lines.back();
    expect_done("");
    const std::string token = card().genesis;
    EXPECT_THAT(
        host->changes,
        testing::Contains("run etcdutl snapshot restore /var/lib/makina/restore.db --name etcd-1 "
                          "--initial-cluster etcd-1=https://192.168.3.251:2380 --initial-cluster-token " +
                          token + " --initial-advertise-peer-urls https://192.168.3.251:2380 --data-dir " + beside));
    EXPECT_EQ(host->text(environment),
              "ETCD_INITIAL_CLUSTER=etcd-1=https://192.168.3.251:2380\n"
              "ETCD_INITIAL_CLUSTER_STATE=new\nETCD_INITIAL_CLUSTER_TOKEN=" +
                  token + "\n");
    // Durable before it has its name, and a member for the others before that.
    const auto at = [&](const std::string& change) {
        return std::find(host->changes.begin(), host->changes.end(), change) - host->changes.begin();
    };
    EXPECT_LT(at("run sync --file-system /var/lib/etcd/restoring"), at("rename /var/lib/etcd/restoring default"));
    EXPECT_LT(at("rename /var/lib/etcd/restoring default"), at("write /var/lib/makina/etcd.env"));
    EXPECT_TRUE(decode_statement(host->text(statement_path)).member);
}

TEST_F(EtcdRestore, ComesToItsEndAfterAPowerCutAtEveryStep) {
    cut_everywhere("restore_cut_points");
}

TEST_F(EtcdRestore, TriesAgainAfterAFaultAtEveryStep) {
    fail_everywhere("fault_points");
}

TEST_F(EtcdRestore, TakesTheOlderProgramWhereTheNewerOneIsNot) {
    const auto host = powered_on();
    host->programs["etcdctl"] = host->programs["etcdutl"];
    host->programs.erase("etcdutl");
    EXPECT_EQ(run_for(*host), Ending::joined) << host->lines.back();
    expect_done("");
}

TEST_F(EtcdRestore, PromisesNothingWithAnotherSnapshotThanTheSealedOne) {
    for (const bool is_missing : {false, true}) {
        begin_anew();
        if (is_missing) machine.files.erase(snapshot_path);
        if (!is_missing) machine.files[snapshot_path].content += "!";
        const auto host = powered_on();
        EXPECT_EQ(run_for(*host), Ending::stopped);
        EXPECT_THAT(host->statuses.back().waiting_for,
                    HasSubstr(std::string("; /var/lib/makina/restore.db ") +
                              (is_missing ? "is missing" : "is not the snapshot that the cluster begins with") +
                              ": write this card anew with makina-image build --restore"));
        const Statement said = decode_statement(host->statement);
        EXPECT_EQ(said.promised.round, 0U);
        EXPECT_FALSE(said.member);
        EXPECT_FALSE(host->has(environment));
        EXPECT_FALSE(host->has(data));
        EXPECT_THAT(wrongs, ElementsAre());
    }
}

TEST_F(EtcdRestore, DoesNotTouchDataThatItDidNotMake) {
    FakeHost(machine).put("/var/lib/etcd/default/member/wal/0.wal", "somebody's");
    const auto host = powered_on();
    EXPECT_EQ(run_for(*host), Ending::stopped);
    EXPECT_EQ(host->text("/var/lib/etcd/default/member/wal/0.wal"), "somebody's");
    EXPECT_FALSE(host->has(beside));
}

/// A cluster that is there: a card with the right to found it from a snapshot takes its dead node's place instead.
TEST(EtcdRestoreInACluster, JoinsTheClusterThatIsThere) {
    for (const bool is_sound : {true, false}) {
        EtcdModel etcd({"etcd-1", "etcd-2", "etcd-3"});
        etcd.alive.erase("etcd-3");
        FakeMachine machine = new_machine("etcd");
        Bundle bundle = card();
        bundle.node = "etcd-3";
        bundle.address = EtcdModel::address(3) + "/24";
        bundle.peers.clear();
        for (std::size_t number = 1; number <= 3; ++number) {
            bundle.peers.push_back({"etcd-" + std::to_string(number), "etcd", EtcdModel::address(number)});
        }
        Trust trust = trust_of("etcd");
        trust.node = bundle.node;
        const auto host = host_of(machine, "etcd");
        host->after_change = nullptr;
        host->put(std::string(Trust::path), encode(trust));
        host->put(kept::bundle, seal(bundle, first_signer()), {0600, "root", "root"});
        host->put(network_file, "[Address]\nAddress=" + bundle.address + "\n");
        host->put(snapshot_path, is_sound ? content : "another");
        give_programs(*host);
        host->network = [&](FakeHost& one, const Request& request) { return etcd.answer(one, request); };
        host->programs["systemctl"] = [&](FakeHost& one, const std::vector<std::string>& argv) -> Answer {
            if (argv.at(1) == "is-active") return {etcd.named("etcd-3") != nullptr ? 0 : 3, "", ""};
            if (argv.at(1) != "stop") etcd.start(one);
            return {};
        };
        host->world = [&](FakeHost& one) {
            etcd.go_on();
            if (one.machine.uptime >= 20) one.machine.moment = {issued + a_day, true};
        };
        host->stop_at = 1200;
        RunOptions options;
        options.until_joined = true;
        EXPECT_EQ(run(*host, options), Ending::joined) << host->lines.back();
        EXPECT_THAT(etcd.wrongs(), ElementsAre());
        EXPECT_EQ(etcd.members().size(), 3U);
        EXPECT_FALSE(host->has(snapshot_path));
        EXPECT_FALSE(host->has(data));
    }
}

}  // namespace
}  // namespace makina::test
