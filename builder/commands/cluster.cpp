#include "builder/commands/cluster.hpp"

#include <cstdlib>

#include "builder/commands/home.hpp"

namespace makina {
namespace {

bool is_project(const std::filesystem::path& folder) {
    return std::filesystem::is_directory(folder / "overlays/any") && std::filesystem::is_directory(folder / "profiles");
}

std::string environment(const char* name) {
    const char* const value = std::getenv(name);
    return value == nullptr ? std::string() : std::string(value);
}

/// What was made in a cache is the person's own, also if no base came out of it.
class Giving {
  public:
    explicit Giving(const std::filesystem::path& cache) : cache_(cache) {}
    Giving(const Giving&) = delete;
    Giving& operator=(const Giving&) = delete;
    ~Giving() { give_to_invoker(cache_); }

  private:
    const std::filesystem::path& cache_;
};

}  // namespace

std::filesystem::path project_folder() {
    if (const std::string home = environment("MAKINA_HOME"); !home.empty()) {
        if (is_project(home)) return std::filesystem::absolute(home);
        throw Mistake("MAKINA_HOME is " + home +
                      ", which has no overlays/ and profiles/: set it to the project's folder");
    }
    for (auto folder = std::filesystem::read_symlink("/proc/self/exe").parent_path(); folder.has_relative_path();
         folder = folder.parent_path()) {
        if (is_project(folder)) return folder;
        if (is_project(folder / "share/makina")) return folder / "share/makina";
    }
    throw Mistake("the folders overlays/ and profiles/ are not found: set MAKINA_HOME to the project's folder");
}

std::filesystem::path profile_or_default(const std::filesystem::path& profile) {
    return profile.empty() ? project_folder() / "profiles/makina.yaml" : profile;
}

std::filesystem::path cache_or_default(const std::filesystem::path& cache) {
    if (!cache.empty()) return std::filesystem::absolute(cache);
    if (const std::string folder = environment("XDG_CACHE_HOME"); !folder.empty())
        return std::filesystem::path(folder) / "makina";
    if (const auto home = home_folder(); !home.empty()) return home / ".cache/makina";
    throw Mistake("neither XDG_CACHE_HOME nor HOME is set: say --cache FOLDER");
}

std::filesystem::path daemon_for(Architecture architecture) {
    const std::string preset = architecture == Architecture::arm64 ? "device" : "device-amd64";
    auto daemon = project_folder() / "build" / preset / "bin/makina-firstboot";
    if (std::filesystem::exists(daemon)) return daemon;
    throw Error("the node's daemon is not compiled: in the project's folder run cmake --preset " + preset +
                " && cmake --build --preset " + preset + ", or say --daemon FILE");
}

ProfileReading read_named_profile(const std::filesystem::path& file) {
    try {
        return read_profile(file);
    } catch (const Error& error) {
        throw Mistake(error.what());
    }
}

Profile load_profile(const std::filesystem::path& file) {
    ProfileReading reading = read_named_profile(file);
    if (reading.profile) return std::move(*reading.profile);
    std::string text;
    for (const Complaint& complaint : reading.complaints) text += to_string(file, complaint) + "\n";
    const std::size_t count = reading.complaints.size();
    throw Mistake(text + std::to_string(count) + (count == 1 ? " mistake in " : " mistakes in ") + file.string());
}

const Node& node_named(const Profile& profile, const std::string& name) {
    if (const Node* const node = profile.find(name); node != nullptr) return *node;
    std::vector<std::string> names;
    std::string all;
    for (const Node& node : profile.nodes) {
        names.push_back(node.name);
        all += (all.empty() ? "" : ", ") + node.name;
    }
    const auto meant = did_you_mean(name, names);
    throw Mistake(profile.path.string() + " has no node \"" + name + "\"" +
                  (meant ? ", did you mean \"" + *meant + "\"?" : "; its nodes are " + all));
}

const BaseImage& Bases::for_node(const Node& node) {
    const auto key = std::pair(node.role, node.architecture);
    if (const auto found = ready_.find(key); found != ready_.end()) return found->second;
    BaseRequest request;
    request.base = profile_.base;
    request.architecture = node.architecture;
    request.packages = packages_for(profile_, node.role, node.architecture);
    request.kubernetes = profile_.kubernetes;
    request.kubernetes_packages = kubernetes_packages_for(node.role);
    request.cache = options_.cache;
    request.refresh = options_.refresh;
    request.offline = options_.offline;
    request.say = say_;
    const Giving giving(options_.cache);
    return ready_[key] =
               during("preparing the base for " + to_string(node.role), [&] { return prepare_base(request); });
}

}  // namespace makina
