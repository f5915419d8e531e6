#pragma once

#include <optional>

#include "firstboot/bundle/bundle.hpp"
#include "firstboot/host.hpp"
#include "firstboot/join/lookout.hpp"
#include "firstboot/stage.hpp"

namespace makina {

// etcd as kubeadm adds it to a cluster and starts it, a pod on a control plane; and what is noted of it, removed and
// put aside when a join comes to nothing.

/// The kubelet runs etcd for as long as this is there.
inline constexpr const char* etcd_pod = "/etc/kubernetes/manifests/etcd.yaml";

/// With what a control plane speaks to etcd, on control planes or on machines of its own.
[[nodiscard]] Credentials etcd_credentials(const Bundle& bundle);

/// This node as its own etcd lists it; nothing if it does not answer, or does not know itself yet.
[[nodiscard]] std::optional<Member> own_member(EtcdApi& api, const Bundle& bundle);

/// The notes, with the member that this node's etcd is as soon as it says so itself: kubeadm, which has added it, tells
/// nobody. Throws Error.
[[nodiscard]] JoinRecord learn_identity(Host& host, const Bundle& bundle);

/// The notes of a node that begins to join: it has no member, whatever is in its place has to be proven dead, and
/// kubeadm adds it under a new id. Throws Error.
[[nodiscard]] JoinRecord forget_identity(Host& host);

/// A member of ours, dead or of no use, is taken off etcd's list; noted first, so that its identity is never ours
/// again.
[[nodiscard]] Outcome take_off_list(Host& host, EtcdApi& api, const Decision& decision);

/// Moves etcd's data aside: a person may want to look at what had a vote. Each has 64 MiB and more, so that of many
/// attempts the two newest are kept. Throws Error.
void put_data_aside(Host& host);

}  // namespace makina
