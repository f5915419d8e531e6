#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "builder/base/apt.hpp"
#include "builder/base/database.hpp"
#include "builder/base/deb.hpp"
#include "builder/base/dependencies.hpp"
#include "builder/disk/disk.hpp"

namespace makina {

/// A package as it goes into a root file system: what it is, and its .deb.
struct Deb {
    ArchivePackage package;
    std::filesystem::path file;
};

/// Where the entries of a .deb go.
struct Unpacking {
    std::function<bool(const std::string& path)> wanted;  ///< false leaves an entry out; it stays in dpkg's list
    std::function<void(const PackedFile&, const std::string& content)> place;
};

/// Hands the entries of a .deb to `unpacking` and gives what dpkg has to remember of the package. No maintainer script
/// runs.
[[nodiscard]] InstalledPackage unpack_package(const Deb& deb, const Unpacking& unpacking);

/// When a .deb was made: the decimal date of its first member, seconds since 1970 (ar(5)).
[[nodiscard]] std::int64_t deb_time(const std::filesystem::path& deb);

/// What a package takes when it is installed, in KiB, as its control file says.
[[nodiscard]] std::uint64_t installed_kib(const std::string& control);

/// Throws Error naming every dependency of the .debs that neither `there` nor the .debs themselves satisfy.
void require_dependencies(const std::vector<Deb>& debs, PackageSet there);

/// Unpacks packages into the root file system of an image that has dpkg's records already, and adds them there as
/// installed and on hold, so that no upgrade of the node changes them (apt-mark(8)). What the image has in the same
/// version stays as it is. `later` names packages that will be there before the node needs them. Throws Error if the
/// image has another version of one, has a file of one in another package, or lacks what one depends on.
void install_debs(Ext4& root, const std::vector<Deb>& debs, const std::vector<std::string>& later);

}  // namespace makina
