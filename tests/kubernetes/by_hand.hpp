#pragma once

#include <string>

#include "builder/pki/certificate.hpp"
#include "firstboot/bundle/bundle.hpp"
#include "tests/kubernetes/cluster.hpp"

// What a person does who forms the cluster without the daemon: puts the keys where kubeadm looks for them and calls it.
namespace makina::kubernetes {

/// What whoever has a card reads from it.
[[nodiscard]] Bundle bundle_on(const lab::Machine& machine);
/// Throws Error if the bundle has none of this name.
[[nodiscard]] const std::string& payload_of(const Bundle& bundle, const std::string& name);
/// The authority that signs kubelets' certificates; only control planes' bundles have its key.
[[nodiscard]] Credential kubernetes_authority(const Bundle& bundle);

/// Writes a file of the machine, and the folders above it.
void put(const fs::path& file, const std::string& content, std::uint32_t mode);

/// Puts the payloads of the node's next bundle in their places, and where join.yaml looks for it a kubeconfig with a
/// certificate of the group that kubeadm lets ask for any node's; the node is on.
void put_keys(Cluster& cluster, const std::string& node);

/// Runs kubeadm with the node's own init.yaml or join.yaml; `verb` is "init" or "join".
[[nodiscard]] Result run_kubeadm(Cluster& cluster, const std::string& node, const std::string& verb);

}  // namespace makina::kubernetes
