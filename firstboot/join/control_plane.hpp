#pragma once

#include "firstboot/stage.hpp"

namespace makina {

/// How a control plane becomes a part of the cluster. The first that the founders agree on makes it with kubeadm init;
/// everybody else waits until an API server answers and joins, one at a time, with the authorities of its own bundle:
/// nothing is uploaded, and no token expires. Where kubeadm keeps etcd on the control planes, a dead predecessor is
/// proven dead and removed from etcd's list first (members.hpp), which kubeadm leaves to the operator, and without
/// which etcd would take this node for the dead one.
[[nodiscard]] Stage control_plane_stage();

}  // namespace makina
