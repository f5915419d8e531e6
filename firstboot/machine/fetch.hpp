#pragma once

#include <vector>

#include "firstboot/host.hpp"
#include "firstboot/machine/files.hpp"

namespace makina {

/// Host::fetch.
[[nodiscard]] std::vector<Response> fetch_all(const Files& files, const std::vector<Request>& requests);

}  // namespace makina
