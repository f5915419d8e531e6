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

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
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
            if (!one.text("/etc/kubernetes/kubelet.conf").empty()) {
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
        const bool is_known = host.has(outside_node) && host.text("/etc/kubernetes/kubelet.conf").empty();
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

TEST_F(ControlPlaneReplacement, BeginsAgainWhenKubeadmHasHungAtAnyOfItsPhases) {
    patience = 9000;
    hang_everywhere("cases", "kubeadm", 1500);
}

TEST_F(ControlPlaneReplacement, BeginsAnewIfAPowerCutHasEmptiedWhatKubeadmWrote) {
    for (const std::string path : {"/etc/kubernetes/kubelet.conf", "/var/lib/kubelet/config.yaml"}) {
        begin_anew();
        const auto host = powered_on();
        host->programs["kubeadm"] = [good = host->programs["kubeadm"]](FakeHost& one,
                                                                       const std::vector<std::string>& argv) {
            Answer answer = good(one, argv);
            if (argv.at(1) == "join") throw Cut{};
            return answer;
        };
        EXPECT_THROW((void)run_for(*host), Cut) << path;
        machine.files.at(path).content.clear();
        power_cycle(machine);
        while_off();
        // Its kubelet does not run with it.
        FakeHost(machine).put(outside_node, "NotReady");
        const auto again = powered_on();
        EXPECT_EQ(run_for(*again), Ending::joined) << path << ": " << again->lines.back();
        expect_done(path);
        EXPECT_NE(again->text(path), "") << path;
        // What its etcd had is kept beside.
        EXPECT_THAT(machine.files, testing::Contains(testing::Key(HasSubstr("/etcd-of-a-join-that-failed-")))) << path;
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

TEST_F(ControlPlaneReplacement, JoinsWithoutATimeServerAfterFiveMinutes) {
    const auto host = powered_on();
    host->world = [others = host->world](FakeHost& one) {
        others(one);
        one.machine.moment.synced = false;
    };
    std::int64_t begun = 0;
    host->programs["kubeadm"] = [&begun, good = host->programs["kubeadm"]](FakeHost& one,
                                                                           const std::vector<std::string>& argv) {
        if (begun == 0) begun = one.machine.uptime;
        return good(one, argv);
    };
    EXPECT_EQ(run_for(*host), Ending::joined) << host->lines.back();
    expect_done("");
    EXPECT_GE(begun, 300);
    EXPECT_LT(begun, 400);
    EXPECT_THAT(host->statuses.back().notice, HasSubstr("no time server had set the clock when kubeadm began"));
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

/// The second control plane joins a cluster of one, whose API server on this node comes up too late, or never.
class SecondControlPlane : public ControlPlaneReplacement {
  protected:
    void begin_anew() override {
        ControlPlaneReplacement::begin_anew();
        etcd = EtcdModel(std::vector<std::string>(names.begin(), names.end()));
        Bundle bundle = new_card();
        bundle.peers.clear();
        for (std::size_t number = 1; number <= names.size(); ++number) {
            bundle.peers.push_back({names[number - 1], role, EtcdModel::address(number)});
        }
        if (names.size() < 3) bundle.peers.push_back({"etcd-3", role, EtcdModel::address(3)});
        write_card(bundle);
        machine.files.erase(outside_node);
    }
    /// The API server on this node answers from the nth join on.
    std::unique_ptr<FakeHost> with_api_from(int good_join) {
        auto host = powered_on();
        host->network = [this, good_join, next = host->network](FakeHost& one, const Request& request) {
            const bool is_own = request.port == 6443 && request.address == EtcdModel::address(3);
            if (is_own && joins < good_join) return Response{0, "", "connection refused", false};
            return next(one, request);
        };
        host->programs["kubeadm"] = [this, next = host->programs["kubeadm"]](FakeHost& one,
                                                                             const std::vector<std::string>& argv) {
            if (argv.at(1) == "join" && argv.at(2) != "phase") begun.push_back(one.machine.uptime);
            joins = static_cast<int>(begun.size());
            if (argv.at(1) == "reset") {
                EXPECT_EQ(etcd.named("etcd-3"), nullptr);
            }
            return next(one, argv);
        };
        return host;
    }

    std::vector<std::string> names = {"etcd-1"};
    int joins = 0;
    std::vector<std::int64_t> begun;
};

TEST_F(SecondControlPlane, LeavesTheFirstItsMajorityWhenItsJoinComesToNothing) {
    begin_anew();
    patience = 6000;
    const auto host = with_api_from(3);
    EXPECT_EQ(run_for(*host), Ending::joined) << host->lines.back();
    EXPECT_EQ(etcd.wrongs(), std::vector<std::string>());
    EXPECT_EQ(etcd.members().size(), 2U);
    ASSERT_EQ(begun.size(), 3U);
    // The second attempt has as much time as the first.
    for (std::size_t at = 1; at < begun.size(); ++at) EXPECT_GE(begun[at] - begun[at - 1], 600);
}

TEST_F(SecondControlPlane, KeepsTheDataOfTheTwoNewestJoins) {
    begin_anew();
    patience = 60000;
    const auto host = with_api_from(6);
    host->programs["rm"] = [](FakeHost& one, const std::vector<std::string>& argv) {
        std::erase_if(one.machine.files, [&](const auto& file) { return file.first.starts_with(argv.back()); });
        return Answer{};
    };
    EXPECT_EQ(run_for(*host), Ending::joined) << host->lines.back();
    EXPECT_THAT(host->list("/var/lib"),
                AllOf(Contains("etcd-of-a-join-that-failed-4"), Contains("etcd-of-a-join-that-failed-5"),
                      Not(Contains("etcd-of-a-join-that-failed-3"))));
}

TEST_F(SecondControlPlane, KeepsItsDataWhileTheOthersNeedIt) {
    names = {"etcd-1", "etcd-2"};
    begin_anew();
    patience = 6000;
    const auto host = with_api_from(2);
    host->world = [this, next = host->world](FakeHost& one) {
        next(one);
        if (joins == 1) etcd.alive.erase("etcd-2");
    };
    EXPECT_EQ(run_for(*host), Ending::stopped);
    EXPECT_EQ(host->statuses.back().waiting_for,
              "etcd-2 to be healthy: a member is replaced only while all the others are; this node's etcd and its data "
              "are kept for it");
    EXPECT_EQ(etcd.wrongs(), std::vector<std::string>());
    EXPECT_EQ(etcd.members().size(), 3U);
    EXPECT_TRUE(etcd.has_quorum());
}

TEST_F(ControlPlaneReplacement, WhereTheKeysStayWithTheOperatorAPersonJoinsIt) {
    Bundle bundle = new_card();
    std::erase_if(bundle.payloads, [](const Payload& payload) { return payload.name == "kubernetes-ca.key"; });
    write_card(bundle);
    expect_waiting_without_kubelet("a person to run kubeadm: on the first control plane kubeadm init --config ");
}

}  // namespace
}  // namespace makina::test
