#pragma once

namespace CLI {
class App;
}

namespace makina {

/// Adds the subcommand that makes, shows and verifies bundles that are handed over without a new card.
void add_bundle(CLI::App& app, int& exit_code);

}  // namespace makina
