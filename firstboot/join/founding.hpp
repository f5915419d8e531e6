#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "firstboot/bundle/bundle.hpp"
#include "firstboot/host.hpp"
#include "firstboot/join/genesis.hpp"

namespace makina {

/// How long something has been so, in seconds of a clock that never jumps.
class Since {
  public:
    std::int64_t seconds(bool is_so, std::int64_t now) {
        if (!is_so) begun_.reset();
        if (is_so && !begun_) begun_ = now;
        return begun_ ? now - *begun_ : 0;
    }

  private:
    std::optional<std::int64_t> begun_;
};

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
