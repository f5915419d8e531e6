#pragma once

#include <map>
#include <string>
#include <vector>

#include "builder/base/apt.hpp"
#include "builder/file_tree.hpp"

namespace makina {

/// What dpkg remembers of one installed package.
struct InstalledPackage {
    ArchivePackage package;
    std::map<std::string, std::string> control;    ///< the control part's files (deb(5))
    std::vector<std::string> paths;                ///< everything it unpacked, as in its archive: "/usr/bin/x"
    std::map<std::string, std::string> conffiles;  ///< path -> MD5 in hex
    bool hold = false;                             ///< kept at its version, as by apt-mark hold
};

/// dpkg's and apt's records of a set of installed packages, as the two tools would have written them:
/// /var/lib/dpkg/{status,available,arch,info/*} and /var/lib/apt/extended_states (dpkg(1), deb-control(5)).
[[nodiscard]] std::vector<File> package_database(const std::vector<InstalledPackage>& packages,
                                                 const std::string& architecture);

/// The part of it that is one package's own: /var/lib/dpkg/info/<name>.*
[[nodiscard]] std::vector<File> package_records(const InstalledPackage& package);

/// One paragraph of dpkg's status file for an installed package.
[[nodiscard]] std::string status_paragraph(const InstalledPackage& package);

/// dpkg's own name for a package's records: "libc6:arm64" where several architectures may be installed at once.
[[nodiscard]] std::string record_name(const InstalledPackage& package);

}  // namespace makina
