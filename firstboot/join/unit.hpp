#pragma once

#include <string>

#include "firstboot/stage.hpp"

namespace makina {

/// Done if systemd runs the unit.
[[nodiscard]] Outcome running(Host& host, const std::string& unit);

}  // namespace makina
