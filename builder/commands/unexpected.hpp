#pragma once

#include <optional>
#include <string>

namespace CLI {
class App;
}

namespace makina {

/// What is wrong with the first word of the command line that nobody took, with what may have been meant: a misspelt
/// option or subcommand, or a node without --role. `app` has parsed; nothing if every word was taken.
[[nodiscard]] std::optional<std::string> unexpected_word(const CLI::App& app);

}  // namespace makina
