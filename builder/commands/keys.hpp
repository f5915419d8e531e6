#pragma once

namespace CLI {
class App;
}

namespace makina {

/// Adds the subcommand that makes, shows, rotates, revokes, backs up and restores a cluster's keys.
void add_keys(CLI::App& app, int& exit_code);

}  // namespace makina
