#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "builder/base/apt.hpp"
#include "builder/base/deb.hpp"

namespace makina {

/// The twin: the node's packages of the same versions, built for this machine's architecture, installed in a chroot by
/// mmdebstrap. Maintainer scripts are the same on every architecture, so what they did to the twin (users, groups,
/// enabled units, alternatives, certificates, ...) is what they would have done on the node, at native speed. This is
/// how a base for another architecture is made complete without emulating a processor.
struct TwinRequest {
    std::filesystem::path work;            ///< folder for what is in between; the caller removes it
    std::vector<ArchivePackage> packages;  ///< of the twin's architecture
    std::filesystem::path sources;         ///< sources.list
    std::filesystem::path debs;            ///< folder with the fetched .debs
    std::string suite;                     ///< "trixie"
    std::string architecture;              ///< this machine's, "amd64"
    std::string kernel;                    ///< the node's kernel version; empty for none
    std::filesystem::path kernel_tree;     ///< its unpacked package: usr/lib/modules/<kernel>, boot/config-<kernel>
    std::int64_t built = 0;                ///< clock for everything that is made, seconds since 1970
    std::vector<std::string> exclude;      ///< dpkg path-exclude patterns
    std::vector<std::string> include;      ///< dpkg path-include patterns, stronger than exclude
};

/// Installs the twin, with an initramfs for the node's kernel in /boot, and gives the path of its root as a tar file.
[[nodiscard]] std::filesystem::path build_twin(const TwinRequest& request);

/// Files as they were unpacked, before any maintainer script ran: path -> entry.
using Unpacked = std::map<std::string, PackedFile>;

/// How names differ between two architectures: library folders and the dynamic linker (Debian's multiarch tuples).
struct Translation {
    std::vector<std::pair<std::string, std::string>> replacements;  ///< applied in order
    std::map<std::string, std::string> additions;                   ///< path -> text that the node's file ends with
    [[nodiscard]] std::string apply(std::string text) const;
};
[[nodiscard]] Translation amd64_to_arm64();

/// What configuring did to the twin, in the node's names.
struct Configuration {
    /// Made or changed by maintainer scripts. Folders, links and regular files.
    std::vector<std::pair<PackedFile, std::string>> written;
    /// Only owner, mode or attributes changed.
    std::vector<PackedFile> changed;
    /// Unpacked, then removed again.
    std::vector<std::string> removed;
    std::string initramfs;      ///< with the twin's programs
    std::string passwd, group;  ///< the texts of /etc/passwd and /etc/group
};

/// Compares a finished twin with what its packages unpacked. Throws Error if a maintainer script made a program of the
/// twin's architecture: such a file cannot be carried over.
[[nodiscard]] Configuration read_configuration(const std::filesystem::path& twin, const Unpacked& unpacked,
                                               const Translation& translation);

/// Rewrites a twin's initramfs for the node: every program and library is replaced by the node's own, which `read`
/// gives by path. `twin` and `node` are what the packages of both unpacked. Throws Error for a program without a
/// counterpart.
[[nodiscard]] std::string translate_initramfs(const std::string& initramfs, const Unpacked& twin, const Unpacked& node,
                                              const Translation& translation,
                                              const std::function<std::string(const std::string& path)>& read,
                                              std::int64_t built);

}  // namespace makina
