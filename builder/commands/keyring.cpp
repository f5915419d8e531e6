#include "builder/commands/keyring.hpp"

#include <CLI/CLI.hpp>
#include <array>
#include <chrono>
#include <cstdlib>
#include <ctime>

#include "builder/commands/cluster.hpp"
#include "builder/commands/home.hpp"
#include "builder/commands/passphrase.hpp"

namespace makina {
namespace {

std::string passphrase_of(const std::filesystem::path& folder, const KeyringOptions& options, bool fresh) {
    if (!options.passphrase_file.empty()) return passphrase_in(options.passphrase_file);
    return ask_passphrase("the keys in " + folder.string(), fresh, "--passphrase-file");
}

Keys open_existing(const std::filesystem::path& folder, const std::string& cluster, const KeyringOptions& options) {
    switch (keys_folder(folder)) {
        case KeysFolder::missing:
            throw Error("there are no keys in " + folder.string() + ": makina-image keys makes them");
        case KeysFolder::plain:
            require_passphrase_has_use(folder, options);
            return {folder, cluster, ""};
        case KeysFolder::encrypted:
            return {folder, cluster, passphrase_of(folder, options, false)};
    }
    throw Error("an unknown kind of folder");
}

/// As it has to be typed in a shell.
std::string as_word(const std::string& text) {
    const bool is_plain = text.find_first_not_of(
                              "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                              "/._-+=:,@%") == std::string::npos;
    if (is_plain) return text;
    std::string quoted = "'";
    for (const char letter : text) quoted += letter == '\'' ? std::string("'\\''") : std::string(1, letter);
    return quoted + "'";
}

}  // namespace

void add_keyring_options(CLI::App& app, KeyringOptions& options) {
    app.add_option("--keys", options.folder, "folder of the cluster's keys (default: ~/.config/makina/CLUSTER)")
        ->type_name("FOLDER");
    auto* const ask =
        app.add_flag("--passphrase", options.passphrase, "new keys get a passphrase, asked on the terminal");
    app.add_option("--passphrase-file", options.passphrase_file, "the passphrase is the first line of this file")
        ->type_name("FILE")
        ->excludes(ask);
}

std::filesystem::path default_keys_folder(const std::string& cluster) {
    if (const char* const folder = std::getenv("XDG_CONFIG_HOME"); folder != nullptr && *folder != '\0') {
        return std::filesystem::path(folder) / "makina" / cluster;
    }
    if (const auto home = home_folder(); !home.empty()) return home / ".config/makina" / cluster;
    throw Mistake("neither XDG_CONFIG_HOME nor HOME is set: say --keys FOLDER");
}

std::filesystem::path keys_folder_of(const std::string& cluster, const KeyringOptions& options) {
    const auto folder =
        std::filesystem::absolute(options.folder.empty() ? default_keys_folder(cluster) : options.folder)
            .lexically_normal();
    // A folder named with a slash at its end has an empty last name.
    return folder.has_filename() ? folder : folder.parent_path();
}

std::string same_keys(const std::filesystem::path& profile, const KeyringOptions& options) {
    std::string words;
    const auto add = [&](const char* option, const std::filesystem::path& value) {
        if (!value.empty()) words += std::string(" ") + option + " " + as_word(value.string());
    };
    add("--profile", profile);
    add("--keys", options.folder);
    add("--passphrase-file", options.passphrase_file);
    return words;
}

void require_passphrase_has_use(const std::filesystem::path& folder, const KeyringOptions& options) {
    const bool is_said = options.passphrase || !options.passphrase_file.empty();
    if (is_said && keys_folder(folder) == KeysFolder::plain) {
        throw Mistake("the keys in " + folder.string() + " have no passphrase: say none");
    }
}

Keys open_keys(const std::string& cluster, const KeyringOptions& options) {
    return open_existing(keys_folder_of(cluster, options), cluster, options);
}

Keys open_or_make_keys(const std::string& cluster, const KeyringOptions& options, std::int64_t now, bool& made) {
    const std::filesystem::path folder = keys_folder_of(cluster, options);
    made = keys_folder(folder) == KeysFolder::missing;
    if (!made) return open_existing(folder, cluster, options);
    const bool locked = options.passphrase || !options.passphrase_file.empty();
    const std::string passphrase = locked ? passphrase_of(folder, options, true) : "";
    Keys::create(folder, cluster, passphrase, now);
    return {folder, cluster, passphrase};
}

std::int64_t seconds_now() {
    return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
        .count();
}

double steady_seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string date_of(std::int64_t seconds) {
    const std::time_t time = seconds;
    std::tm parts{};
    std::array<char, 32> text{};
    if (gmtime_r(&time, &parts) == nullptr ||
        std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M UTC", &parts) == 0) {
        return std::to_string(seconds);
    }
    return text.data();
}

}  // namespace makina
