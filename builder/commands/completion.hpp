#pragma once

namespace CLI {
class App;
}

namespace makina {

/// Adds the subcommand that prints a completion script for bash, zsh or fish, made from the options as they are.
void add_completion(CLI::App& app, int& exit_code);

}  // namespace makina
