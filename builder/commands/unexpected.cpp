#include "builder/commands/unexpected.hpp"

#include <CLI/CLI.hpp>
#include <vector>

#include "builder/profile/profile.hpp"
#include "builder/profile/spelling.hpp"

namespace makina {
namespace {

std::string meant(const std::string& word, const std::vector<std::string>& names, const std::string& otherwise) {
    const auto nearest = did_you_mean(word, names);
    return nearest ? ", did you mean \"" + *nearest + "\"?" : otherwise;
}

std::vector<std::string> options_of(const CLI::App& command) {
    std::vector<std::string> names;
    for (const CLI::Option* const option : command.get_options()) {
        for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
    return names;
}

std::vector<std::string> subcommands_of(const CLI::App& command) {
    std::vector<std::string> names;
    for (const CLI::App* const child : command.get_subcommands({})) {
        if (!child->get_group().empty()) names.push_back(child->get_name());
    }
    return names;
}

/// `name` is what was typed before the word: "keys show".
std::string objection(const CLI::App& command, const std::string& name, const std::string& word) {
    const std::string help = "makina-image " + name + (name.empty() ? "" : " ") + "--help";
    if (word.front() == '-') {
        const std::string option = word.substr(0, word.find('='));
        return (name.empty() ? "makina-image" : name) + " has no option \"" + option + "\"" +
               meant(option, options_of(command), ": " + help + " names them");
    }
    if (const auto names = subcommands_of(command); !names.empty()) {
        return name + " has no subcommand \"" + word + "\"" +
               meant(word, names, "; there are " + enumerate(names, ", "));
    }
    const bool takes_role = command.get_option_no_throw("--role") != nullptr;
    return name + " takes no word \"" + word + "\"" +
           (takes_role ? ", did you mean --role " + word + "?" : ": " + help + " says what it takes");
}

}  // namespace

std::optional<std::string> unexpected_word(const CLI::App& app) {
    std::string name;
    for (const CLI::App* command = &app;;) {
        const std::vector<std::string> left = command->remaining();
        if (!left.empty() && !left.front().empty()) return objection(*command, name, left.front());
        const auto chosen = command->get_subcommands();
        if (chosen.empty()) return std::nullopt;
        command = chosen.front();
        name += (name.empty() ? "" : " ") + command->get_name();
    }
}

}  // namespace makina
