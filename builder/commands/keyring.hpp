#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "builder/pki/pki.hpp"

namespace CLI {
class App;
}

namespace makina {

/// Which folder of keys, and how it is opened.
struct KeyringOptions {
    std::filesystem::path folder;           ///< empty: default_keys_folder
    std::filesystem::path passphrase_file;  ///< empty: asked on the terminal if there is a passphrase
    bool passphrase = false;                ///< a folder that is made gets one, asked on the terminal
};

/// How long a bundle may wait before a node takes it, unless something else is said.
inline constexpr std::int64_t default_valid_days = 365;

/// Adds --keys, --passphrase and --passphrase-file.
void add_keyring_options(CLI::App& app, KeyringOptions& options);

/// $XDG_CONFIG_HOME/makina/<cluster> or .config/makina/<cluster> in home_folder(). Throws Mistake if neither is set.
[[nodiscard]] std::filesystem::path default_keys_folder(const std::string& cluster);
/// The folder that is named, or the default one; absolute.
[[nodiscard]] std::filesystem::path keys_folder_of(const std::string& cluster, const KeyringOptions& options);

/// " --profile FILE --keys FOLDER" as they were said, for a hint at another command about the same keys.
[[nodiscard]] std::string same_keys(const std::filesystem::path& profile, const KeyringOptions& options);

/// Opens the cluster's keys. Throws Error, with the folder that was looked at, if there are none.
[[nodiscard]] Keys open_keys(const std::string& cluster, const KeyringOptions& options);
/// Throws Mistake if keys that are there have no passphrase, but one was said.
void require_passphrase_has_use(const std::filesystem::path& folder, const KeyringOptions& options);
/// As open_keys, but makes them if there are none; `made` says whether it did.
[[nodiscard]] Keys open_or_make_keys(const std::string& cluster, const KeyringOptions& options, std::int64_t now,
                                     bool& made);

/// The clock, in seconds since 1970: only commands ask it.
[[nodiscard]] std::int64_t seconds_now();
/// Seconds from any start, which no change of the clock moves.
[[nodiscard]] double steady_seconds();
/// "2026-11-21 06:44 UTC"
[[nodiscard]] std::string date_of(std::int64_t seconds);

}  // namespace makina
