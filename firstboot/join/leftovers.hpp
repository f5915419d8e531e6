#pragma once

#include <string>

#include "firstboot/bundle/bundle.hpp"
#include "firstboot/host.hpp"

namespace makina {

// kubeadm and the kubelet do not sync what they write. After a power cut a file of theirs may be there without content,
// and both programs take it for one that they have written, and fail at it each time.

/// True if there is a file at `path` with something in it.
[[nodiscard]] bool has_content(Host& host, const std::string& path);
/// True if kubeadm has made a kubelet's configuration and credentials here, and both have content.
[[nodiscard]] bool has_kubelet_files(Host& host);
/// True if `kubeadm init` has left what its own preflight would refuse.
[[nodiscard]] bool has_begun_init(Host& host);
/// Before `kubeadm init` is run again: removes what a power cut has left without content, certificates and their keys
/// together. What the bundle has placed is left as it is. Throws Error.
void clear_leftovers(Host& host, const Bundle& bundle);
/// Makes durable what kubeadm and the kubelet have written by now.
void keep_kubernetes_files(Host& host);

}  // namespace makina
