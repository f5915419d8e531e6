#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "builder/file_tree.hpp"
#include "builder/profile/profile.hpp"
#include "firstboot/bundle/bundle.hpp"

namespace makina {

/// Whose conventions a base follows: where its own growers, swap and wizards are, how it configures its network.
enum class Layout { debian, rpios_bookworm, rpios_trixie, ubuntu_2404 };
[[nodiscard]] std::string to_string(Layout layout);

/// What the plan must know of the base that it builds on; read once by builder/base, a plain value.
struct BaseFacts {
    Layout layout = Layout::debian;
    std::string id;  ///< names the base: content hash, for manifests
    Architecture architecture = Architecture::arm64;
    std::string kernel;                           ///< "6.12.117+deb13-arm64"; empty if the base boots its own way
    std::uint32_t disk_id = 0;                    ///< MBR disk signature of the base
    std::int64_t built = 0;                       ///< newest change of anything in it, seconds since 1970
    std::map<std::string, std::string> packages;  ///< installed Debian packages: name -> version
    /// Text files of the base that plans edit, by absolute path; absent if the base does not have them:
    /// /etc/passwd /etc/group /etc/shadow /etc/fstab /etc/cloud/cloud.cfg /boot/firmware/cmdline.txt
    /// /boot/firmware/config.txt
    std::map<std::string, std::string> files;
};

/// The whole decision what goes into one node's image. Nothing after it decides.
struct ImagePlan {
    Node node;
    std::string cluster;
    std::string base_id;
    FileTree files;                       ///< written over the base, in path order
    std::vector<std::string> removals;    ///< paths of the base that must not be in the image
    std::vector<std::string> first_boot;  ///< Debian packages the node itself has to install
    std::vector<std::string> warnings;    ///< for the person, one line each
    std::int64_t built = 0;               ///< time stamp of every file written, seconds since 1970
};

/// The Debian packages that a node of this role needs, sorted: what makes a machine, what every node has, what the role
/// runs and what the profile adds. Without those of Kubernetes: cri-tools kubeadm kubectl kubelet kubernetes-cni. A
/// base that has their programs without packages says so by these names in BaseFacts::packages.
[[nodiscard]] std::vector<std::string> packages_for(const Profile& profile, Role role,
                                                    Architecture architecture = Architecture::arm64);

/// Those of Kubernetes' own packages that a node of this role needs; none for balancers, etcd and gateways.
[[nodiscard]] std::vector<std::string> kubernetes_packages_for(Role role);

/// Decides one node's image. `overlays` is the folder with any/ and one folder a role. Reads overlays and the
/// profile's manifests only; writes nothing. Throws Error with "<file>:<line>: ..." for a wrong template.
[[nodiscard]] ImagePlan plan_image(const Profile& profile, const Node& node, const BaseFacts& base,
                                   const std::filesystem::path& overlays);

/// The gateway's interface towards the cluster, as it is called on the node: the profile's name, unless that one cannot
/// be pinned to the node's card.
[[nodiscard]] std::string inside_interface(const Gateway& gateway, const Node& node);

/// The files of the node's plan that its bundle carries too, so that a running node can be handed newer ones without a
/// new card (PayloadKind::image_file), by payload name. They do not depend on the base. Throws Error as plan_image.
[[nodiscard]] std::vector<Payload> handed_over(const Profile& profile, const Node& node,
                                               const std::filesystem::path& overlays);

/// What a node carries that no overlay has.
struct Carried {
    std::string daemon;  ///< the program makina-firstboot for the node's architecture
    std::string trust;   ///< the bytes of Trust::path
    std::string bundle;  ///< the sealed bundle; empty for a card that gets its own later
};

/// Adds it to the plan: the daemon 0755, the trust 0644, the bundle 0600 in a folder of root's alone. Throws Error if
/// the daemon is not a program for the node's architecture.
void carry(ImagePlan& plan, const Carried& carried);

/// The plan as a person reads it (`--dry-run`): node, base, each file with mode, owner and origin, removals, warnings.
[[nodiscard]] std::string to_text(const ImagePlan& plan);

}  // namespace makina
