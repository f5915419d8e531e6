#pragma once

#include <cstdint>
#include <string>

namespace makina {

/// An empty disk in QEMU's qcow2 format, version 2 (docs/interop/qcow2.txt of QEMU), for a disk of `size` bytes: what
/// is not written to it is read from the backing disk that QEMU is told of, and behind that one's end as zeros. Throws
/// Error for more than 4 TiB.
[[nodiscard]] std::string overlay_disk(std::uint64_t size);

}  // namespace makina
