#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "firstboot/join/kubeadm.hpp"
#include "firstboot/join/standing.hpp"
#include "firstboot/node/node.hpp"
#include "firstboot/run.hpp"
#include "tests/daemon/etcd_model.hpp"
#include "tests/daemon/kubernetes_scene.hpp"
#include "tests/daemon/scene.hpp"

namespace makina::test {
namespace {

using ::testing::HasSubstr;
using Kind = Accident::Kind;

constexpr const char* epoch_key = "/makina/nodes/etcd-3/epoch";
constexpr const char* turn_key = "/makina/turn";

/// The bundle of a card for the third control plane that was written after the cluster had been formed.
Bundle new_card(std::uint64_t epoch = 2) {
    Bundle bundle = bundle_of("control-plane", epoch);
    bundle.node = "etcd-3";
    bundle.address = EtcdModel::address(3) + "/24";
    bundle.genesis.clear();
    bundle.peers.clear();
    for (std::size_t number = 1; number <= 3; ++number) {
        bundle.peers.push_back({"etcd-" + std::to_string(number), "control-plane", EtcdModel::address(number)});
    }
    return bundle;
}

/// A cluster of three control planes of which the third is dead, its Node still there, and a new card for it.
class ControlPlaneReplacement : public ::testing::Test {
  protected:
    EtcdModel etcd{{"etcd-1", "etcd-2", "etcd-3"}};
    FakeMachine machine;
    bool cluster_answers = true;

    ControlPlaneReplacement() { begin_anew(); }

