#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <utility>

#include "firstboot/join/kubeadm.hpp"
#include "firstboot/join/members.hpp"
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

std::string kind_of_member(const testing::TestParamInfo<bool>& each) {
    return each.param ? "learner" : "voter";
}

/// A cluster of three control planes of which the third is dead, its Node still there, and a new card for it.
/// By a kubeadm that adds etcd members as learners, or as voters at once.
class ControlPlaneReplacement : public ThirdCard, public testing::WithParamInterface<bool> {
  protected:
    ControlPlaneReplacement() : ThirdCard("control-plane") {
        patience = 2400;
        begin_anew();
    }

    void begin_anew() override {
        ThirdCard::begin_anew();
        etcd.learners = GetParam();
        FakeHost(machine).put(outside_node, "NotReady");
    }
    std::unique_ptr<FakeHost> powered_on() override {
        auto host = host_of(machine, "control-plane");
        host->after_change = nullptr;
        host->network = [this](FakeHost& one, const Request& request) {
            if (request.port == 2379) return etcd.answer(one, request);
            return ask_api_server(one, request, etcd.has_quorum(), etcd.serves());
        };
        host->programs["kubeadm"] = [this](FakeHost& one, const std::vector<std::string>& argv) {
            Answer answer =
                kubeadm(one, argv, {[this] { return etcd.take_in(); }, [this] { return etcd.promote_pod(); }});
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
            if (!has_etcd_pod(one)) etcd.start_nothing();
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

TEST_P(ControlPlaneReplacement, TakesThePlaceOfTheDeadOne) {
    const auto host = powered_on();
    EXPECT_EQ(run_for(*host), Ending::joined) << host->lines.back();
    expect_done("");
    EXPECT_TRUE(std::ranges::any_of(host->statuses, [](const Status& status) {
        return status.waiting_for.find("the proof that etcd-3 is dead: 30 s without a sign of life") == 0;
    }));
    EXPECT_TRUE(decode_statement(host->text(statement_path)).member);
}

TEST_P(ControlPlaneReplacement, ComesToItsEndAfterAPowerCutAtEveryStep) {
    cut_everywhere("cases", "write " + std::string(statement_path));
}

TEST_P(ControlPlaneReplacement, TriesAgainAfterAFaultAtEveryStep) {
    patience = 6000;
    fail_everywhere("cases");
}

TEST_P(ControlPlaneReplacement, BeginsAgainWhenKubeadmHasHungAtAnyOfItsPhases) {
    patience = 9000;
    hang_everywhere("cases", "kubeadm", 1500);
}

TEST_P(ControlPlaneReplacement, BeginsAnewIfAPowerCutHasEmptiedWhatKubeadmWrote) {
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

TEST_P(ControlPlaneReplacement, AKubeletThatSpeaksToItsOwnApiServerGoesOnDoingSo) {
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

TEST_P(ControlPlaneReplacement, JoinsWithoutATimeServerAfterFiveMinutes) {
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

TEST_P(ControlPlaneReplacement, WaitsWhileTheClusterSeesTheOldOne) {
    FakeHost(machine).put(outside_node, "Ready");
    expect_waiting_without_kubelet("the cluster to miss etcd-3, which it says is Ready: another machine of this name?");
}

TEST_P(ControlPlaneReplacement, WaitsWhileTheOldMemberLives) {
    etcd.alive.insert("etcd-3");
    etcd.unreachable.insert("etcd-3");
    expect_waiting_without_kubelet("the proof that etcd-3 is dead: 30 s without a sign of life");
}

TEST_P(ControlPlaneReplacement, WaitsForAnotherThatIsJoining) {
    etcd.keys[turn_key] = "etcd-9";
    etcd.forget(3);
    expect_waiting_without_kubelet("etcd-9, which is joining, to have come to its end");
}

TEST_P(ControlPlaneReplacement, WaitsWithoutAMajority) {
    etcd.alive.erase("etcd-2");
    expect_waiting_without_kubelet("an API server of the cluster: ");
}

TEST_P(ControlPlaneReplacement, AnOlderCardDoesNotComeBack) {
    etcd.keys[epoch_key] = "3";
    expect_waiting_without_kubelet("a newer card: the cluster knows epoch 3 of etcd-3, this one has 2");
    begin_anew();
    FakeHost(machine).put(outside_epoch, "4");
    expect_waiting_without_kubelet("a newer card: the cluster knows epoch 4 of etcd-3, this one has 2");
}

TEST_P(ControlPlaneReplacement, StopsAndWaitsWhenASecondMemberDiesAtAnyStep) {
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
        etcd.learners = GetParam();
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
                EXPECT_FALSE(etcd.keys.contains(turn_key));
            }
            return next(one, argv);
        };
        return host;
    }

    std::vector<std::string> names = {"etcd-1"};
    int joins = 0;
    std::vector<std::int64_t> begun;
};

TEST_P(SecondControlPlane, LeavesTheFirstItsMajorityWhenItsJoinComesToNothing) {
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

TEST_P(SecondControlPlane, KeepsTheDataOfTheTwoNewestJoins) {
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

TEST_P(SecondControlPlane, KeepsItsDataWhileTheOthersNeedIt) {
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

TEST_P(ControlPlaneReplacement, WhereTheKeysStayWithTheOperatorAPersonJoinsIt) {
    Bundle bundle = new_card();
    std::erase_if(bundle.payloads, [](const Payload& payload) { return payload.name == "kubernetes-ca.key"; });
    write_card(bundle);
    expect_waiting_without_kubelet("a person to run kubeadm: on the first control plane kubeadm init --config ");
}

/// A card whose first join was cut off, and which is powered on again.
class JoinCutOff : public ControlPlaneReplacement {
  protected:
    static constexpr const char* our_url = "https://192.168.3.253:2380";

    /// The power goes before or after a phase of kubeadm.
    void cut(Kind kind, const std::string& phase) {
        begin_anew();
        const auto undisturbed = powered_on();
        EXPECT_EQ(run_for(*undisturbed), Ending::joined);
        const auto& steps = undisturbed->changes;
        const auto step = std::ranges::find(steps, "kubeadm phase " + phase);
        ASSERT_NE(step, steps.end()) << phase;
        begin_anew();
        const auto host = powered_on();
        host->accident = Accident{kind, static_cast<std::size_t>(step - steps.begin()) + 1};
        EXPECT_THROW((void)run_for(*host), Cut);
        power_cycle(machine);
        while_off();
        etcd.removed.clear();
    }
    /// A later card of the node has joined, and is off: its member is in our place.
    std::uint64_t put_successor(const std::string& epoch) {
        etcd.start_nothing();
        if (const Member* const own = etcd.named("etcd-3")) etcd.forget(own->id);
        const auto unnamed = std::ranges::find(etcd.members(), std::string(), &Member::name);
        if (unnamed != etcd.members().end()) etcd.forget(unnamed->id);
        etcd.add_voter("etcd-3", our_url);
        etcd.keys[epoch_key] = epoch;
        FakeHost host(machine);
        host.put(outside_epoch, epoch);
        host.put(outside_node, "NotReady");
        return etcd.named("etcd-3")->id;
    }
    /// It waits with these words, and the successor stays.
    void expect_untouched(std::uint64_t successor, const std::string& words, const std::string& where) {
        const auto host = powered_on();
        EXPECT_EQ(run_for(*host), Ending::stopped) << where;
        EXPECT_THAT(host->statuses.back().waiting_for, HasSubstr(words)) << where;
        EXPECT_TRUE(etcd.removed.empty()) << where;
        ASSERT_NE(etcd.named("etcd-3"), nullptr) << where;
        EXPECT_EQ(etcd.named("etcd-3")->id, successor) << where;
    }
    std::size_t joins(const FakeHost& host) {
        const std::string join = "run kubeadm join --config";
        return static_cast<std::size_t>(
            std::ranges::count_if(host.changes, [&](const std::string& one) { return one.rfind(join, 0) == 0; }));
    }
};

TEST_P(JoinCutOff, AnOlderCardLeavesItsSuccessorAlone) {
    for (const std::string phase : {"control-plane-prepare", "etcd member", "etcd pod", "etcd promote"}) {
        cut(Kind::cut_after, phase);
        const std::uint64_t successor = put_successor("3");
        expect_untouched(successor, "a newer card: the cluster knows epoch 3 of etcd-3, this one has 2", phase);
        EXPECT_EQ(etcd.keys[epoch_key], "3");
        EXPECT_EQ(FakeHost(machine).text(outside_epoch), "3");
    }
}

TEST_P(JoinCutOff, RemovesOnlyTheMemberThatItHasJoinedAs) {
    cut(Kind::cut_after, "etcd promote");
    {
        // It learns who it is, while its API server does not come up.
        const auto host = powered_on();
        host->network = [next = host->network](FakeHost& one, const Request& request) {
            return request.port == 6443 ? Response{0, "", "connection refused", false} : next(one, request);
        };
        patience = 60;
        EXPECT_EQ(run_for(*host), Ending::stopped);
        power_cycle(machine);
        patience = 2400;
    }
    // A card of the same epoch has joined since: a copy.
    const std::uint64_t successor = put_successor("2");
    expect_untouched(successor,
                     "a person: etcd-3 is in our place in the cluster's list, and is not what this card has joined as; "
                     "a new card is needed",
                     "");
}

TEST_P(JoinCutOff, WithoutItsIdTheMemberInItsPlaceHasToBeProvenDead) {
    for (const std::string phase : {"etcd member", "control-plane-prepare"}) {
        cut(Kind::cut_after, phase);
        const std::uint64_t twin = put_successor("2");
        etcd.alive.insert("etcd-3");
        etcd.unreachable.insert("etcd-3");
        expect_untouched(twin, "the proof that etcd-3 is dead: 30 s without a sign of life", phase);
        etcd.unreachable.clear();
    }
}

TEST_P(JoinCutOff, GetsItsVoteFromTheOthers) {
    cut(Kind::cut_before, "etcd promote");
    patience = 120;
    const auto host = powered_on();
    EXPECT_EQ(run_for(*host), Ending::joined) << host->lines.back();
    expect_done("");
    EXPECT_TRUE(etcd.removed.empty());
    EXPECT_EQ(joins(*host), 0U);
}

/// Who has no vote may be given up whoever else is well.
class LearnerCutOff : public JoinCutOff {};

TEST_P(LearnerCutOff, GivesUpALearnerThatEndsAgainAndAgain) {
    cut(Kind::cut_before, "etcd promote");
    etcd.start_pod();
    etcd.pod_crashes = true;
    patience = 6000;
    const auto host = powered_on();
    host->programs["kubeadm"] = [this, next = host->programs["kubeadm"]](FakeHost& one,
                                                                         const std::vector<std::string>& argv) {
        if (argv.at(1) == "join") etcd.pod_crashes = false;
        return next(one, argv);
    };
    EXPECT_EQ(run_for(*host), Ending::joined) << host->lines.back();
    expect_done("");
    EXPECT_EQ(etcd.removed.size(), 1U);
    EXPECT_EQ(joins(*host), 1U);
}

TEST_P(LearnerCutOff, GivesUpALearnerThoughAnotherIsNotWell) {
    cut(Kind::cut_before, "etcd promote");
    etcd.add_voter("etcd-4", "https://192.168.3.254:2380");
    etcd.alive.insert("etcd-4");
    etcd.alive.erase("etcd-2");
    etcd.learners_lag = true;
    patience = 1200;
    const auto host = powered_on();
    EXPECT_EQ(run_for(*host), Ending::stopped);
    EXPECT_EQ(etcd.wrongs(), std::vector<std::string>());
    EXPECT_EQ(etcd.removed.size(), 1U);
    EXPECT_EQ(etcd.named("etcd-3"), nullptr);
    // It joins again when all are well.
    EXPECT_EQ(host->statuses.back().waiting_for,
              "etcd-2 to be healthy: a member is replaced only while all the others are");
}

TEST_P(JoinCutOff, KeepsItsTurnWhileItWaits) {
    for (const bool has_ended : {false, true}) {
        cut(Kind::cut_after, "etcd promote");
        if (has_ended) etcd.keys.erase(turn_key);
        etcd.leases = 0;
        const auto host = powered_on();
        host->network = [next = host->network](FakeHost& one, const Request& request) {
            return request.port == 6443 ? Response{0, "", "connection refused", false} : next(one, request);
        };
        patience = 60;
        EXPECT_EQ(run_for(*host), Ending::stopped);
        patience = 2400;
        EXPECT_EQ(etcd.keys[turn_key], "etcd-3");
        EXPECT_EQ(etcd.leases, 1U);
    }
}

/// What follows a cut is cut again.
class SecondCut : public JoinCutOff {
  protected:
    void begin_anew() override {
        JoinCutOff::begin_anew();
        if (!cut_) return;
        machine = cut_->first;
        etcd = cut_->second;
    }
    void first_cut(const std::string& phase) {
        cut_.reset();
        cut(Kind::cut_after, phase);
        cut_ = {machine, etcd};
    }

  private:
    std::optional<std::pair<FakeMachine, EtcdModel>> cut_;
};

TEST_P(SecondCut, ComesToItsEndAfterAPowerCutAndAFaultAtEveryStep) {
    for (const std::string phase : {"kubelet-start", "etcd member", "etcd pod", "etcd promote"}) {
        first_cut(phase);
        patience = 6000;
        cut_everywhere("cases");
        first_cut(phase);
        fail_everywhere("cases");
        if (HasFailure()) return;
    }
}

TEST_P(ControlPlaneReplacement, RemovesNobodyWhileItsOwnNotesAreDamaged) {
    for (const std::string path : {KubeadmRecord::path, JoinRecord::path, statement_path}) {
        begin_anew();
        FakeHost(machine).put(path, "makina-", {0600, "root", "root"});
        const auto host = powered_on();
        EXPECT_EQ(run_for(*host), Ending::stopped) << path;
        EXPECT_THAT(host->statuses.back().last_error, HasSubstr(path + " is damaged (")) << path;
        EXPECT_EQ(etcd.changes(), 0U) << path;
        EXPECT_EQ(host->text(path), "makina-") << path;
    }
}

INSTANTIATE_TEST_SUITE_P(By, ControlPlaneReplacement, testing::Bool(), kind_of_member);
INSTANTIATE_TEST_SUITE_P(By, JoinCutOff, testing::Bool(), kind_of_member);
INSTANTIATE_TEST_SUITE_P(By, LearnerCutOff, testing::Values(true), kind_of_member);
INSTANTIATE_TEST_SUITE_P(By, SecondCut, testing::Bool(), kind_of_member);
INSTANTIATE_TEST_SUITE_P(By, SecondControlPlane, testing::Bool(), kind_of_member);

}  // namespace
}  // namespace makina::test
