#include "builder/commands/kubeconfig.hpp"

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "builder/commands/cluster.hpp"
#include "builder/commands/keyring.hpp"
#include "builder/commands/recipient.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

struct KubeconfigOptions {
    std::filesystem::path profile;
    KeyringOptions keyring;
    Keys::User user{"kubernetes-admin", ""};
    std::filesystem::path output = "kubeconfig";
    std::int64_t valid_days = 365;
};

/// What Kubernetes reads as a user or a group; "system:" names are its own parts'.
void require_name(const char* option, const std::string& name, bool is_group) {
    const bool whole = !name.empty() && name.find_first_not_of(
                                            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                            "0123456789.-_@:") == std::string::npos;
    if (!whole || name.size() > 64) {
        throw Mistake(std::string(option) + ": letters, digits and .-_@: are allowed, at most 64");
    }
    if (!is_group && name.starts_with("system:")) {
        throw Mistake(std::string(option) + ": names that begin with system: are those of Kubernetes' own parts");
    }
}

int issue(const KubeconfigOptions& options) {
    require_name("--user", options.user.name, false);
    if (!options.user.group.empty()) require_name("--group", options.user.group, true);
    const Profile profile = load_profile(profile_or_default(options.profile));
    if (std::filesystem::exists(std::filesystem::symlink_status(options.output))) {
        throw Mistake(options.output.string() + " exists already: choose another --output, or remove it");
    }
    const Keys keys = open_keys(profile.name, options.keyring);
    Keys::User user = options.user;
    if (user.name == "kubernetes-admin" && user.group.empty()) user.group = admin_group(profile);
    const std::string server = "https://" + to_string(profile.api.address) + ":" + std::to_string(profile.api.port);
    const std::int64_t now = seconds_now();
    const std::int64_t lasts = options.valid_days * 86400;
    make_private_folders(options.output);
    write_private(options.output, keys.kubeconfig(user, server, now, lasts));
    std::cout << options.output.string() << ": " << user.name
              << (user.group.empty() ? "" : " of the group " + user.group) << ", " << server << ", until "
              << date_of(now + lasts) << "\nKUBECONFIG=" << options.output.string() << " kubectl get nodes\n";
    return 0;
}

}  // namespace

void add_kubeconfig(CLI::App& app, int& exit_code) {
    const auto options = std::make_shared<KubeconfigOptions>();
    CLI::App* const command = app.add_subcommand("kubeconfig", "issues a kubeconfig from the cluster's keys");
    command->footer(
        "Example: makina-image kubeconfig --output ~/.kube/config\nA user of one's own: makina-image kubeconfig --user "
        "anna --group developers --days 30\nKubernetes cannot take a certificate back: let it be short.");
    command->add_option("--profile", options->profile, "the cluster's file (default: profiles/makina.yaml)")
        ->type_name("FILE");
    add_keyring_options(*command, options->keyring);
    command->add_option("--user", options->user.name, "who it is for; without it an administrator");
    command->add_option("--group", options->user.group, "the group that roles are bound to");
    command->add_option("--days", options->valid_days, "for how many days it is good")->check(CLI::Range(1, 1825));
    command->add_option("--output,-o", options->output, "the file, which is not there yet; only you can read it");
    command->callback([options, &exit_code] { exit_code = issue(*options); });
}

}  // namespace makina
