#include "builder/commands/check.hpp"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "builder/commands/cluster.hpp"

namespace makina {
namespace {

struct CheckOptions {
    std::filesystem::path profile;
    bool json = false;
};

void print_json(const ProfileReading& reading, const std::filesystem::path& file) {
    nlohmann::ordered_json complaints = nlohmann::ordered_json::array();
    for (const Complaint& complaint : reading.complaints) {
        complaints.push_back({{"line", complaint.line}, {"column", complaint.column}, {"text", complaint.text}});
    }
    const nlohmann::ordered_json document = {
        {"profile", file.string()}, {"ok", reading.profile.has_value()}, {"complaints", complaints}};
    std::cout << document.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
}

int check(const CheckOptions& options) {
    const std::filesystem::path file = profile_or_default(options.profile);
    if (options.json) {
        const ProfileReading reading = read_named_profile(file);
        print_json(reading, file);
        return reading.profile ? 0 : 2;
    }
    const Profile profile = load_profile(file);
    std::cout << file.string() << ": no mistakes; cluster " << profile.name << ", Kubernetes "
              << to_string(profile.kubernetes.version) << ", API at " << to_string(profile.api.address) << ":"
              << profile.api.port << "\n";
    for (const Node& node : profile.nodes) {
        std::cout << "  " << node.name << std::string(node.name.size() < 16 ? 16 - node.name.size() : 1, ' ')
                  << to_string(node.address) << "  " << to_string(node.role) << "\n";
    }
    return 0;
}

}  // namespace

void add_check(CLI::App& app, int& exit_code) {
    const auto options = std::make_shared<CheckOptions>();
    CLI::App* const command = app.add_subcommand("check", "read a profile and say every mistake in it");
    command->add_option("profile,--profile", options->profile, "the cluster's file (default: profiles/makina.yaml)")
        ->type_name("FILE");
    command->add_flag("--json", options->json, "as JSON, for programs");
    command->callback([options, &exit_code] { exit_code = check(*options); });
}

}  // namespace makina
