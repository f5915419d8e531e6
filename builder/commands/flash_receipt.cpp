#include "builder/commands/flash_receipt.hpp"

#include "builder/commands/cluster.hpp"
#include "builder/commands/terminal.hpp"
#include "firstboot/bundle/bundle.hpp"
#include "firstboot/bundle/digest.hpp"

namespace makina {
namespace {

void say_no_receipt(const FlashCommand& command, const std::string& why) {
    if (command.quiet) return;
    const std::string name = command.image.filename();
    Reporter(command.build.json).warning(name, "the ledger gets no receipt of " + name + ": " + why);
}

std::optional<KnownCard> in_ledger(const Card& card, const Manifest& manifest, const FlashCommand& command) {
    const std::filesystem::path folder = keys_folder_of(manifest.cluster, command.build.keyring);
    const std::string keys_are = "the keys of " + manifest.cluster + " are not in " + folder.string();
    if (keys_folder(folder) == KeysFolder::missing) {
        say_no_receipt(command, keys_are + "; --keys says where they are");
        return std::nullopt;
    }
    Keys keys = open_keys(manifest.cluster, command.build.keyring);
    if (!card.exists(Bundle::path)) return KnownCard{std::move(keys), manifest.node, {}};
    const std::string hash = sha256(card.read_file(Bundle::path));
    for (const LedgerEntry& entry : keys.ledger()) {
        if (entry.sha256 == hash) return KnownCard{std::move(keys), entry.node, entry.card};
    }
    say_no_receipt(command, "its bundle is none of those that the keys in " + folder.string() + " have sealed");
    return std::nullopt;
}

/// True if it is the card that was written, as far as the kernel tells.
bool is_still_there(const FlashTarget& target) {
    return !target.device || read_device(target.device->number).sequence == target.device->sequence;
}

}  // namespace

std::optional<KnownCard> known_card(const Card& card, const FlashCommand& command) {
    std::optional<Manifest> manifest;
    try {
        manifest = card.manifest();
    } catch (const Error&) {
        return std::nullopt;  // not one of ours: it is written as it is, and no ledger is for it
    }
    if (!manifest) return std::nullopt;
    try {
        return in_ledger(card, *manifest, command);
    } catch (const Mistake&) {
        throw;
    } catch (const Error& error) {
        say_no_receipt(command, error.what());
        return std::nullopt;
    }
}

std::optional<KnownCard> known_card_on(const FlashTarget& target, const FlashCommand& command) {
    try {
        const Card card(target.name());
        auto known = known_card(card, command);
        if (is_still_there(target)) return known;
        say_no_receipt(command, "another card is in the reader already");
    } catch (const Mistake&) {
        throw;
    } catch (const Error&) {
        return std::nullopt;  // no card of a node has no partition table, or file systems that cannot be read
    }
    return std::nullopt;
}

FlashReceipt receipt_of(const std::string& node, const std::string& card, const FlashTarget& target,
                        const FlashOutcome& outcome) {
    FlashReceipt receipt;
    receipt.node = node;
    receipt.card = card.empty() ? std::string(32, '0') : card;
    receipt.medium = target.id();
    receipt.verified = outcome.flashed.has_value();
    receipt.sha256 = receipt.verified ? outcome.flashed->digest : std::string(64, '0');
    receipt.bytes = receipt.verified ? outcome.flashed->written : 0;
    receipt.time = seconds_now();
    return receipt;
}

}  // namespace makina
