#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <map>
#include <string>

#include "builder/profile/profile.hpp"
#include "firstboot/status.hpp"

namespace CLI {
class App;
}

namespace makina {

struct WatchOptions {
    std::filesystem::path profile;
    bool once = false;
    bool json = false;
    std::filesystem::path keys;  ///< folder of the cluster's keys, where it is noted what has formed; empty: nowhere
    double interval = 2;         ///< seconds between two questions to the same node
    /// For tests: nodes whose daemon is at another port, and their address.
    std::map<std::string, std::uint16_t> ports = {};
};

/// Shows how far each node of the profile is: on a terminal (`live`) as one table that is kept up to date, else a line
/// for each node whenever it changes. With `once` it ends after one round: 0 if every node has joined, else 1.
/// Otherwise it goes on until it is interrupted or `out` fails, and gives 0.
int watch(const Profile& profile, const WatchOptions& options, std::ostream& out, bool live);

/// Adds the subcommand; its exit code is put into `exit_code`.
void add_watch(CLI::App& app, int& exit_code);

}  // namespace makina
