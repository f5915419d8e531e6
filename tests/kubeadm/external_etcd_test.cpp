#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <utility>

#include "firstboot/bundle/encoding.hpp"
#include "firstboot/join/kubeadm.hpp"
#include "firstboot/node/node.hpp"
#include "firstboot/run.hpp"
#include "tests/daemon/kubernetes_scene.hpp"
#include "tests/daemon/scene.hpp"

// The first control plane of a cluster whose etcd has three machines of its own.
namespace makina::test {
namespace {

const std::vector<std::string> addresses = {"192.168.3.231", "192.168.3.232", "192.168.3.233"};

/// That machine, while some of etcd's answer, with what etcd has of the namespace kube-system.
struct FirstControlPlane {
    FirstControlPlane(std::set<std::string> alive, const std::string& value) {
        Bundle bundle = bundle_of("control-plane");
        for (std::size_t at = 0; at < addresses.size(); ++at) {
            bundle.peers.push_back({"etcd-" + std::to_string(at + 1), "etcd", addresses[at]});
        }
        machine.files[kept::bundle].content = seal(bundle, first_signer());
        host = host_of(machine, "control-plane");
        host->after_change = nullptr;
        const std::string values = value.empty() ? "" : R"(,"kvs":[{"value":")" + to_base64(value) + "\"}]";
        host->network = [alive = std::move(alive), values, others = host->network](FakeHost& one,
                                                                                   const Request& request) {
            if (request.port != 2379) return others(one, request);
            if (!alive.contains(request.address)) return Response{0, "", "no route to host", false};
            return Response{200, R"({"header":{})" + values + "}", "", true};
        };
        host->stop_at = 600;
    }

    FakeMachine machine = new_machine("control-plane");
    std::unique_ptr<FakeHost> host;
};

TEST(ExternalEtcd, OneOfThreeThatIsDeadDoesNotKeepTheControlPlaneFromBeginning) {
    for (const std::string& dead : addresses) {
        std::set<std::string> alive(addresses.begin(), addresses.end());
        alive.erase(dead);
        FirstControlPlane node(alive, "");
        EXPECT_EQ(run(*node.host, {.until_joined = true}), Ending::joined) << dead << ": " << node.host->lines.back();
    }
}

TEST(ExternalEtcd, OneThatAnswersTellsThatThereIsAClusterAlready) {
    FirstControlPlane node({addresses[2]}, "k8s");
    EXPECT_EQ(run(*node.host, {.until_joined = true}), Ending::stopped);
    EXPECT_EQ(node.host->statuses.back().waiting_for,
              "a person: etcd at 192.168.3.233 has a Kubernetes cluster already, which no card of its own may begin "
              "again");
}

TEST(ExternalEtcd, OfWhichNobodyAnswersIsWaitedFor) {
    FirstControlPlane node({}, "");
    EXPECT_EQ(run(*node.host, {.until_joined = true}), Ending::stopped);
    EXPECT_EQ(node.host->statuses.back().last_error,
              "join: asking etcd at 192.168.3.231: no route to host; asking etcd at 192.168.3.232: no route to host; "
              "asking etcd at 192.168.3.233: no route to host");
    EXPECT_FALSE(node.host->has("/etc/kubernetes/admin.conf"));
}

TEST(ExternalEtcd, AnOlderCardWhoseJoinWasCutOffChangesNothing) {
    FirstControlPlane node({addresses[0]}, "k8s");
    FakeHost& host = *node.host;
    host.put(KubeadmRecord::path, encode(KubeadmRecord{KubeadmRecord::Step::join}), {0600, "root", "root"});
    for (const std::string pod : {"kube-apiserver", "etcd"}) {
        host.put("/etc/kubernetes/manifests/" + pod + ".yaml", "kind: Pod\n", {0600, "root", "root"});
    }
    host.put("/etc/kubernetes/kubelet.conf", "server: https://192.168.3.240:9000\n", {0600, "root", "root"});
    host.put("/var/lib/kubelet/config.yaml", "kind: KubeletConfiguration\n");
    host.put(outside_node, "Ready");
    host.put(outside_epoch, "2");
    EXPECT_EQ(run(host, {.until_joined = true}), Ending::stopped);
    EXPECT_EQ(host.statuses.back().waiting_for,
              "a newer card: the cluster knows epoch 2 of control-plane-1, this one has 1");
    EXPECT_EQ(host.text(outside_epoch), "2");
    for (const std::string& change : host.changes) EXPECT_EQ(change.find("run kubeadm"), std::string::npos) << change;
}

}  // namespace
}  // namespace makina::test
