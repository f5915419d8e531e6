#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "builder/base/apt.hpp"
#include "builder/base/base.hpp"
#include "builder/base/kubernetes.hpp"

namespace makina {

/// Part of every base's identity: raised whenever equal packages would give other bytes.
inline constexpr const char* package_recipe = "package-base 4";

/// Layout of a base made from packages: an MBR, a FAT partition that the firmware reads, and an ext4 root.
inline constexpr std::uint64_t boot_offset = 8ULL << 20;  ///< bytes; the vendors' images align to 8 MiB as well
inline constexpr std::uint64_t boot_size = 512ULL << 20;  ///< room for two kernels and their initramfs
inline constexpr std::uint64_t root_offset = boot_offset + boot_size;

/// What goes into a base, without Kubernetes.
struct PackageList {
    std::vector<ArchivePackage> packages;  ///< in the order in which they are installed
    std::string description;               ///< one text that is equal exactly if the bases are
};

/// Asks the archive. `apt_folder` keeps apt's indexes and .debs between runs. Throws Untrusted, Error.
[[nodiscard]] PackageList list_packages(const BaseRequest& request, const std::filesystem::path& apt_folder);

/// Makes a base of the packages that were listed, with the same `apt_folder`, at `folder`/disk.img, without emulation
/// (see twin.hpp). `kubernetes` goes in besides, its packages on hold. Throws Untrusted, Error.
void build_package_base(const BaseRequest& request, const std::vector<ArchivePackage>& packages,
                        const std::filesystem::path& apt_folder, const std::filesystem::path& folder,
                        const std::string& id, const KubernetesParts& kubernetes = {});

}  // namespace makina
