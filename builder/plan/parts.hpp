#pragma once

#include <optional>
#include <string>
#include <vector>

#include "builder/overlay/overlay.hpp"
#include "builder/plan.hpp"

namespace makina {

// The parts of plan_image; nothing outside builder/plan includes this.

/// Every name that a template may use; builder/plan/values.cpp is the list.
[[nodiscard]] Value::Group template_values(const Profile& profile, const Node& node, const BaseFacts& base);
/// The group "kubeadm" of it: which words this version of Kubernetes speaks. Throws Error below 1.13.
[[nodiscard]] Value::Group kubeadm_values(const Profile& profile, const Node& node);
/// The group "etcd" of it.
[[nodiscard]] Value::Group etcd_values(const Profile& profile, const Node& node);
/// The group "gateway" of it.
[[nodiscard]] Value::Group gateway_values(const Profile& profile, const Node& node);
/// The gateway's interface towards home, as it is called on the node.
[[nodiscard]] std::string uplink_interface(const Gateway& gateway, const Node& node);

/// The extras of the node's role; an empty one if the profile has none.
[[nodiscard]] const Extras& extras_of(const Profile& profile, const Node& node);
/// True if this node runs haproxy and keepalived.
[[nodiscard]] bool balances_api(const Profile& profile, const Node& node);
/// Every node that may hold the API's virtual address.
[[nodiscard]] std::vector<const Node*> balancers_of(const Profile& profile);
/// The container that holds a pod's namespaces, as kubeadm of this version names it.
[[nodiscard]] std::string pause_image(const Version& version);
/// Major version of an installed package; 0 if the base has not got it. Throws Error for one without a number.
[[nodiscard]] int major_of(const BaseFacts& base, const std::string& package);
/// Major version of the installed containerd; 1 if the base has none yet, as Debian's is.
[[nodiscard]] int containerd_major(const BaseFacts& base);
/// The packages of Kubernetes that a node of this role needs and the base lacks.
[[nodiscard]] std::vector<std::string> missing_kubernetes(const BaseFacts& base, Role role);
/// True for labels that kubelet refuses to give to its own node (NodeRestriction).
[[nodiscard]] bool is_restricted_label(const std::string& key);
/// True if the image boots by files that the plan writes into the FAT: Debian's kernel on a Raspberry Pi.
[[nodiscard]] bool writes_pi_boot(const BaseFacts& base);
/// The arguments of the profile and those that the layout's kernel needs, in order, each one word.
[[nodiscard]] std::vector<std::string> kernel_arguments(const Profile& profile, const Node& node,
                                                        const BaseFacts& base);

/// A cmdline.txt with each of `arguments` in it once; stays one line. `dropped` are words that must go.
[[nodiscard]] std::string edit_cmdline(const std::string& content, const std::vector<std::string>& arguments,
                                       const std::vector<std::string>& dropped);
/// A config.txt with `lines` between our two markers, in place of what stood there before.
[[nodiscard]] std::string edit_config_txt(const std::string& content, const std::vector<std::string>& lines);
/// An fstab without swap.
[[nodiscard]] std::string edit_fstab(const std::string& content);
/// A shadow file in which root has no password that fits.
[[nodiscard]] std::string lock_root(const std::string& content);

/// Edits the base's own files and switches off what the layout would do by itself at the first boot.
void adapt_to_layout(const Profile& profile, const Node& node, const BaseFacts& base, ImagePlan& plan);
/// Files of the profile for the node's role.
void add_extra_files(const Profile& profile, const Node& node, FileTree& files);
/// What the profile applies once, on every control plane, because any of them may be the one that makes the cluster.
void add_manifests(const Profile& profile, ImagePlan& plan);
/// For Kubernetes whose kube-proxy cannot see rules of nftables (before 1.17): Debian's alternatives of iptables.
void use_old_iptables(const Profile& profile, ImagePlan& plan);
/// Decides what the node has to install itself, and everything that a person should know.
void add_first_boot(const Profile& profile, const BaseFacts& base, ImagePlan& plan);
void add_warnings(const Profile& profile, const BaseFacts& base, ImagePlan& plan);
/// Throws Error for values that cannot be carried safely: labels, taints, sysctls, paths, lines.
void check_values(const Profile& profile, const Node& node, const BaseFacts& base);

}  // namespace makina
