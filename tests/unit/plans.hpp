#pragma once

#include <algorithm>
#include <filesystem>
#include <string>

#include "builder/plan.hpp"
#include "firstboot/bundle/error.hpp"
#include "tests/unit/clusters.hpp"

namespace makina::plans {

// Plans of the clusters built by hand, and questions about them.

inline std::filesystem::path overlays_folder() {
    return std::filesystem::path(MAKINA_SOURCE) / "overlays";
}

inline ImagePlan plan_of(const Profile& profile, const std::string& node) {
    return plan_image(profile, *profile.find(node), clusters::debian(profile), overlays_folder());
}

inline ImagePlan plan_of(const Profile& profile, const std::string& node, const BaseFacts& base) {
    return plan_image(profile, *profile.find(node), base, overlays_folder());
}

inline std::string content(const ImagePlan& plan, const std::string& path) {
    const File* file = plan.files.find(path);
    return file == nullptr ? "(no " + path + ")" : file->content;
}

inline std::string problem(const Profile& profile, const std::string& node) {
    try {
        (void)plan_of(profile, node);
        return "no error";
    } catch (const Error& error) {
        return error.what();
    }
}

inline Node& node_of(Profile& profile, const std::string& name) {
    return *std::find_if(profile.nodes.begin(), profile.nodes.end(),
                         [&](const Node& node) { return node.name == name; });
}

inline bool masked(const ImagePlan& plan, const std::string& path) {
    const File* file = plan.files.find(path);
    return file != nullptr && file->kind == FileKind::symlink && file->content == "/dev/null";
}

inline bool enabled(const ImagePlan& plan, const std::string& unit) {
    for (const char* target : {"multi-user", "sysinit", "sockets"}) {
        const File* file = plan.files.find("/etc/systemd/system/" + std::string(target) + ".target.wants/" + unit);
        if (file != nullptr && file->kind == FileKind::symlink) {
            return true;
        }
    }
    return false;
}

}  // namespace makina::plans
