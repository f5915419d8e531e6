#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "builder/process.hpp"
#include "tests/crash/card.hpp"

namespace makina::crash {

namespace fs = std::filesystem;

/// A node whose first boot is still to come, and what that boot must make of it.
struct Node {
    std::string role;
    fs::path tree;  ///< its root folder, as the image has it
    Promise promise;
};

/// Makes a node of a role that can join: its bundle, the card's trust, and of everything else the little that the
/// daemon asks for; among that what stands for a person's work on nodes that wait for one. The network of the workshop
/// is made, too: an interface with the node's address, alone on its cable.
[[nodiscard]] Node make_node(const std::string& role);

/// The compiled daemon on a root folder, until it has joined. Programs of the node are stand-ins that say yes.
[[nodiscard]] std::vector<std::string> daemon_on(const fs::path& root);

/// Runs the daemon on the root of a mounted card, with a /run that is empty as after power-on.
[[nodiscard]] Result boot(const fs::path& root);

/// Every file below a root with its content, owner and mode, and every folder; of what is new in each run (keys of ssh,
/// times, the journal) only that it is there. /run is left out.
[[nodiscard]] std::map<std::string, std::string> snapshot(const fs::path& root);

/// What differs, one line for each path; empty if nothing does.
[[nodiscard]] std::vector<std::string> differences(const std::map<std::string, std::string>& right,
                                                   const std::map<std::string, std::string>& there);

}  // namespace makina::crash
