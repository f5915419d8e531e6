#include "builder/commands/completion.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>

#include "builder/commands/cluster.hpp"

namespace makina {
namespace {

std::string options_of(const CLI::App& command) {
    std::string words;
    for (const CLI::Option* const option : command.get_options()) {
        for (const std::string& name : option->get_lnames()) words += (words.empty() ? "--" : " --") + name;
    }
    return words;
}

bool takes_a_node(const std::string& option) {
    constexpr std::array<std::string_view, 7> all = {"role", "node", "nodes", "kill", "restart", "replace", "cut"};
    return std::find(all.begin(), all.end(), option) != all.end();
}

/// bash and zsh (through bashcompinit) share one function: a case for each subcommand, node names asked at the moment.
std::string bash_script(const CLI::App& app) {
    std::string commands;
    std::string cases;
    for (const CLI::App* const command : app.get_subcommands({})) {
        if (command->get_group().empty()) continue;
        commands += (commands.empty() ? "" : " ") + command->get_name();
        cases += "        " + command->get_name() + ") words=\"" + options_of(*command) + "\" ;;\n";
    }
    return "_makina_image() {\n"
           "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words\n"
           "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
           "        COMPREPLY=($(compgen -W \"" +
           commands +
           "\" -- \"$word\"))\n        return\n    fi\n"
           "    case $before in\n"
           "        --role|--node|--nodes|--kill|--restart|--replace|--cut) COMPREPLY=($(compgen -W \"$(makina-image "
           "nodes 2>/dev/null)\" -- \"$word\")); "
           "return ;;\n"
           "    esac\n"
           "    case ${COMP_WORDS[1]} in\n" +
           cases +
           "    esac\n"
           "    case $word in\n"
           "        -*) COMPREPLY=($(compgen -W \"$words\" -- \"$word\")) ;;\n"
           "        *) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n"
           "    esac\n"
           "}\n"
           "complete -o filenames -F _makina_image makina-image\n";
}

std::string fish_script(const CLI::App& app) {
    std::string script;
    for (const CLI::App* const command : app.get_subcommands({})) {
        if (command->get_group().empty()) continue;
        const std::string& name = command->get_name();
        script += "complete -c makina-image -n __fish_use_subcommand -a " + name + " -d '" +
                  command->get_description() + "'\n";
        for (const CLI::Option* const option : command->get_options()) {
            for (const std::string& word : option->get_lnames()) {
                script += "complete -c makina-image -n '__fish_seen_subcommand_from " + name + "' -l " + word +
                          (takes_a_node(word) ? " -x -a '(makina-image nodes 2>/dev/null)'" : "") + "\n";
            }
        }
    }
    return script;
}

int print_script(const CLI::App& app, const std::string& shell) {
    if (shell == "zsh") std::cout << "autoload -U +X bashcompinit && bashcompinit\n";
    std::cout << (shell == "fish" ? fish_script(app) : bash_script(app));
    return 0;
}

int print_nodes(const std::string& file) {
    for (const Node& node : load_profile(profile_or_default(file)).nodes) std::cout << node.name << '\n';
    return 0;
}

}  // namespace

void add_completion(CLI::App& app, int& exit_code) {
    const auto shell = std::make_shared<std::string>();
    CLI::App* const command = app.add_subcommand("completion", "print a completion script for bash, zsh or fish");
    command->footer("Example: makina-image completion bash | sudo tee /etc/bash_completion.d/makina-image");
    command->add_option("shell", *shell, "bash, zsh or fish")
        ->required()
        ->check(CLI::IsMember({"bash", "zsh", "fish"}));
    command->callback([&app, shell, &exit_code] { exit_code = print_script(app, *shell); });

    const auto profile = std::make_shared<std::string>();
    CLI::App* const nodes = app.add_subcommand("nodes", "print the names of a profile's nodes, one a line");
    nodes->add_option("profile,--profile", *profile, "the cluster's file (default: profiles/makina.yaml)")
        ->type_name("FILE");
    nodes->callback([profile, &exit_code] { exit_code = print_nodes(*profile); });
}

}  // namespace makina
