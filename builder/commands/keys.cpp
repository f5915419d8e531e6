#include "builder/commands/keys.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "builder/commands/cluster.hpp"
#include "builder/commands/keyring.hpp"
#include "builder/commands/passphrase.hpp"
#include "builder/profile/spelling.hpp"

namespace makina {
namespace {

struct KeysOptions {
    std::filesystem::path profile;
    KeyringOptions keyring;
    std::filesystem::path backup;           ///< file of `backup` and `restore`
    std::filesystem::path backup_password;  ///< file with the passphrase of the backup; empty: asked
    std::string node;
    std::string card;
    bool json = false;
    bool finish = false;
    bool compromised = false;
    bool leave_behind = false;

    [[nodiscard]] Profile cluster() const { return load_profile(profile_or_default(profile)); }
};

std::string padded(const std::string& text, std::size_t width) {
    return text + std::string(text.size() < width ? width - text.size() : 0, ' ') + "  ";
}

std::string state_of(const LedgerEntry& entry, const std::vector<LedgerEntry>& ledger, std::int64_t now) {
    if (entry.revoked) return "revoked";
    const bool superseded = std::any_of(ledger.begin(), ledger.end(), [&](const LedgerEntry& other) {
        return other.node == entry.node && other.epoch > entry.epoch;
    });
    if (superseded) return "superseded";
    return entry.expires < now ? "expired" : "current";
}

/// What of a receipt can still be believed: its signer may be gone since a rotation has ended.
std::string seal_of(const Keys& keys, const FlashReceipt& receipt) {
    return keys.is_genuine(receipt) ? "signed" : "not signed by a signer that is here";
}

void print_receipts(const Keys& keys) {
    const std::vector<FlashReceipt> receipts = keys.receipts();
    if (receipts.empty()) return;
    std::cout << '\n'
              << padded("FLASHED", 16) << padded("CARD", 32) << padded("AT", 20) << padded("VERDICT", 8)
              << padded("RECEIPT", 7) << "ONTO\n";
    for (const FlashReceipt& receipt : receipts) {
        std::cout << padded(receipt.node, 16) << padded(receipt.card, 32) << padded(date_of(receipt.time), 20)
                  << padded(receipt.verified ? "verified" : "failed", 8) << padded(seal_of(keys, receipt), 7)
                  << receipt.medium << '\n';
    }
}

void print(const Keys& keys, const std::filesystem::path& folder, std::int64_t now) {
    std::cout << "folder      " << folder.string() << "\ncluster id  " << keys.cluster_id() << "\n\n"
              << padded("KEY", 19) << padded("EXPIRES", 20) << padded("FOR", 46) << "FINGERPRINT (SHA-256)\n";
    for (const KeyFact& fact : keys.facts()) {
        std::cout << padded(fact.name, 19) << padded(fact.not_after == 0 ? "never" : date_of(fact.not_after), 20)
                  << padded(fact.purpose, 46) << (fact.fingerprint.empty() ? "(a secret)" : fact.fingerprint) << '\n';
    }
    for (const auto& [role, when] : keys.formed()) {
        std::cout << "\nsince " << date_of(when) << " new cards of the role " << role << " only join\n";
    }
    std::vector<LedgerEntry> ledger = keys.ledger();
    if (ledger.empty()) {
        std::cout << "\nno bundle was issued yet\n";
        return;
    }
    std::cout << '\n'
              << padded("NODE", 16) << padded("EPOCH", 5) << padded("CARD", 32) << padded("ISSUED", 20)
              << padded("EXPIRES", 20) << padded("STATE", 10) << "TO\n";
    std::stable_sort(ledger.begin(), ledger.end(),
                     [](const LedgerEntry& a, const LedgerEntry& b) { return a.node < b.node; });
    for (const LedgerEntry& entry : ledger) {
        std::cout << padded(entry.node, 16) << padded(std::to_string(entry.epoch), 5) << padded(entry.card, 32)
                  << padded(date_of(entry.issued), 20) << padded(date_of(entry.expires), 20)
                  << padded(state_of(entry, ledger, now), 10) << entry.target << '\n';
    }
    print_receipts(keys);
}

void print_json(const Keys& keys, const std::filesystem::path& folder, std::int64_t now) {
    using Json = nlohmann::ordered_json;
    Json facts = Json::array();
    for (const KeyFact& fact : keys.facts()) {
        facts.push_back({{"name", fact.name},
                         {"purpose", fact.purpose},
                         {"sha256", fact.fingerprint},
                         {"expires", fact.not_after}});
    }
    const std::vector<LedgerEntry> ledger = keys.ledger();
    Json bundles = Json::array();
    for (const LedgerEntry& entry : ledger) {
        bundles.push_back({{"node", entry.node},
                           {"role", entry.role},
                           {"epoch", entry.epoch},
                           {"card", entry.card},
                           {"issued", entry.issued},
                           {"expires", entry.expires},
                           {"signer", entry.signer},
                           {"anchors", entry.anchors},
                           {"certificate", entry.certificate},
                           {"sha256", entry.sha256},
                           {"target", entry.target},
                           {"state", state_of(entry, ledger, now)}});
    }
    Json flashed = Json::array();
    for (const FlashReceipt& receipt : keys.receipts()) {
        flashed.push_back({{"node", receipt.node},
                           {"card", receipt.card},
                           {"medium", receipt.medium},
                           {"sha256", receipt.sha256},
                           {"bytes", receipt.bytes},
                           {"verdict", receipt.verified ? "verified" : "failed"},
                           {"time", receipt.time},
                           {"signer", receipt.signer},
                           {"genuine", keys.is_genuine(receipt)}});
    }
    const Json document = {{"folder", folder.string()},
                           {"cluster_id", keys.cluster_id()},
                           {"keys", facts},
                           {"formed", keys.formed()},
                           {"bundles", bundles},
                           {"flashed", flashed}};
    // File names need not be UTF-8; JSON must be.
    std::cout << document.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
}

int make(const KeysOptions& options) {
    const Profile profile = options.cluster();
    bool made = false;
    const Keys keys = open_or_make_keys(profile.name, options.keyring, seconds_now(), made);
    const std::filesystem::path folder = keys_folder_of(profile.name, options.keyring);
    std::cout << (made ? "made the keys of the cluster " : "there are keys of the cluster ") << profile.name << " in "
              << folder.string() << ", cluster id " << keys.cluster_id() << '\n';
    if (made) {
        std::cout << "whoever has this folder owns the cluster: makina-image keys backup FILE"
                  << same_keys(options.profile, options.keyring) << " makes a copy\n";
    }
    return 0;
}

int show(const KeysOptions& options) {
    const Profile profile = options.cluster();
    const Keys keys = open_keys(profile.name, options.keyring);
    const std::filesystem::path folder = keys_folder_of(profile.name, options.keyring);
    options.json ? print_json(keys, folder, seconds_now()) : print(keys, folder, seconds_now());
    return 0;
}

/// The old signing authority does not come back.
void require_all_reached(const Keys& keys, const KeysOptions& options) {
    const std::vector<std::string> nodes = keys.left_behind();
    if (nodes.empty()) return;
    const std::string to = " --role " + nodes.front() + same_keys(options.profile, options.keyring);
    throw Error("the newest " + std::string(nodes.size() == 1 ? "card" : "cards") + " of " + enumerate(nodes, " and ") +
                " might believe no signer any more: hand over a bundle (makina-image bundle create" + to +
                ") and have makina-image watch see that the node has joined with it, or write a new card "
                "(makina-image build" +
                to + "), name what is gone with keys revoke NODE, or say --leave-behind");
}

int rotate(const KeysOptions& options) {
    if (options.compromised && !options.finish) {
        throw Mistake(
            "--compromised goes with --finish: rotate first, give every node a bundle or a card, then finish");
    }
    if (options.leave_behind && !options.finish) throw Mistake("--leave-behind goes with --finish");
    Keys keys = open_keys(options.cluster().name, options.keyring);
    if (options.finish) {
        if (!options.leave_behind) require_all_reached(keys, options);
        keys.finish_rotation(options.compromised);
        std::cout << "the old signing authority is gone; new cards believe the new one only\n";
    } else {
        keys.rotate_signer(seconds_now());
        std::cout
            << "a second signing authority is made; new cards believe both\n"
               "give each node in the field a bundle (makina-image bundle create), which makina-image watch sees it "
               "take, or a new card; then end it with makina-image keys rotate --finish\n";
    }
    return 0;
}

std::string story_of(const LedgerEntry& entry) {
    return "epoch " + std::to_string(entry.epoch) + ", issued " + date_of(entry.issued) + " to " + entry.target;
}

Keys::CardInUse card_named(const Keys& keys, const KeysOptions& options) {
    Keys::CardInUse named;
    named.card.card = options.card;
    for (const LedgerEntry& entry : keys.ledger()) {
        if (entry.node == options.node && entry.card == options.card) named.card = entry;
    }
    return named;
}

int revoke(const KeysOptions& options) {
    Keys keys = open_keys(options.cluster().name, options.keyring);
    const Keys::CardInUse chosen = options.card.empty() ? keys.card_in_use(options.node) : card_named(keys, options);
    keys.revoke(options.node, chosen.card.card);
    std::cout << "the card " << chosen.card.card << " of " << options.node << " (" << story_of(chosen.card);
    if (chosen.flashed)
        std::cout << ", flashed " << date_of(chosen.flashed->time) << " onto " << chosen.flashed->medium;
    std::cout << ") is noted as revoked: no bundle is handed over to it any more\n";
    for (const LedgerEntry& newer : chosen.passed_over) {
        std::cout << "newer, but never flashed, and not revoked: the card " << newer.card << " (" << story_of(newer)
                  << "); if the node has that one, say --card " << newer.card << '\n';
    }
    std::cout << "the certificates on it stay valid until they expire: take the node out of the cluster, too\n";
    return 0;
}

int begin_again(const KeysOptions& options) {
    Keys keys = open_keys(options.cluster().name, options.keyring);
    keys.begin_again();
    std::cout
        << "cards that are written from now on begin a cluster of their own; those written before have no part in "
           "it\nwrite the card of every node that begins it anew: all control planes, and all etcd nodes if there "
           "are any. Use none of their older cards again\n";
    return 0;
}

std::string backup_passphrase(const KeysOptions& options, bool fresh) {
    if (!options.backup_password.empty()) return passphrase_in(options.backup_password);
    return ask_passphrase("the backup " + options.backup.string(), fresh, "--backup-passphrase-file");
}

int backup(const KeysOptions& options) {
    if (std::filesystem::exists(options.backup)) throw Mistake(options.backup.string() + " exists already");
    const std::string cluster = options.cluster().name;
    const Keys keys = open_keys(cluster, options.keyring);
    std::cerr << "backing up the keys of the cluster " << cluster << " in "
              << keys_folder_of(cluster, options.keyring).string() << '\n';
    keys.backup(options.backup, backup_passphrase(options, true));
    std::cout << "wrote " << options.backup.string() << ": the keys of the cluster " << cluster << " (id "
              << keys.cluster_id() << ") in " << keys_folder_of(cluster, options.keyring).string()
              << "; without its passphrase nobody can read it\n";
    return 0;
}

int restore(const KeysOptions& options) {
    const std::string cluster = options.cluster().name;
    const std::filesystem::path folder = keys_folder_of(cluster, options.keyring);
    if (keys_folder(folder) != KeysFolder::missing) throw Mistake("there are keys in " + folder.string() + " already");
    restore_keys(options.backup, folder, cluster, backup_passphrase(options, false));
    std::cout << "put the keys of the cluster " << cluster << " back into " << folder.string() << '\n';
    return 0;
}

void add_profile(CLI::App& command, KeysOptions& options) {
    command.add_option("--profile", options.profile, "the cluster's file (default: profiles/makina.yaml)")
        ->type_name("FILE");
    add_keyring_options(command, options.keyring);
}

void add_backup_options(CLI::App& command, KeysOptions& options) {
    command.add_option("file", options.backup, "the backup's file")->required()->type_name("FILE");
    command
        .add_option("--backup-passphrase-file", options.backup_password,
                    "the backup's passphrase is the first line of this file (default: asked on the terminal)")
        ->type_name("FILE");
}

}  // namespace

void add_keys(CLI::App& app, int& exit_code) {
    const auto options = std::make_shared<KeysOptions>();
    CLI::App* const command = app.add_subcommand("keys", "make and keep the cluster's keys");
    command->footer(
        "Example: makina-image keys show\nWithout a subcommand: makes the keys, or says where they are. Nothing is "
        "ever overwritten.");
    command->require_subcommand(0, 1);
    add_profile(*command, *options);
    command->callback([command, options, &exit_code] {
        if (command->get_subcommands().empty()) exit_code = make(*options);
    });
    const auto add = [&](const char* name, const char* what, int (*work)(const KeysOptions&)) {
        CLI::App* const child = command->add_subcommand(name, what);
        add_profile(*child, *options);
        child->callback([options, work, &exit_code] { exit_code = work(*options); });
        return child;
    };
    add("show", "print fingerprints, expiry, and what was issued to whom", show)
        ->add_flag("--json", options->json, "as JSON, for programs");
    CLI::App* const rotation = add("rotate", "begin to replace the signing authority, or end it", rotate);
    rotation->add_flag("--finish", options->finish, "remove the old signing authority");
    rotation->add_flag("--compromised", options->compromised, "tell every card not to believe the old signer");
    rotation->add_flag("--leave-behind", options->leave_behind,
                       "finish although some cards believe only the old signing authority");
    CLI::App* const revocation = add("revoke", "note that a card is not to be believed any more", revoke);
    revocation->add_option("node", options->node, "the node, such as worker-1")->required()->type_name("NODE");
    revocation
        ->add_option("--card", options->card,
                     "which of its cards (default: the newest that was flashed, else the newest)")
        ->type_name("HEX");
    add("begin-again", "let the cluster begin anew, from nothing: for one that never began, or is gone", begin_again);
    add_backup_options(*add("backup", "write everything to one encrypted file", backup), *options);
    add_backup_options(*add("restore", "put a backup back where no keys are", restore), *options);
}

}  // namespace makina
