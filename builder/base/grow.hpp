#pragma once

#include <cstdint>
#include <filesystem>

namespace makina {

/// Enlarges a disk image and the ext4 in its partition 2 until `free_bytes` are free in it; an image that has so much
/// already keeps its size. Disk id, labels and features stay. Runs e2fsck and resize2fs, unprivileged, on a copy of the
/// partition beside the image. `now` (seconds since 1970) is the time they write into the superblock, so that equal
/// images grow to equal bytes. Throws Error for an ext4 that was not unmounted cleanly, has errors or features unknown
/// here, and for partitions other than 1 and 2.
void grow_root(const std::filesystem::path& image, std::uint64_t free_bytes, std::int64_t now);

}  // namespace makina
