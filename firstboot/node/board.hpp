#pragma once

#include <string>

#include "firstboot/host.hpp"

namespace makina {

/// What the bundle says of the machine that this one is not: "a Raspberry Pi 4: this is a Raspberry Pi 3 Model B Rev
/// 1.2"; empty if it is right.
[[nodiscard]] std::string board_objection(Host& host, const Bundle& bundle);

}  // namespace makina
