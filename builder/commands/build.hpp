#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "builder/commands/cluster.hpp"
#include "builder/commands/keyring.hpp"
#include "builder/image.hpp"

namespace CLI {
class App;
}

namespace makina {

struct BuildOptions {
    std::filesystem::path profile;
    std::string node;  ///< empty with `all`
    bool all = false;
    std::filesystem::path output = "out";  ///< a folder, or a file for one node if it ends in .img, .xz or .zst
    Compression compression = Compression::none;
    bool no_checksum = false;
    bool no_bundle = false;  ///< a card without secrets, which gets its bundle later
    std::int64_t valid_days = default_valid_days;
    std::filesystem::path daemon;  ///< the node's makina-firstboot; empty: the one that was compiled beside us
    KeyringOptions keyring;
    bool dry_run = false;
    bool json = false;
    std::optional<std::int64_t> source_date_epoch;  ///< time stamp of what is written; none: that of the base
    BaseOptions base;
};

/// Builds one image, or one for every node of the profile. Gives the exit code 0. Throws Mistake, Error.
int build(const BuildOptions& options);

/// Adds the subcommand; its exit code is put into `exit_code`.
void add_build(CLI::App& app, int& exit_code);

}  // namespace makina
