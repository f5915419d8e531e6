#pragma once

#include <memory>
#include <optional>
#include <string>

#include "builder/card/card.hpp"
#include "builder/commands/flash_jobs.hpp"
#include "builder/pki/pki.hpp"

namespace makina {

/// A node's card as its cluster's ledger knows it.
struct KnownCard {
    Keys keys;
    std::string node;
    std::string card;  ///< that its bundle is for; empty without a bundle
};

/// Whose card it is. None for somebody else's image. If it is ours, but the ledger can get no receipt of it, that is
/// said on the screen. Throws Mistake if the keys cannot be opened as it was said.
[[nodiscard]] std::optional<KnownCard> known_card(const Card& card, const FlashCommand& command);
/// The same by what is on a target now that was written and verified: of a packed image nobody knows more before.
[[nodiscard]] std::optional<KnownCard> known_card_on(const FlashTarget& target, const FlashCommand& command);

/// What the ledger notes of a card. `card` is that of its bundle, empty if it has none.
[[nodiscard]] FlashReceipt receipt_of(const std::string& node, const std::string& card, const FlashTarget& target,
                                      const FlashOutcome& outcome);

}  // namespace makina
