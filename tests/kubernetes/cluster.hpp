#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "tests/lab/cluster.hpp"

namespace makina::kubernetes {

namespace fs = std::filesystem;

/// Why such machines cannot be here, whatever their kubeadm; empty if they can.
[[nodiscard]] std::string why_no_machines();
/// Why the real Kubernetes cannot be built or run here; empty if it can.
[[nodiscard]] std::string why_not();

/// The folder with the real Kubernetes' programs; they are built if nobody has done so yet. Throws Error.
[[nodiscard]] const fs::path& programs();

/// Two balancers, three control planes and two workers of the version that is built.
[[nodiscard]] Profile seven_machines();
inline const std::vector<std::string> balancers = {"lb-1", "lb-2"};
inline const std::vector<std::string> masters = {"master-1", "master-2", "master-3"};
inline const std::vector<std::string> workers = {"worker-1", "worker-2"};

/// A member of etcd as it says itself.
struct Member {
    std::string id, name;
    bool learner = false;
};

/// The machines of a profile that has Kubernetes: cards as lab::Cluster makes them, and on each node the real etcd and
/// the kubeadm, kubectl and control plane of a folder. The kubelet and its container runtime are stand-ins.
class Cluster {
  public:
    /// `folder` is below lab::workshop(); `programs` has Kubernetes' programs, real or scripted. The keys were made
    /// `age` seconds ago.
    Cluster(Profile profile, const fs::path& folder, fs::path programs, std::int64_t age = 0);

    /// As lab::Cluster::new_card: the node's next card, the power off.
    void new_card(const std::string& node) { install(lab_.new_card(node)); }
    /// As lab::Cluster::replacement_card.
    void replacement_card(const std::string& node) { install(lab_.replacement_card(node)); }
    /// Power, network, units and daemon.
    void boot(const std::string& node);
    void boot_without_daemon(const std::string& node);

    /// kubectl with the administrator's kubeconfig of a control plane.
    [[nodiscard]] Result kubectl(const std::string& master, std::vector<std::string> arguments) const;
    /// What `kubectl get` lists; an empty list if nobody answers.
    [[nodiscard]] std::vector<nlohmann::json> listed(const std::string& master, const std::string& kind) const;
    /// The names of the nodes that are Ready, in order.
    [[nodiscard]] std::vector<std::string> ready_nodes(const std::string& master) const;
    /// What the etcd of a control plane says of its members; empty if it does not answer.
    [[nodiscard]] std::vector<Member> members(const std::string& master) const;
    /// The names of the members that its etcd knows itself, whatever became of the others: without a majority too. One
    /// that has not begun has no name. Empty if it does not answer.
    [[nodiscard]] std::vector<std::string> known_members(const std::string& master) const;
    /// etcd's own id of the cluster; empty if it does not answer.
    [[nodiscard]] std::string cluster_id(const std::string& master) const;
    /// Waits until all of these have joined, tells of each when it has, and gives those that have not.
    [[nodiscard]] std::vector<std::string> wait_until_joined(std::vector<std::string> nodes, double patience,
                                                             const std::function<void(const std::string&)>& joined);
    /// Expects that every control plane's etcd has the same members, all of them with a vote; gives the cluster's ids.
    std::set<std::string> expect_one_etcd(const std::string& where) const;
    /// For people, when a test fails.
    [[nodiscard]] std::string story(const std::vector<std::string>& nodes) const;

    [[nodiscard]] lab::Cluster& lab() { return lab_; }
    [[nodiscard]] lab::Machine& machine(const std::string& node) const { return lab_.machine(node); }

  private:
    [[nodiscard]] nlohmann::json asked_etcd(const std::string& master, const std::string& path) const;
    void give_route(const std::string& node);
    void install(lab::Machine& machine);

    lab::Cluster lab_;
    fs::path programs_;
    std::string gateway_;
};

}  // namespace makina::kubernetes
