#pragma once

namespace CLI {
class App;
}

namespace makina {

/// Adds the subcommand that a rehearsal starts for each connection to a control plane that is not booted: it answers
/// over TLS on its standard input. People do not see it.
void add_stand_in(CLI::App& app);

}  // namespace makina
