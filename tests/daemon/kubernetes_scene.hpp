#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tests/daemon/fake_host.hpp"

namespace makina::test {

// kubeadm, kubectl and an API server, as far as a joining node sees them. What the cluster knows of the node is kept
// beside its files, below /outside, so that it is a part of the machine's value.

/// What the cluster has of this node: "Ready", "NotReady", or nothing.
inline constexpr const char* outside_node = "/outside/node";
/// The epoch that the Node is annotated with.
inline constexpr const char* outside_epoch = "/outside/epoch";

/// What a join does to etcd's list, each time what went wrong, or nothing: before its pod starts, and after.
struct EtcdPhase {
    std::function<std::string()> add = nullptr;
    std::function<std::string()> promote = nullptr;
};

/// kubeadm's commands, phase by phase: each is a change of the host of its own, so that a test can cut the power, or
/// let it fail, between any two of them. What its preflight refuses on a real node is refused.
[[nodiscard]] Answer kubeadm(FakeHost& host, const std::vector<std::string>& argv, const EtcdPhase& etcd = {});
[[nodiscard]] Answer kubectl(FakeHost& host, const std::vector<std::string>& argv);

/// The API server of this node, if kubelet runs its pods and etcd here answers it (`etcd_serves`); and the one at the
/// balancers' address, if `cluster_answers`.
[[nodiscard]] Response ask_api_server(FakeHost& host, const Request& request, bool cluster_answers,
                                      bool etcd_serves = true);
/// True if etcd's pod runs on this node.
[[nodiscard]] bool has_etcd_pod(const FakeHost& host);

}  // namespace makina::test
