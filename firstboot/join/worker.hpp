#pragma once

#include "firstboot/stage.hpp"

namespace makina {

/// How a worker becomes a node of the cluster: kubeadm joins it with the certificate that its bundle has for its own
/// name, so that no token is needed that could expire; the kubelet renews the certificate itself afterwards.
[[nodiscard]] Stage worker_stage();

}  // namespace makina
