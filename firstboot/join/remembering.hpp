#pragma once

#include <memory>

#include "firstboot/stage.hpp"

namespace makina {

/// The join stage of a role whose `Way` remembers, for as long as the daemon runs, what it saw at earlier attempts: it
/// has `ask` and `act`, as Stage has them.
template <typename Way>
[[nodiscard]] Stage remembering() {
    const auto way = std::make_shared<Way>();
    return {"join", [way](Host& host, const Bundle& bundle) { return way->ask(host, bundle); },
            [way](Host& host, const Bundle& bundle) { return way->act(host, bundle); }};
}

}  // namespace makina
