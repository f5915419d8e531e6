#pragma once

#include <filesystem>
#include <functional>
#include <iosfwd>
#include <string>
#include <vector>

#include "builder/file_tree.hpp"

namespace CLI {
class App;
}

namespace makina {

/// Either two images or two node names.
struct DiffOptions {
    std::vector<std::filesystem::path> images;
    std::vector<std::string> nodes;
    std::filesystem::path profile;  ///< for nodes; empty for the default profile
    bool json = false;
};

/// What would be written into the image of one node of the profile.
using PlannedFiles = std::function<FileTree(const std::filesystem::path& profile, const std::string& node)>;

/// Prints what differs, file by file. Gives 0 if nothing differs and 1 if something does, as diff(1). Throws Error if
/// it cannot tell.
int diff(const DiffOptions& options, const PlannedFiles& planned_files, std::ostream& out);

/// Adds the subcommand; its exit code is put into `exit_code`.
void add_diff(CLI::App& app, const PlannedFiles& planned_files, int& exit_code);

}  // namespace makina
