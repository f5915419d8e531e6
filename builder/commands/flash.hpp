#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "builder/commands/build.hpp"

namespace CLI {
class App;
}

namespace makina {

struct FlashCommand {
    BuildOptions build;           ///< the node, or all, with their keys and bases; json
    std::filesystem::path image;  ///< empty with a node or all
    std::vector<std::filesystem::path> devices;
    std::filesystem::path block_map;  ///< empty: the .bmap beside the image, if there is one
    std::vector<std::string> confirmed;
    bool allow_large = false;
    bool any_content = false;  ///< what the file holds need not be a disk image
    bool no_probe = false;
    bool list = false;
    bool quiet = false;
};

/// Writes one image to one or several cards, or each node's own to a card of its own, and reads all of it back. Gives
/// 0 only if every card is verified. Throws Mistake, Error.
int flash_cards(const FlashCommand& command);

/// Adds --yes-device, --allow-large, --no-probe and --quiet.
void add_flash_options(CLI::App& app, FlashCommand& command);
/// Adds the subcommand `flash`; its exit code is put into `exit_code`.
void add_flash(CLI::App& app, int& exit_code);

}  // namespace makina
