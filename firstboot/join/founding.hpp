#pragma once

#include <string>

#include "firstboot/bundle/bundle.hpp"
#include "firstboot/host.hpp"
#include "firstboot/join/genesis.hpp"
#include "firstboot/since.hpp"
#include "firstboot/stage.hpp"

namespace makina {

/// A founder's part in the agreement on the first members: hears the others, takes one step, and makes durable and
/// tells what it says from then on.
class Founder {
  public:
    /// Throws Error if the statement on the card is damaged.
    [[nodiscard]] Advance take_part(Host& host, const Bundle& bundle);

  private:
    Since majority_, unchanged_;
    std::string heard_before_;
};

/// Done if a majority of the founders, heard now and this card's node among them, knows of no other beginning of the
/// cluster than this card's. What a card was agreed on for is no proof: it may have lain in a drawer since, and silence
/// may be that of nodes which are just starting, or behind a cable that is out.
[[nodiscard]] Outcome is_still_ours(Host& host, const Bundle& bundle);

/// Durable before the first member begins: whoever hears of it founds nothing.
void note_member(Host& host, const Bundle& bundle);

}  // namespace makina
