#include "builder/commands/completion.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

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

/// As `replace NODE`.
bool has_a_node_as_word(const CLI::App& command) {
    const auto options = command.get_options();
    return std::any_of(options.begin(), options.end(), [](const CLI::Option* option) {
        return option->get_positional() && option->get_single_name() == "node";
    });
}

std::vector<const CLI::App*> children_of(const CLI::App& command) {
    std::vector<const CLI::App*> children;
    for (const CLI::App* const child : command.get_subcommands({})) {
        if (!child->get_group().empty()) children.push_back(child);
    }
    return children;
}

std::string names_of(const std::vector<const CLI::App*>& commands) {
    std::string names;
    for (const CLI::App* const command : commands) names += (names.empty() ? "" : " ") + command->get_name();
    return names;
}

/// `words` are what may follow the command if it begins with a dash, `below` are its subcommands.
std::string bash_case(const CLI::App& command, const std::string& name) {
    const std::vector<const CLI::App*> children = children_of(command);
    std::string text = "        \"" + name + "\") words=\"" + options_of(command) + "\"";
    if (!children.empty()) text += " below=\"" + names_of(children) + "\"";
    if (has_a_node_as_word(command)) text += " node=yes";
    text += " ;;\n";
    for (const CLI::App* const child : children) text += bash_case(*child, name + " " + child->get_name());
    return text;
}

constexpr const char* bash_begin = R"bash(_makina_image() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]}
    local words= below= node= part i
    local -a profile
    profile=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        part=${COMP_WORDS[i]}
        case $part in
            --profile=*) profile=("${part#*=}") ;;
            --profile)
                profile=("${COMP_WORDS[i+1]}")
                [ "${profile[0]}" != = ] || profile=("${COMP_WORDS[i+2]}")
                ;;
        esac
    done
    [ ${#profile[@]} -eq 0 ] || profile=("${profile[0]/#\~\//$HOME/}")
)bash";

constexpr const char* bash_end = R"bash(    if [ "$node" = yes ]; then
        case $word in
            -*|*/*|.*) ;;
            *) case $before in -*|=) ;; *) before=--node ;; esac ;;
        esac
    fi
    case $before in
        --role|--node|--nodes|--kill|--restart|--replace|--cut)
            COMPREPLY=($(compgen -W "$(makina-image nodes "${profile[@]}" 2>/dev/null)" -- "$word"))
            return
            ;;
    esac
    case $word in
        -*) COMPREPLY=($(compgen -W "$words" -- "$word")) ;;
        *)
            if [ -n "$below" ]; then
                COMPREPLY=($(compgen -W "$below" -- "$word"))
            else
                COMPREPLY=($(compgen -f -- "$word"))
            fi
            ;;
    esac
}
complete -o filenames -F _makina_image makina-image
)bash";

/// bash and zsh (through bashcompinit) share one function: a case for each command, node names asked at the moment, of
/// the profile that stands in the line.
std::string bash_script(const CLI::App& app) {
    const std::vector<const CLI::App*> commands = children_of(app);
    std::string cases;
    std::string parents;
    for (const CLI::App* const command : commands) {
        cases += bash_case(*command, command->get_name());
        const std::string below = names_of(children_of(*command));
        if (!below.empty()) parents += "        " + command->get_name() + ") below=\"" + below + "\" ;;\n";
    }
    return std::string(bash_begin) + "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        COMPREPLY=($(compgen -W \"" +
           names_of(commands) + "\" -- \"$word\"))\n        return\n    fi\n    case $command in\n" + parents +
           "    esac\n    for ((i = 2; i < COMP_CWORD; i++)); do\n        case \" $below \" in\n"
           "            *\" ${COMP_WORDS[i]} \"*) command=\"$command ${COMP_WORDS[i]}\" below= ;;\n"
           "        esac\n    done\n    below=\n    case $command in\n" +
           cases + "    esac\n" + bash_end;
}

constexpr const char* fish_nodes = R"fish(function __makina_nodes
    set -l profile
    set -l words (commandline -opc)
    for i in (seq (count $words))
        if string match -q -- '--profile=*' $words[$i]
            set profile (string replace -- '--profile=' '' $words[$i])
        else if test $words[$i] = --profile; and test $i -lt (count $words)
            set profile $words[(math $i + 1)]
        end
    end
    makina-image nodes $profile 2>/dev/null
end
)fish";

/// `when` is fish's condition for the command to be the one that is typed.
std::string fish_lines(const CLI::App& command, const std::string& when) {
    const std::string begin = "complete -c makina-image -n '" + when + "' ";
    std::string script;
    for (const CLI::Option* const option : command.get_options()) {
        for (const std::string& word : option->get_lnames()) {
            script += begin + "-l " + word + (takes_a_node(word) ? " -x -a '(__makina_nodes)'" : "") + "\n";
        }
    }
    if (has_a_node_as_word(command)) script += begin + "-a '(__makina_nodes)'\n";
    const std::vector<const CLI::App*> children = children_of(command);
    for (const CLI::App* const child : children) {
        script += "complete -c makina-image -n '" + when + "; and not __fish_seen_subcommand_from " +
                  names_of(children) + "' -f -a " + child->get_name() + "\n";
        script += fish_lines(*child, when + "; and __fish_seen_subcommand_from " + child->get_name());
    }
    return script;
}

std::string fish_script(const CLI::App& app) {
    std::string script = fish_nodes;
    for (const CLI::App* const command : children_of(app)) {
        script += "complete -c makina-image -n __fish_use_subcommand -a " + command->get_name() + " -d '" +
                  command->get_description() + "'\n";
        script += fish_lines(*command, "__fish_seen_subcommand_from " + command->get_name());
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
