#include <gtest/gtest.h>

#include "firstboot/join/founding.hpp"
#include "firstboot/join/kubeadm.hpp"
#include "firstboot/join/standing.hpp"
#include "firstboot/node/node.hpp"
#include "firstboot/run.hpp"
#include "tests/daemon/kubernetes_scene.hpp"
#include "tests/daemon/scene.hpp"

// How a control plane takes part in the beginning of its cluster, beside others that begin something else, or had
// begun.
namespace makina::test {
namespace {

using Way = Advance::Way;

const std::string other_card(32, 'a');

/// What another node says of a cluster that has begun without this one.
Statement begun(const std::string& node, const std::string& role, const std::string& formation) {
    Statement statement;
    statement.cluster_id = bundle_of("control-plane").cluster_id;
    statement.node = node;
    statement.role = role;
    statement.incarnation = other_card;
    statement.formation = formation;
    statement.decided = {{node, other_card}};
    return statement;
}

/// A host that hears these.
class Hearing : public testing::Test {
  protected:
    /// A founder of this role; the peers are added to its own.
    Way way_of(const std::string& role, const std::vector<Peer>& peers) {
        Bundle bundle = bundle_of(role);
        bundle.peers.insert(bundle.peers.end(), peers.begin(), peers.end());
        FakeMachine machine = new_machine(role);
        FakeHost host(machine);
        hear(host);
        return Founder().take_part(host, bundle).way;
    }
    void hear(FakeHost& host) {
        host.network = [this, next = host.network](FakeHost& one, const Request& request) {
            if (request.target != "/statement") return next ? next(one, request) : Response{};
            const auto said = statements.find(request.name);
            return said == statements.end() ? Response{} : Response{200, encode(said->second), "", true};
        };
    }

    std::map<std::string, Statement> statements;
    const std::string formation = bundle_of("control-plane").genesis;
};

TEST_F(Hearing, ABeginningOfEtcdIsNoneOfTheControlPlanes) {
    Statement etcd = begun("etcd-1", "etcd", formation);
    etcd.member = true;
    statements["etcd-1"] = etcd;
    // A balancer remembers etcd's.
    statements["lb-1"] = begun("etcd-1", "load-balancer", formation);
    statements["lb-1"].node = "lb-1";
    const std::vector<Peer> peers = {{"etcd-1", "etcd", "192.168.3.231"}, {"lb-1", "load-balancer", "192.168.3.241"}};
    EXPECT_EQ(way_of("control-plane", peers), Way::founds);
    // Without etcd nodes the balancer remembers that of the control planes.
    EXPECT_EQ(way_of("control-plane", {peers[1]}), Way::joins);
}

TEST_F(Hearing, ABeginningOfControlPlanesIsNoneOfEtcd) {
    statements["control-plane-1"] = begun("control-plane-1", "control-plane", formation);
    statements["control-plane-1"].member = true;
    EXPECT_EQ(way_of("etcd", {}), Way::founds);
    statements["lb-1"] = begun("etcd-9", "load-balancer", formation);
    statements["lb-1"].node = "lb-1";
    EXPECT_EQ(way_of("etcd", {{"lb-1", "load-balancer", "192.168.3.241"}}), Way::joins);
}

/// A founder alone in its beginning; what others say, and how far it has come, is decided by each test.
class Beginning : public Hearing {
  protected:
    std::unique_ptr<FakeHost> powered_on(bool alone = false) {
        Bundle bundle = bundle_of("control-plane");
        if (!alone) bundle.peers.push_back({"control-plane-2", "control-plane", "192.168.3.252"});
        FakeHost(machine).put(kept::bundle, seal(bundle, first_signer()), {0600, "root", "root"});
        auto host = host_of(machine, "control-plane");
        hear(*host);
        host->programs["kubeadm"] = [this, next = host->programs["kubeadm"]](FakeHost& one,
                                                                             const std::vector<std::string>& argv) {
            if (argv.at(1) == "init") ++inits;
            return next(one, argv);
        };
        host->stop_at = 600;
        return host;
    }

