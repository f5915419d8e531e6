#pragma once

namespace CLI {
class App;
}

namespace makina {

/// Adds the subcommand that only reads a profile and says what is wrong with it: exit code 0 or 2.
void add_check(CLI::App& app, int& exit_code);

}  // namespace makina
