#pragma once

#include <string>

#include "tests/kubernetes/cluster.hpp"

// What a person does who forms the cluster without the daemon: puts the keys where kubeadm looks for them and calls it.
namespace makina::kubernetes {

/// The subject of the certificate with which kubeadm join introduces a node.
enum class Introduction {
    bootstrapper,  ///< in the group that kubeadm lets ask for any node's certificate
    node           ///< as the node itself
};

/// Puts the payloads of the node's next bundle in their places, and a kubeconfig with a certificate signed by the
/// cluster's authority where join.yaml looks for it; the node is on.
void put_keys(Cluster& cluster, const std::string& node, Introduction introduction);

/// Runs kubeadm with the node's own init.yaml or join.yaml; `verb` is "init" or "join".
[[nodiscard]] Result run_kubeadm(Cluster& cluster, const std::string& node, const std::string& verb);

}  // namespace makina::kubernetes
