#pragma once

#include <string_view>

#include "firstboot/stage.hpp"

namespace makina {

/// The role's own last steps: what makes it part of the cluster. Throws Error for an unknown role.
[[nodiscard]] Stage join_stage(std::string_view role);

}  // namespace makina