    void begin_anew() {
        const auto before_change = etcd.before_change;
        etcd = EtcdModel({"etcd-1", "etcd-2", "etcd-3"});
        etcd.alive.erase("etcd-3");
        etcd.before_change = before_change;
        etcd.keys[epoch_key] = "1";
        machine = new_machine("control-plane");
        write_card(new_card());
        FakeHost(machine).put(outside_node, "NotReady");
    }
    void write_card(const Bundle& bundle) {
        FakeHost host(machine);
        Trust trust = trust_of("control-plane");
        trust.node = bundle.node;
        host.put(std::string(Trust::path), encode(trust));
        host.put(kept::bundle, seal(bundle, first_signer()), {0600, "root", "root"});
        host.put(network_file, "[Address]\nAddress=" + bundle.address + "\n");
    }
    std::unique_ptr<FakeHost> powered_on() {
        auto host = host_of(machine, "control-plane");
        host->after_change = nullptr;
        host->network = [this](FakeHost& one, const Request& request) {
            if (request.port == 2379) return etcd.answer(one, request);
            return ask_api_server(one, request, cluster_answers && etcd.has_quorum());
        };
        host->programs["kubeadm"] = [this](FakeHost& one, const std::vector<std::string>& argv) {
            Answer answer = kubeadm(one, argv, [this] { return etcd.take_in(); });
            if (has_etcd_pod(one)) etcd.start_pod();
            if (!has_etcd_pod(one)) etcd.start_nothing();
            return answer;
        };
        const auto world = host->world;
        host->world = [this, world](FakeHost& one) {
            if (one.has("/etc/kubernetes/kubelet.conf")) {
                one.put("/run/active/kubelet", "");
                one.put(outside_node, "Ready");
            }
            if (has_etcd_pod(one)) etcd.start_pod();
            etcd.go_on();
            if (one.machine.uptime >= 20) one.machine.moment = {issued + a_day, true};
        };
        etcd.start_nothing();
        return host;
    }
    Ending run_for(FakeHost& host, std::int64_t seconds = 2400) {
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
        EXPECT_FALSE(etcd.keys.contains(turn_key)) << where;
        EXPECT_TRUE(machine.files.contains(kept::joined)) << where;
        const FakeHost host(machine);
        EXPECT_EQ(host.text(outside_node), "Ready") << where;
        EXPECT_EQ(host.text(outside_epoch), "2") << where;
        EXPECT_THAT(host.text("/etc/kubernetes/kubelet.conf"), HasSubstr("server: https://192.168.3.240:9000"))
            << where;
        EXPECT_FALSE(host.has("/etc/kubernetes/makina/discovery.conf")) << where;
        EXPECT_FALSE(host.has("/run/makina/admin/admin.conf")) << where;
    }
    /// Waits, says these words, and nothing of the cluster's list is changed.
    void expect_waiting(const std::string& words) {
        const auto host = powered_on();
        EXPECT_EQ(run_for(*host), Ending::stopped);
        EXPECT_EQ(host->statuses.back().stage, "join");
        EXPECT_THAT(host->statuses.back().waiting_for, HasSubstr(words));
        EXPECT_EQ(etcd.changes(), 0U);
        EXPECT_EQ(etcd.wrongs(), std::vector<std::string>());
        EXPECT_FALSE(host->has("/etc/kubernetes/kubelet.conf"));
    }
};

TEST_F(ControlPlaneReplacement, TakesThePlaceOfTheDeadOne) {
    const auto host = powered_on();
    EXPECT_EQ(run_for(*host), Ending::joined) << host->lines.back();
    expect_replaced("");
    EXPECT_TRUE(std::ranges::any_of(host->statuses, [](const Status& status) {
        return status.waiting_for.find("the proof that etcd-3 is dead: 30 s without a sign of life") == 0;
    }));
    EXPECT_TRUE(decode_statement(host->text(statement_path)).member);
}

TEST_F(ControlPlaneReplacement, ComesToItsEndAfterAPowerCutAtEveryStep) {
    const auto undisturbed = powered_on();
    ASSERT_EQ(run_for(*undisturbed), Ending::joined);
    const auto steps = undisturbed->changes;
    const auto first = std::find(steps.begin(), steps.end(), "write " + std::string(statement_path));
    for (const Kind kind : {Kind::cut_before, Kind::cut_half_done, Kind::cut_after}) {
        for (auto at = static_cast<std::size_t>(first - steps.begin()) + 1; at <= steps.size(); ++at) {
            begin_anew();
            const auto host = powered_on();
            host->accident = Accident{kind, at};
            EXPECT_THROW((void)run_for(*host), Cut);
            power_cycle(machine);
            const std::string where = "cut at " + std::to_string(at) + ": " + steps[at - 1];
            const auto again = powered_on();
            // A Node whose kubelet has gone is no longer Ready after a while.
            if (!again->has("/etc/kubernetes/kubelet.conf") && again->has(outside_node))
                again->put(outside_node, "NotReady");
            EXPECT_EQ(run_for(*again), Ending::joined) << where << "\n" << again->lines.back();
            expect_replaced(where);
            count("cases");
            if (HasFailure()) FAIL() << where;
        }
    }
}

TEST_F(ControlPlaneReplacement, TriesAgainAfterAFaultAtEveryStep) {
    const auto undisturbed = powered_on();
    ASSERT_EQ(run_for(*undisturbed), Ending::joined);
    const auto steps = undisturbed->changes;
    for (const Kind kind : {Kind::fail_before, Kind::fail_after}) {
        for (std::size_t at = 1; at <= steps.size(); ++at) {
            begin_anew();
            const auto host = powered_on();
            host->accident = Accident{kind, at};
            const std::string where = "fault at " + std::to_string(at) + ": " + steps[at - 1];
            EXPECT_EQ(run_for(*host, 6000), Ending::joined) << where << "\n" << host->lines.back();
            expect_replaced(where);
            count("cases");
            if (HasFailure()) FAIL() << where;
        }
    }
}

TEST_F(ControlPlaneReplacement, AKubeletThatSpeaksToItsOwnApiServerGoesOnDoingSo) {
    const auto host = powered_on();
    const auto before = host->programs["kubeadm"];
    const std::string own = "clusters:\n- cluster:\n    server: https://192.168.3.253:6443\n";
    host->programs["kubeadm"] = [&](FakeHost& one, const std::vector<std::string>& argv) {
        Answer answer = before(one, argv);
        if (argv.at(1) == "join") one.put("/etc/kubernetes/kubelet.conf", own, {0600, "root", "root"});
        return answer;
    };
    EXPECT_EQ(run_for(*host), Ending::joined) << host->lines.back();
    EXPECT_EQ(host->text("/etc/kubernetes/kubelet.conf"), own);
}

TEST_F(ControlPlaneReplacement, WaitsWhileTheClusterSeesTheOldOne) {
    FakeHost(machine).put(outside_node, "Ready");
    expect_waiting("the cluster to miss etcd-3, which it says is Ready: another machine of this name?");
}

TEST_F(ControlPlaneReplacement, WaitsWhileTheOldMemberLives) {
    etcd.alive.insert("etcd-3");
    etcd.unreachable.insert("etcd-3");
    expect_waiting("the proof that etcd-3 is dead: 30 s without a sign of life");
}

TEST_F(ControlPlaneReplacement, WaitsForAnotherThatIsJoining) {
    etcd.keys[turn_key] = "etcd-9";
    etcd.forget(3);
    expect_waiting("etcd-9, which is joining, to have come to its end");
}

TEST_F(ControlPlaneReplacement, WaitsWithoutAMajority) {
    etcd.alive.erase("etcd-2");
    expect_waiting("an API server of the cluster: ");
}

TEST_F(ControlPlaneReplacement, AnOlderCardDoesNotComeBack) {
    etcd.keys[epoch_key] = "3";
    expect_waiting("a newer card: the cluster knows epoch 3 of etcd-3, this one has 2");
    begin_anew();
    FakeHost(machine).put(outside_epoch, "4");
    expect_waiting("a newer card: the cluster knows epoch 4 of etcd-3, this one has 2");
}

TEST_F(ControlPlaneReplacement, StopsAndWaitsWhenASecondMemberDiesAtAnyStep) {
    for (const std::string at : {"remove", "add"}) {
        begin_anew();
        etcd.before_change = [&](const std::string& change) {
            if (change == at) etcd.alive.erase("etcd-2");
        };
        const auto host = powered_on();
        const auto kubeadm_of = host->programs["kubeadm"];
        host->programs["kubeadm"] = [&](FakeHost& one, const std::vector<std::string>& argv) {
            if (at == "add" && argv.at(1) == "join") etcd.alive.erase("etcd-2");
            return kubeadm_of(one, argv);
        };
        EXPECT_EQ(run_for(*host), Ending::stopped) << at;
        EXPECT_EQ(etcd.wrongs(), std::vector<std::string>()) << at;
        // It comes back with its data, and all ends well.
        etcd.before_change = nullptr;
        etcd.alive.insert("etcd-2");
        power_cycle(machine);
        const auto next = powered_on();
        if (!next->has("/etc/kubernetes/kubelet.conf") && next->has(outside_node)) next->put(outside_node, "NotReady");
        EXPECT_EQ(run_for(*next, 6000), Ending::joined) << at << "\n" << next->lines.back();
        expect_replaced(at);
    }
}

TEST_F(ControlPlaneReplacement, WhereTheKeysStayWithTheOperatorAPersonJoinsIt) {
    Bundle bundle = new_card();
    std::erase_if(bundle.payloads, [](const Payload& payload) { return payload.name == "kubernetes-ca.key"; });
    write_card(bundle);
    expect_waiting("a person to run kubeadm: on the first control plane kubeadm init --config ");
}

}  // namespace
}  // namespace makina::test
