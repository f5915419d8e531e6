#pragma once

#include <string>
#include <vector>

#include "firstboot/bundle/bundle.hpp"
#include "firstboot/host.hpp"
#include "firstboot/join/kubernetes_api.hpp"
#include "firstboot/stage.hpp"

namespace makina {

// kubeadm, as both roles that have a kubelet use it: it is run by this daemon, ended half-way by any power cut, and
// begun again.

/// How far this node has come, noted before each step; the files that kubeadm leaves do not tell whether it was ready.
struct KubeadmRecord {
    static constexpr const char* path = "/var/lib/makina/kubeadm";
    enum class Step {
        none,       ///< nothing was begun here; what is there a person has made
        init,       ///< this node makes the cluster
        manifests,  ///< it has; what the profile adds is being applied
        join,       ///< this node joins
        finished
    } step = Step::none;
    bool operator==(const KubeadmRecord&) const = default;
};
/// Lines: "makina-kubeadm 1", "step join", "end".
[[nodiscard]] std::string encode(const KubeadmRecord& record);
/// Throws Untrusted "<what>, line 2".
[[nodiscard]] KubeadmRecord decode_kubeadm_record(std::string_view text);
/// Throws Error if it is damaged.
[[nodiscard]] KubeadmRecord kubeadm_record(Host& host);
/// Makes it durable.
void note(Host& host, KubeadmRecord::Step step);

// `identity` below is the authority and the certificate that the bundle has for the node's kubelet, which may register
// this node's name alone.

/// Runs kubeadm with these arguments, for at most 25 minutes. Throws Error with what it complained of.
void run_kubeadm(Host& host, std::vector<std::string> arguments);
/// kubeadm join, or one phase of it, by the node's own certificate, at a server that answers now. Throws Error.
void run_join(Host& host, const Credentials& identity, const ApiServer& server,
              const std::vector<std::string>& phase = {});
/// Undoes what a join has left, and places again what the bundle has for /etc/kubernetes; etcd's list and data are not
/// touched. Throws Error.
void undo_join(Host& host, const Bundle& bundle);
/// The last steps: the kubelet speaks to the cluster's own address from now on, whoever was asked while joining; the
/// cluster remembers the card; the credentials for joining are wiped. Waits, and changes nothing, if the cluster knows
/// a newer card. `facts` is what the server says now. Throws Error.
[[nodiscard]] Outcome settle(Host& host, const Bundle& bundle, const Credentials& identity, const ApiServer& server,
                             const KubernetesApi::NodeFacts& facts);

/// Waits if the cluster knows a newer card of this node: an older one changes nothing.
[[nodiscard]] Outcome is_newest_card(const KubernetesApi::NodeFacts& facts, const Bundle& bundle);
/// Waits while the cluster still believes that another machine is this node, or knows a newer card of it.
[[nodiscard]] Outcome place_is_free(const KubernetesApi::NodeFacts& facts, const Bundle& bundle);
/// Done if kubeadm has made this node's kubelet a part of a cluster and systemd runs it; `waiting_for` is what is said
/// if kubeadm has not.
[[nodiscard]] Outcome has_kubelet(Host& host, const std::string& waiting_for);

}  // namespace makina
