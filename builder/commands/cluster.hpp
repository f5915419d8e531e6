#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "builder/base/base.hpp"
#include "builder/plan.hpp"
#include "builder/profile/profile.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {

/// A mistake of the person: in the command line or in a profile. The program ends with exit code 2.
class Mistake : public Error {
  public:
    using Error::Error;
};

/// Where the project's own folders are: $MAKINA_HOME, or the folder above the program that has overlays/ and profiles/.
[[nodiscard]] std::filesystem::path project_folder();
/// profiles/makina.yaml of the project, unless a profile is named.
[[nodiscard]] std::filesystem::path profile_or_default(const std::filesystem::path& profile);
/// $XDG_CACHE_HOME/makina or .cache/makina in home_folder(), unless a folder is named. Absolute.
[[nodiscard]] std::filesystem::path cache_or_default(const std::filesystem::path& cache);

/// The node's daemon for an architecture, as it was compiled beside this program; throws Error with what to do if it
/// was not.
[[nodiscard]] std::filesystem::path daemon_for(Architecture architecture);

/// Reads a profile that somebody has named; throws Mistake if it cannot be read.
[[nodiscard]] ProfileReading read_named_profile(const std::filesystem::path& file);
/// Reads a profile; throws Mistake with every complaint, one a line, if there is one, and if it cannot be read.
[[nodiscard]] Profile load_profile(const std::filesystem::path& file);
/// The node of that name; throws Mistake with what may have been meant.
[[nodiscard]] const Node& node_named(const Profile& profile, const std::string& name);

/// How bases are to be got.
struct BaseOptions {
    std::filesystem::path cache;
    bool refresh = false;
    bool offline = false;
};

/// Gives the base for each role, made at most once a run.
class Bases {
  public:
    Bases(const Profile& profile, BaseOptions options, std::function<void(const std::string&)> say)
        : profile_(profile), options_(std::move(options)), say_(std::move(say)) {}
    [[nodiscard]] const BaseImage& for_node(const Node& node);

  private:
    const Profile& profile_;
    BaseOptions options_;
    std::function<void(const std::string&)> say_;
    std::map<std::pair<Role, Architecture>, BaseImage> ready_;
};

}  // namespace makina
