#pragma once

#include "firstboot/bundle/handle.hpp"
#include "firstboot/machine/files.hpp"

namespace makina {

/// The exclusive lock of the one daemon of this root, held until it is closed. Throws Error if another process has it,
/// with that process's number.
[[nodiscard]] Descriptor take_lock(const Files& files);

}  // namespace makina
