#pragma once

#include <string>
#include <vector>

#include "firstboot/host.hpp"

namespace makina {

/// The payloads of the bundle that are not in their places, as they are and for whom they are, by name.
[[nodiscard]] std::vector<std::string> unplaced(Host& host, const Bundle& bundle);
/// Puts every one of them where code, not the bundle, says that it belongs. Throws Error.
void place(Host& host, const Bundle& bundle);

}  // namespace makina
