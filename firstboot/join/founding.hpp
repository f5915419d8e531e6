#pragma once

#include <string>

#include "firstboot/bundle/bundle.hpp"
#include "firstboot/host.hpp"
#include "firstboot/join/genesis.hpp"
#include "firstboot/since.hpp"

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

/// Durable before the first member begins: whoever hears of it founds nothing.
void note_member(Host& host, const Bundle& bundle);

}  // namespace makina
