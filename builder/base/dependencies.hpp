#pragma once

#include <map>
#include <string>
#include <vector>

namespace makina {

/// The fields of one control paragraph (deb-control(5)); continuation lines belong to the field above them.
[[nodiscard]] std::map<std::string, std::string> control_fields(const std::string& paragraph);

/// Paragraphs of a file such as /var/lib/dpkg/status, without the empty lines between them.
[[nodiscard]] std::vector<std::string> control_paragraphs(const std::string& file);

/// True if dpkg calls the Debian version `a` newer than `b`.
[[nodiscard]] bool is_newer(const std::string& a, const std::string& b);

/// The packages of a system, by what others may depend on: their names and what they provide.
class PackageSet {
  public:
    /// Adds the package of a control paragraph.
    void add(const std::string& paragraph);
    /// Adds a package whose version is not known: it satisfies every version.
    void add_name(const std::string& name) { versions_[name].emplace_back(); }
    [[nodiscard]] bool has(const std::string& name) const { return versions_.count(name) != 0; }
    /// What the package of a control paragraph depends on and nothing here satisfies, as it says it: "socat",
    /// "cri-tools (>= 1.30)".
    [[nodiscard]] std::vector<std::string> unmet(const std::string& paragraph) const;

  private:
    [[nodiscard]] bool satisfies(const std::string& alternative) const;

    std::map<std::string, std::vector<std::string>> versions_;  ///< an empty version satisfies every one
};

}  // namespace makina
