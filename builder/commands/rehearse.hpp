#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <string>
#include <vector>

#include "builder/rehearse/rehearse.hpp"

namespace CLI {
class App;
}

namespace makina {

struct RehearseOptions {
    std::filesystem::path image;
    std::vector<std::string> questions;  ///< NAME=COMMAND
    std::filesystem::path console;       ///< keeps the serial console's bytes; empty for none
    std::uint64_t card_size = 0;         ///< bytes; 0: as many as the image has
    double timeout = 900;                ///< seconds
    unsigned memory_mib = 2048;
    bool json = false;
};

/// Boots the image and prints the verdict to `out`, progress to `progress` (a line that is rewritten if `live`).
/// Gives 0 if the image passed and 1 if it did not. Throws Error if it cannot be rehearsed.
int rehearse(const RehearseOptions& options, std::ostream& out, std::ostream& progress, bool live);

/// The verdict as `--json` prints it, in one object.
[[nodiscard]] std::string to_json(const Verdict& verdict);
/// The verdict as a person reads it.
[[nodiscard]] std::string to_text(const Verdict& verdict);

/// Adds the subcommand; its exit code is put into `exit_code`.
void add_rehearse(CLI::App& app, int& exit_code);

}  // namespace makina
