#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "builder/base/apt.hpp"
#include "builder/base/base.hpp"
#include "builder/base/install.hpp"
#include "builder/disk/disk.hpp"

namespace makina {

/// A program that comes by itself, without a package.
struct PlainProgram {
    std::string package;         ///< the package that would have it: "cri-tools"
    std::filesystem::path file;  ///< on this machine
    std::string path;            ///< on the node: "/usr/bin/crictl"
    std::string sha256;
};

/// What of Kubernetes goes into a base: chosen, and if it comes from an archive not yet fetched.
struct KubernetesParts {
    std::vector<Deb> debs;
    std::vector<PlainProgram> programs;
    std::string version;         ///< of the programs: the profile's
    std::optional<Apt> archive;  ///< where the debs are fetched from

    [[nodiscard]] bool empty() const { return debs.empty() && programs.empty(); }
};

/// Lists the packages that plain programs stand for, one "<package> <version>" a line; read_facts reads it.
inline constexpr const char* programs_list = "/usr/lib/makina/programs";

/// The archive of a version's packages: "<url>/core:/stable:/v1.34/deb/". There is one for each minor version.
[[nodiscard]] std::string kubernetes_repository(const KubernetesArchive& archive, const Version& version);

/// Chooses out of a folder: .deb files for the architecture (kubeadm, kubelet and kubectl in the wanted version, the
/// others in the newest one that is there), or programs by their names; cni/ may hold the CNI plugins. Throws Error
/// naming everything that is missing, and programs of another architecture. Without .debs, crictl and cni/ may be
/// missing.
[[nodiscard]] KubernetesParts kubernetes_from_folder(const BaseRequest& request);

/// Chooses out of the archive, which must be signed by the key of the pinned fingerprint. `folder` keeps what is
/// fetched. If nobody answers, `silent` is called with the reason and nothing is chosen. Throws Untrusted for another
/// key or a wrong signature, Error if the archive lacks a package in the wanted version.
[[nodiscard]] KubernetesParts kubernetes_from_archive(const BaseRequest& request, const std::filesystem::path& folder,
                                                      const std::function<void(const std::string& why)>& silent);

/// Fetches what is not here yet. Throws Untrusted, Error.
void fetch_kubernetes(KubernetesParts& parts);

/// One text that is equal exactly if the parts are: name, version, architecture and sha256 of each.
[[nodiscard]] std::string describe_kubernetes(const KubernetesParts& parts);

/// Bytes that the parts take in a file system, with some room for rounding.
[[nodiscard]] std::uint64_t kubernetes_size(const KubernetesParts& parts);

/// Writes the plain programs, owned by root with mode 0755, and their list. `time` in seconds since 1970 is the time
/// stamp of all of them. Without programs nothing is written.
void write_programs(Ext4& root, const KubernetesParts& parts, std::int64_t time);

}  // namespace makina
