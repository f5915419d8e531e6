#pragma once

#include <filesystem>
#include <iosfwd>
#include <string>

namespace CLI {
class App;
}

namespace makina {

struct InspectOptions {
    std::filesystem::path image;
    std::string cat;    ///< print this file of the image instead; empty for none
    bool json = false;  ///< for programs
};

/// Tells what is in an image, or prints one of its files. Gives 0. Throws Error if the image cannot be read.
int inspect(const InspectOptions& options, std::ostream& out);

/// Adds the subcommand; its exit code is put into `exit_code`.
void add_inspect(CLI::App& app, int& exit_code);

}  // namespace makina
