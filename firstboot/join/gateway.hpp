#pragma once

#include "firstboot/stage.hpp"

namespace makina {

/// A gateway has joined if the kernel has its rules and passes packets on and, where gateways share an address, it
/// takes part in sharing it.
[[nodiscard]] Outcome ask_gateway(Host& host, const Bundle& bundle);
/// Starts what should run and does not: after packages were installed at the first boot, nothing has started them.
[[nodiscard]] Outcome do_gateway(Host& host, const Bundle& bundle);

}  // namespace makina
