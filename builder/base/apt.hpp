#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "builder/profile/profile.hpp"

namespace makina {

/// One Debian package as the archive offers it.
struct ArchivePackage {
    std::string name;
    std::string version;
    std::string architecture;  ///< "arm64" or "all"
    std::string sha256;        ///< of the .deb, from the archive's signed index
    bool asked = false;        ///< named in the request, not only needed by another package
};

/// apt on a folder of its own: it resolves and fetches packages of another architecture without touching this machine's
/// packages. Signatures are checked with the Debian archive keyring; an archive that does not verify is refused.
class Apt {
  public:
    /// `folder` keeps indexes and .debs between runs. Throws Error if apt or the keyring is missing.
    Apt(std::filesystem::path folder, std::string architecture, const Base& base);

    /// Fetches the archive's indexes. Throws Untrusted if a signature is wrong, Error if the network fails.
    void update() const;
    /// Everything that has to be installed on an empty system for `packages` and the essential ones, sorted by name.
    /// Throws Error naming a package that the archive does not have.
    [[nodiscard]] std::vector<ArchivePackage> resolve(const std::vector<std::string>& packages) const;
    /// Fetches what is missing (resuming what was interrupted), and gives the paths of the .debs in the same order.
    [[nodiscard]] std::vector<std::filesystem::path> fetch(const std::vector<ArchivePackage>& packages) const;
    /// The folder of the .debs.
    [[nodiscard]] std::filesystem::path debs() const { return folder_ / "var/cache/apt/archives"; }
    /// The sources as apt reads them; one line an archive.
    [[nodiscard]] const std::filesystem::path& sources() const { return sources_; }

  private:
    [[nodiscard]] std::string run_apt(std::vector<std::string> argv) const;

    std::filesystem::path folder_;
    std::filesystem::path sources_;
    std::string architecture_;
};

}  // namespace makina
