#include "builder/commands/diff.hpp"

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "builder/card/card.hpp"

namespace makina {
namespace {

std::string to_json(const std::vector<Difference>& differences) {
    nlohmann::ordered_json json = nlohmann::ordered_json::array();
    for (const Difference& difference : differences) {
        json.push_back({{"path", difference.path}, {"what", difference.what}, {"diff", difference.diff}});
    }
    return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + '\n';
}

}  // namespace

int diff(const DiffOptions& options, const PlannedFiles& planned_files, std::ostream& out) {
    const std::vector<Difference> differences =
        options.images.empty() ? diff_trees(planned_files(options.profile, options.nodes.at(0)),
                                            planned_files(options.profile, options.nodes.at(1)))
                               : diff_cards(Card(options.images.at(0)), Card(options.images.at(1)));
    out << (options.json ? to_json(differences) : to_text(differences));
    return differences.empty() ? 0 : 1;
}

void add_diff(CLI::App& app, const PlannedFiles& planned_files, int& exit_code) {
    const auto options = std::make_shared<DiffOptions>();
    CLI::App* const command = app.add_subcommand("diff", "tell what differs between two images or two nodes");
    command->footer(
        "Exit code: 0 if nothing differs, 1 if something does (or with a message, if it could not be told), 2 for a "
        "mistake in the command line or the profile.");
    auto* const images = command->add_option("images", options->images, "two image files")
                             ->expected(2)
                             ->check(CLI::ExistingFile)
                             ->type_name("A B");
    auto* const nodes = command->add_option("--role", options->nodes, "a node of the profile; give it twice")
                            ->expected(1)
                            ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
                            ->type_name("NODE")
                            ->excludes(images);
    command->add_option("--profile", options->profile, "the cluster's file")->needs(nodes)->type_name("FILE");
    command->add_flag("--json", options->json, "as JSON, for programs");
    command->callback([options, planned_files, &exit_code] {
        if (options->images.empty() && options->nodes.size() != 2) {
            throw CLI::ValidationError("diff", "give two images, or --role twice");
        }
        exit_code = diff(*options, planned_files, std::cout);
    });
}

}  // namespace makina
