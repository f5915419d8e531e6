#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "firstboot/join/kubeadm.hpp"
#include "firstboot/join/standing.hpp"
#include "firstboot/node/node.hpp"
#include "firstboot/run.hpp"
#include "tests/daemon/at_every_step.hpp"
#include "tests/daemon/kubernetes_scene.hpp"

namespace makina::test {
namespace {

using ::testing::HasSubstr;
using Kind = Accident::Kind;

constexpr const char* turn_key = "/makina/turn";

/// A cluster of three control planes of which the third is dead, its Node still there, and a new card for it.
class ControlPlaneReplacement : public ThirdCard {
  protected:
    ControlPlaneReplacement() : ThirdCard("control-plane") {
        patience = 2400;
        begin_anew();
    }

    void begin_anew() override {
        ThirdCard::begin_anew();
        FakeHost(machine).put(outside_node, "NotReady");
    }
    std::unique_ptr<FakeHost> powered_on() override {
        auto host = host_of(machine, "control-plane");
        host->after_change = nullptr;
        host->network = [this](FakeHost& one, const Request& request) {
            if (request.port == 2379) return etcd.answer(one, request);
            return ask_api_server(one, request, etcd.has_quorum());
        };
        host->programs["kubeadm"] = [this](FakeHost& one, const std::vector<std::string>& argv) {
            Answer answer = kubeadm(one, argv, [this] { return etcd.take_in(); });
            if (has_etcd_pod(one)) etcd.start_pod();
            if (!has_etcd_pod(one)) etcd.start_nothing();
            return answer;
        };
        host->world = [this](FakeHost& one) {
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
    void expect_done(const std::string& where) override {
        ThirdCard::expect_done(where);
        EXPECT_FALSE(etcd.keys.contains(turn_key)) << where;
        const FakeHost host(machine);
        EXPECT_EQ(host.text(outside_node), "Ready") << where;
        EXPECT_EQ(host.text(outside_epoch), "2") << where;
        EXPECT_THAT(host.text("/etc/kubernetes/kubelet.conf"), HasSubstr("server: https://192.168.3.240:9000"))
            << where;
        EXPECT_FALSE(host.has("/etc/kubernetes/makina/discovery.conf")) << where;
        EXPECT_FALSE(host.has("/run/makina/admin/admin.conf")) << where;
    }
    /// A Node whose kubelet has gone is no longer Ready after a while.
    void while_off() override {
        FakeHost host(machine);
        const bool is_known = host.has(outside_node) && !host.has("/etc/kubernetes/kubelet.conf");
        if (is_known) host.put(outside_node, "NotReady");
    }
    void expect_waiting_without_kubelet(const std::string& words) {
        expect_waiting(words);
        EXPECT_FALSE(machine.files.contains("/etc/kubernetes/kubelet.conf"));
    }
};

TEST_F(ControlPlaneReplacement, TakesThePlaceOfTheDeadOne) {
    const auto host = powered_on();
    EXPECT_EQ(run_for(*host), Ending::joined) << host->lines.back();
    expect_done("");
    EXPECT_TRUE(std::ranges::any_of(host->statuses, [](const Status& status) {
        return status.waiting_for.find("the proof that etcd-3 is dead: 30 s without a sign of life") == 0;
    }));
    EXPECT_TRUE(decode_statement(host->text(statement_path)).member);
}

TEST_F(ControlPlaneReplacement, ComesToItsEndAfterAPowerCutAtEveryStep) {
    cut_everywhere("cases", "write " + std::string(statement_path));
}

TEST_F(ControlPlaneReplacement, TriesAgainAfterAFaultAtEveryStep) {
    patience = 6000;
    fail_everywhere("cases");
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
    expect_waiting_without_kubelet("the cluster to miss etcd-3, which it says is Ready: another machine of this name?");
}

TEST_F(ControlPlaneReplacement, WaitsWhileTheOldMemberLives) {
    etcd.alive.insert("etcd-3");
    etcd.unreachable.insert("etcd-3");
    expect_waiting_without_kubelet("the proof that etcd-3 is dead: 30 s without a sign of life");
}

TEST_F(ControlPlaneReplacement, WaitsForAnotherThatIsJoining) {
    etcd.keys[turn_key] = "etcd-9";
    etcd.forget(3);
    expect_waiting_without_kubelet("etcd-9, which is joining, to have come to its end");
}

TEST_F(ControlPlaneReplacement, WaitsWithoutAMajority) {
    etcd.alive.erase("etcd-2");
    expect_waiting_without_kubelet("an API server of the cluster: ");
}

TEST_F(ControlPlaneReplacement, AnOlderCardDoesNotComeBack) {
    etcd.keys[epoch_key] = "3";
    expect_waiting_without_kubelet("a newer card: the cluster knows epoch 3 of etcd-3, this one has 2");
    begin_anew();
    FakeHost(machine).put(outside_epoch, "4");
    expect_waiting_without_kubelet("a newer card: the cluster knows epoch 4 of etcd-3, this one has 2");
}

TEST_F(ControlPlaneReplacement, StopsAndWaitsWhenASecondMemberDiesAtAnyStep) {
    for (const std::string at : {"remove", "add"}) {
        begin_anew();
        patience = 2400;
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
        while_off();
        const auto next = powered_on();
        patience = 6000;
        EXPECT_EQ(run_for(*next), Ending::joined) << at << "\n" << next->lines.back();
        expect_done(at);
    }
}

TEST_F(ControlPlaneReplacement, WhereTheKeysStayWithTheOperatorAPersonJoinsIt) {
    Bundle bundle = new_card();
    std::erase_if(bundle.payloads, [](const Payload& payload) { return payload.name == "kubernetes-ca.key"; });
    write_card(bundle);
    expect_waiting_without_kubelet("a person to run kubeadm: on the first control plane kubeadm init --config ");
}

}  // namespace
}  // namespace makina::test
