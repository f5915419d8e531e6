#pragma once

#include "firstboot/stage.hpp"

namespace makina {

/// How an etcd node becomes a member: with the other founders when the cluster begins, else beside those that are
/// there, in the place of its own dead predecessor if there was one.
[[nodiscard]] Stage etcd_stage();

}  // namespace makina