    FakeMachine machine = new_machine("control-plane");
    int inits = 0;
};

TEST_F(Beginning, WaitsForAPersonIfOthersHaveBegunSinceItsCardWasCutOff) {
    for (const bool is_later : {true, false}) {
        machine = new_machine("control-plane");
        FakeHost host(machine);
        host.put(KubeadmRecord::path, encode(KubeadmRecord{KubeadmRecord::Step::init}));
        statements["control-plane-2"] = begun("control-plane-2", "control-plane", is_later ? other_card : formation);
        if (!is_later) statements["control-plane-2"].decided["control-plane-1"] = other_card;
        const auto on = powered_on();
        EXPECT_EQ(run(*on, {}), Ending::stopped);
        EXPECT_EQ(inits, 0);
        EXPECT_EQ(
            on->statuses.back().waiting_for,
            "a person: control-plane-2 is of another beginning of the cluster than this card, which had begun one: "
            "write the card of control-plane-1 anew");
    }
}

TEST_F(Beginning, GoesOnAfterACutWithAMajorityThatKnowsOfNoOther) {
    for (const bool alone : {false, true}) {
        machine = new_machine("control-plane");
        inits = 0;
        FakeHost(machine).put(KubeadmRecord::path, encode(KubeadmRecord{KubeadmRecord::Step::init}));
        statements["control-plane-2"] = begun("control-plane-2", "control-plane", formation);
        statements["control-plane-2"].decided.clear();
        const auto on = powered_on(alone);
        (void)run(*on, {});
        EXPECT_EQ(on->statuses.back().state, "joined") << on->lines.back();
        EXPECT_EQ(inits, 1);
    }
}

TEST_F(Beginning, DoesNotGoOnWhileTheOthersAreSilent) {
    for (const bool was_begun : {true, false}) {
        machine = new_machine("control-plane");
        FakeHost host(machine);
        if (was_begun) host.put(KubeadmRecord::path, encode(KubeadmRecord{KubeadmRecord::Step::init}));
        // It was agreed on to begin, and lay in a drawer since.
        Statement own = begun("control-plane-1", "control-plane", formation);
        own.member = true;
        host.put(statement_path, encode(own), {0600, "root", "root"});
        const auto on = powered_on();
        on->network = [next = on->network](FakeHost& one, const Request& request) {
            return request.target == "/statement" ? Response{0, "", "no route to host", false} : next(one, request);
        };
        EXPECT_EQ(run(*on, {}), Ending::stopped);
        EXPECT_EQ(inits, 0);
        EXPECT_EQ(on->statuses.back().waiting_for,
                  "2 of 2 founders, this node among them, to know of no other beginning of the cluster than this "
                  "card's, before it goes on with that: control-plane-2 (no route to host)");
    }
}

TEST_F(Beginning, ACardThatKnowsOfNoBeginningIsNoWitness) {
    FakeHost(machine).put(KubeadmRecord::path, encode(KubeadmRecord{KubeadmRecord::Step::init}));
    statements["control-plane-2"] = begun("control-plane-2", "control-plane", "");
    statements["control-plane-2"].decided.clear();
    const auto on = powered_on();
    EXPECT_EQ(run(*on, {}), Ending::stopped);
    EXPECT_EQ(inits, 0);
    EXPECT_NE(on->statuses.back().waiting_for.find("control-plane-2 (its card knows of no beginning)"),
              std::string::npos);
}

TEST_F(Beginning, DoesNotGoOnWhereAnApiServerOfTheClusterAnswersUnlessItIsItsOwn) {
    for (const bool is_own : {false, true}) {
        machine = new_machine("control-plane");
        FakeHost(machine).put(KubeadmRecord::path, encode(KubeadmRecord{KubeadmRecord::Step::init}));
        const auto on = powered_on(true);
        on->network = [is_own, next = on->network](FakeHost& one, const Request& request) {
            if (request.port == 9000 && request.target == "/readyz") return Response{200, "ok", "", true};
            const bool at_home = is_own && request.port == 6443 && request.target == "/readyz";
            return at_home ? Response{200, "ok", "", true} : next(one, request);
        };
        (void)run(*on, {});
        EXPECT_EQ(inits, is_own ? 1 : 0);
        if (is_own) continue;
        EXPECT_EQ(on->statuses.back().waiting_for,
                  "a person: the API server at 192.168.3.240:9000 answers for a cluster, and this card was cut off "
                  "while it began one: write the card of control-plane-1 anew");
    }
}

TEST_F(Beginning, BeginsNothingWhileItsOwnNotesAreDamaged) {
    for (const std::string path : {KubeadmRecord::path, statement_path}) {
        machine = new_machine("control-plane");
        FakeHost(machine).put(path, "makina-", {0600, "root", "root"});
        const auto on = powered_on(true);
        EXPECT_EQ(run(*on, {}), Ending::stopped) << path;
        EXPECT_EQ(inits, 0) << path;
        EXPECT_NE(on->statuses.back().last_error.find(path + " is damaged ("), std::string::npos)
            << on->statuses.back().last_error;
    }
}

TEST_F(Beginning, NeverBeginsWhereAnApiServerOfTheClusterAnswers) {
    const auto on = powered_on(true);
    on->network = [next = on->network](FakeHost& one, const Request& request) {
        return request.port == 9000 ? ask_api_server(one, request, true) : next(one, request);
    };
    (void)run(*on, {});
    EXPECT_EQ(inits, 0);
}

TEST_F(Beginning, SaysWhoBegins) {
    statements["control-plane-2"] = begun("control-plane-2", "control-plane", formation);
    const auto on = powered_on();
    EXPECT_EQ(run(*on, {}), Ending::stopped);
    EXPECT_EQ(on->statuses.back().waiting_for.find("an API server of the cluster, which control-plane-2 begins: "), 0U)
        << on->statuses.back().waiting_for;
}

}  // namespace
}  // namespace makina::test
