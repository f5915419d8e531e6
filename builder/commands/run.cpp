#include <CLI/CLI.hpp>
#include <csignal>
#include <iostream>

#include "builder/commands/build.hpp"
#include "builder/commands/bundle.hpp"
#include "builder/commands/check.hpp"
#include "builder/commands/cluster.hpp"
#include "builder/commands/commands.hpp"
#include "builder/commands/completion.hpp"
#include "builder/commands/diff.hpp"
#include "builder/commands/flash.hpp"
#include "builder/commands/inspect.hpp"
#include "builder/commands/keys.hpp"
#include "builder/commands/kubeconfig.hpp"
#include "builder/commands/output.hpp"
#include "builder/commands/rehearse.hpp"
#include "builder/commands/stand_in.hpp"
#include "builder/commands/unexpected.hpp"
#include "builder/commands/watch.hpp"

namespace makina {
namespace {

/// What would be written for a node, for `diff --role A --role B`.
FileTree planned_files(const std::filesystem::path& file, const std::string& name) {
    const Profile profile = load_profile(profile_or_default(file));
    const Node& node = node_named(profile, name);
    Bases bases(profile, {cache_or_default({}), false, false},
                [](const std::string& text) { std::cerr << "base: " << text << '\n'; });
    return plan_image(profile, node, bases.for_node(node).facts, project_folder() / "overlays").files;
}

int fail(const std::string& text, int code) {
    std::cerr << (code == 2 ? "" : "makina-image: ") << text << std::endl;
    return code;
}

/// CLI11 only says that a subcommand is required; a typing error deserves the word that was meant.
void require_known_command(const CLI::App& app, const std::string& word) {
    std::vector<std::string> names;
    std::string all;
    for (const CLI::App* const command : app.get_subcommands({})) {
        if (command->get_name() == word) return;
        if (command->get_group().empty()) continue;
        names.push_back(command->get_name());
        all += (all.empty() ? "" : ", ") + command->get_name();
    }
    const auto meant = did_you_mean(word, names);
    throw Mistake("no command \"" + word + "\"" +
                  (meant ? ", did you mean \"" + *meant + "\"?" : "; there are " + all));
}

/// Help and the version are asked for by an exception, too.
int tell(const CLI::App& app, const CLI::ParseError& error, Output& output) {
    const bool is_unexpected = dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr ||
                               dynamic_cast<const CLI::RequiredError*>(&error) != nullptr;
    if (const auto words = is_unexpected ? unexpected_word(app) : std::nullopt) return fail(*words, 2);
    if (app.exit(error) != 0) return 2;
    try {
        output.require_written();
        return 0;
    } catch (const Error& fault) {
        return fail(fault.what(), 1);
    }
}

}  // namespace

int run_makina_image(int argc, char** argv) {
    // A reader that goes away (`inspect | head`) is told by a failed write, not by our death half-way through a file.
    (void)std::signal(SIGPIPE, SIG_IGN);
    Output output;
    int exit_code = 0;
    CLI::App app("makina-image: SD-card images for the nodes of a Kubernetes cluster");
    app.require_subcommand(1);
    app.footer(
        "Start with: makina-image build --role master-1\nExit codes: 0 done, 1 a fault, 2 a mistake in the command "
        "line or the profile.");
    app.set_version_flag("--version", "makina-image " MAKINA_VERSION);
    add_build(app, exit_code);
    add_flash(app, exit_code);
    add_check(app, exit_code);
    add_inspect(app, exit_code);
    add_diff(app, planned_files, exit_code);
    add_rehearse(app, exit_code);
    add_watch(app, exit_code);
    add_keys(app, exit_code);
    add_bundle(app, exit_code);
    add_kubeconfig(app, exit_code);
    add_completion(app, exit_code);
    add_stand_in(app);
    try {
        if (argc > 1 && argv[1][0] != '-') require_known_command(app, argv[1]);
        app.parse(argc, argv);
        output.require_written();
        return exit_code;
    } catch (const CLI::ParseError& error) {
        return tell(app, error, output);
    } catch (const Mistake& error) {
        return fail(error.what(), 2);
    } catch (const Error& error) {
        return fail(error.what(), 1);
    } catch (const std::exception& error) {
        return fail(std::string("unexpected fault: ") + error.what(), 1);
    }
}

}  // namespace makina
