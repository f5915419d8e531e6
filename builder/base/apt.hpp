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

/// Where apt reads from and whom it trusts.
struct AptSource {
    std::string lines;   ///< as in sources.list(5), each with a signed-by
    std::string signer;  ///< for people: "a Debian archive key"
    std::string key;     ///< OpenPGP packets of the key that the lines name by fingerprint; empty if they name a file
};

/// apt on a folder of its own: it resolves and fetches packages of another architecture without touching this machine's
/// packages. Signatures are checked; an archive that does not verify is refused.
class Apt {
  public:
    /// The Debian archive of a base, signed by a key of Debian's keyring. `folder` keeps indexes and .debs between
    /// runs. Throws Error if apt or the keyring is missing.
    Apt(std::filesystem::path folder, std::string architecture, const Base& base);
    /// Any other archive.
    Apt(std::filesystem::path folder, std::string architecture, const AptSource& source);

    /// Fetches the archive's indexes. Throws Untrusted if a signature is wrong, Error if the network fails.
    void update() const;
    /// Everything that has to be installed on an empty system for `packages` and the essential ones, sorted by name.
    /// Throws Error naming a package that the archive does not have.
    [[nodiscard]] std::vector<ArchivePackage> resolve(const std::vector<std::string>& packages) const;
    /// Fetches what is missing (resuming what was interrupted), and gives the paths of the .debs in the same order.
    [[nodiscard]] std::vector<std::filesystem::path> fetch(const std::vector<ArchivePackage>& packages) const;
    /// Every version of a package that the archive has for the architecture; empty if it has none.
    [[nodiscard]] std::vector<ArchivePackage> offered(const std::string& package) const;
    /// As fetch, but only these packages, whatever they need: an archive that has only some packages cannot be resolved
    /// alone. Throws Untrusted for a .deb that is not the one of the signed index.
    [[nodiscard]] std::vector<std::filesystem::path> fetch_only(const std::vector<ArchivePackage>& packages) const;
    /// The folder of the .debs.
    [[nodiscard]] std::filesystem::path debs() const { return folder_ / "var/cache/apt/archives"; }
    /// The sources as apt reads them; one line an archive.
    [[nodiscard]] const std::filesystem::path& sources() const { return sources_; }

  private:
    [[nodiscard]] std::string run_apt(std::vector<std::string> argv) const;
    [[nodiscard]] std::filesystem::path deb_of(const ArchivePackage& package) const;

    std::filesystem::path folder_;
    std::filesystem::path sources_;
    std::string architecture_;
    std::string signer_;
};

}  // namespace makina
