#pragma once

#include <string_view>

#include "firstboot/stage.hpp"

namespace makina {

/// The role's own last steps: what makes it part of the cluster. Throws Error for an unknown role.
[[nodiscard]] Stage join_stage(std::string_view role);

/// Tells other nodes what this one knows of the cluster, as soon as it has the keys for it; who is not a founder asks
/// the founders now and then and remembers that they have founded it, so that no later card founds it again. Throws
/// Error.
void keep_statement(Host& host, const Bundle& bundle);

}  // namespace makina
