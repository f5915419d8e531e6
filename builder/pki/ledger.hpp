#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "builder/pki/pki.hpp"

namespace makina {

/// What was issued, in the order of time.
struct Ledger {
    std::vector<LedgerEntry> entries;
    /// After how many entries the folder was put back from a backup. Bundles may have been issued that the backup does
    /// not know, so that the next epoch of every node leaves room for them.
    std::vector<std::size_t> restored;
    /// The token of the cluster's newest formation, if it is not the first, and after how many entries it was begun.
    std::string formation;
    std::size_t formation_from = 0;
    std::string snapshot;  ///< SHA-256 of what etcd's newest formation begins with; empty: with nothing
    /// Who may found in the newest formation, by role, names ascending: fixed with the first card that has the right.
    std::map<std::string, std::vector<std::string>> founders;
    /// When it was first seen that the nodes of a role have formed what they are a part of; by role, seconds since
    /// 1970.
    std::map<std::string, std::int64_t> formed;
    /// The newest bundle that was handed over to a card in the field and that the node was seen to have joined with, by
    /// node.
    std::map<std::string, std::uint64_t> taken;
    std::vector<FlashReceipt> flashed;  ///< in the order of time
};

/// How many epochs are left out after a restore; below largest_epoch_step, so that cards follow.
inline constexpr std::uint64_t epochs_skipped = 100;

/// Lines of text, each ended by a newline:
///     makina-ledger 1
///     bundle NODE EPOCH ROLE CARD ISSUED EXPIRES SIGNER ANCHOR[,ANCHOR...] CERTIFICATE SHA256 valid|revoked TARGET
///     restored 100
///     formation HEX ENTRIES [SHA256]
///     founders ROLE NAME[,NAME...]
///     formed ROLE SECONDS
///     taken NODE EPOCH
///     flashed NODE CARD MEDIUM SHA256 BYTES verified|failed SECONDS SIGNER SIGNATURE
///     end
/// bundles and restores in the order of time, a node's epochs ascending; roles ascending, and the nodes that have taken
/// a bundle. TARGET and MEDIUM have everything but printable ASCII as %XX, and % too.
[[nodiscard]] std::string encode(const Ledger& ledger);
/// Reads what `encode` wrote, and nothing else; throws Error "<what>, line 3".
[[nodiscard]] Ledger decode_ledger(std::string_view text);

/// The words of a receipt that its signature is over.
[[nodiscard]] std::string signed_words(const FlashReceipt& receipt);

[[nodiscard]] std::uint64_t next_epoch(const Ledger& ledger, const std::string& node);
/// True if another card than this one was issued to the node in this formation, as far as the ledger knows.
[[nodiscard]] bool had_another_card(const Ledger& ledger, const std::string& node, const std::string& card);
/// True if this bundle of the node was issued before the newest formation began.
[[nodiscard]] bool is_of_earlier_formation(const Ledger& ledger, const std::string& node, std::uint64_t epoch);
/// True if this was issued for a card that the node had already, not with a new one.
[[nodiscard]] bool is_handed_over(const Ledger& ledger, const LedgerEntry& entry);
/// The last that was issued to the node, or nullptr.
[[nodiscard]] const LedgerEntry* last_of(const Ledger& ledger, const std::string& node);

}  // namespace makina
