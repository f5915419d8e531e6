#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "builder/plan.hpp"

namespace makina {

/// Where the packages of Kubernetes come from if not from a folder, and who signs them.
struct KubernetesArchive {
    std::string url = "https://pkgs.k8s.io";
    /// Of the key that the archive gives as core:/stable:/v<minor>/deb/Release.key: OpenPGP version 4, user id
    /// "isv:kubernetes OBS Project". overlays/any/usr/lib/makina/install-packages.in has it for the node as well.
    std::string fingerprint = "DE15B14486CD377B9E876E1A234654DA9A296436";
};

/// What a base is asked for. Two equal requests give the same base until it is refreshed.
struct BaseRequest {
    Base base;  ///< from the profile
    Architecture architecture = Architecture::arm64;
    std::vector<std::string> packages;  ///< Debian packages besides the essential ones; vendor images get them on the
                                        ///< node, so that other packages may count on them
    std::optional<Kubernetes> kubernetes;          ///< from the profile; none leaves Kubernetes to the node
    std::vector<std::string> kubernetes_packages;  ///< those of kubernetes that the role needs; empty for none
    KubernetesArchive kubernetes_archive;
    std::filesystem::path cache;  ///< folder that keeps bases between runs; made if missing
    bool refresh = false;         ///< resolve again even if a base for this request is cached
    bool offline = false;         ///< use no network: a cached base, a local image, or an Error
    std::function<void(const std::string&)> say = [](const std::string&) {};  ///< one line of progress, for people
};

/// A base that is ready: a raw disk image with MBR, FAT (p1) and ext4 (p2) that is never written again.
struct BaseImage {
    std::filesystem::path path;
    BaseFacts facts;
    /// As long as this or a copy lives, no other build clears the base away.
    std::shared_ptr<const void> in_use = nullptr;
};

/// Gives the base, from the cache or newly made. Safe with several builds at once and after a kill at any moment.
/// With KubernetesSource::automatic and an archive that does not answer, the base is the one without Kubernetes, and
/// one line that begins with "warning: " is said. Throws Untrusted for a wrong signature or hash, Error for anything
/// else.
[[nodiscard]] BaseImage prepare_base(const BaseRequest& request);

}  // namespace makina
