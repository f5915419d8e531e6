#include "builder/plan.hpp"

#include <algorithm>

#include "builder/plan/parts.hpp"
#include "builder/read_file.hpp"
#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/payload.hpp"

namespace makina {
namespace {

Value::List as_list(const std::vector<std::string>& words) {
    return {words.begin(), words.end()};
}

// A unit of ours that `only if` left out must not stay enabled: its link leads to nothing.
void drop_loose_links(FileTree& tree) {
    std::vector<std::string> loose;
    for (const auto& [path, file] : tree.files()) {
        const auto folder = path.find(".wants/");
        if (file.kind == FileKind::symlink && folder != std::string::npos && file.content.rfind("../", 0) == 0 &&
            tree.find("/etc/systemd/system/" + file.content.substr(3)) == nullptr) {
            loose.push_back(path);
        }
    }
    for (const std::string& path : loose) {
        tree.remove(path);
    }
}

// What only some nodes of a role run: a link of the overlay would enable it on all of them.
void enable_units(const Profile& profile, ImagePlan& plan) {
    if (plan.node.role != Role::gateway) return;
    const std::pair<const char*, bool> units[] = {{"keepalived.service", profile.shares_gateway()},
                                                  {"conntrackd.service", profile.gateway.conntrack_sync}};
    for (const auto& [unit, runs] : units) {
        if (!runs) continue;
        plan.files.put(File{.path = std::string("/etc/systemd/system/multi-user.target.wants/") + unit,
                            .kind = FileKind::symlink,
                            .mode = 0777,
                            .content = std::string("/usr/lib/systemd/system/") + unit,
                            .origin = "gateways that share an address"});
    }
}

void read_overlays(const Node& node, const Value::Group& values, const std::filesystem::path& overlays,
                   FileTree& files) {
    for (const std::string& folder : {std::string("any"), to_string(node.role)}) {
        read_overlay(overlays / folder, "overlays/" + folder, values, files);
    }
}

/// Names a configuration: eight digits fit into the name of a process (prctl(2), PR_SET_NAME: 15 characters).
std::string short_digest(const FileTree& files, const std::string& path) {
    const File* const file = files.find(path);
    return file == nullptr ? "" : sha256(file->content).substr(0, 8);
}

/// What the templates are rendered with. Files that name themselves, or others, are rendered without names first.
Value::Group values_for(const Profile& profile, const Node& node, const BaseFacts& base,
                        const std::vector<std::string>& first_boot, const std::filesystem::path& overlays) {
    Value::Group values = template_values(profile, node, base);
    values.emplace("first_boot", as_list(first_boot));
    values.emplace("first_boot_kubernetes", as_list(missing_kubernetes(base, node.role)));
    const auto named = [&](const std::string& haproxy, const std::string& keepalived) {
        values.insert_or_assign("configuration", Value::Group{{"haproxy", haproxy}, {"keepalived", keepalived}});
    };
    named("unnamed", "unnamed");
    FileTree files;
    read_overlays(node, values, overlays, files);
    add_extra_files(profile, node, files);
    named(short_digest(files, "/etc/haproxy/haproxy.cfg"), short_digest(files, "/etc/keepalived/keepalived.conf"));
    return values;
}

}  // namespace

void add_extra_files(const Profile& profile, const Node& node, FileTree& files) {
    for (const ExtraFile& extra : extras_of(profile, node).files) {
        files.put(File{.path = extra.path,
                       .mode = extra.mode,
                       .content = extra.content,
                       .origin = "the profile's files for " + to_string(node.role)});
    }
}

void add_manifests(const Profile& profile, ImagePlan& plan) {
    if (plan.node.role != Role::control_plane) {
        return;
    }
    int number = 0;
    for (const std::filesystem::path& manifest : profile.manifests) {
        // The number keeps the profile's order when the folder is applied by name.
        ++number;
        const std::string order = (number < 10 ? "0" : "") + std::to_string(number);
        plan.files.put(File{.path = "/etc/kubernetes/makina/manifests/" + order + "-" + manifest.filename().string(),
                            .content = read_file(manifest),
                            .origin = "the profile's manifests"});
    }
}

ImagePlan plan_image(const Profile& profile, const Node& node, const BaseFacts& base,
                     const std::filesystem::path& overlays) {
    check_values(profile, node, base);
    ImagePlan plan;
    plan.node = node;
    plan.cluster = profile.name;
    plan.base_id = base.id;
    plan.built = base.built;
    add_first_boot(profile, base, plan);
    read_overlays(node, values_for(profile, node, base, plan.first_boot, overlays), overlays, plan.files);
    drop_loose_links(plan.files);
    enable_units(profile, plan);
    adapt_to_layout(profile, node, base, plan);
    use_old_iptables(profile, plan);
    add_manifests(profile, plan);
    add_extra_files(profile, node, plan.files);
    add_warnings(profile, base, plan);
    // What is written is not removed.
    plan.removals.erase(std::remove_if(plan.removals.begin(), plan.removals.end(),
                                       [&](const std::string& path) { return plan.files.find(path) != nullptr; }),
                        plan.removals.end());
    return plan;
}

std::vector<Payload> handed_over(const Profile& profile, const Node& node, const std::filesystem::path& overlays) {
    FileTree files;
    read_overlays(node, values_for(profile, node, {}, {}, overlays), overlays, files);
    add_extra_files(profile, node, files);
    std::vector<Payload> payloads;
    for (const PayloadKind& kind : payload_kinds()) {
        if (kind.role != to_string(node.role) || kind.image_file.empty()) continue;
        const File* const file = files.find(std::string(kind.image_file));
        if (file != nullptr) payloads.push_back({std::string(kind.name), file->content});
    }
    return payloads;
}

}  // namespace makina
