#pragma once

namespace CLI {
class App;
}

namespace makina {

/// Adds the subcommand that issues a kubeconfig from the cluster's keys.
void add_kubeconfig(CLI::App& app, int& exit_code);

}  // namespace makina
