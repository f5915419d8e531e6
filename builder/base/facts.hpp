#pragma once

#include <filesystem>

#include "builder/plan.hpp"

namespace makina {

/// Reads what plans must know out of a disk image (MBR, FAT in partition 1, ext4 in partition 2), whoever made it.
/// `id` is left empty: the caller knows what went in. Our own bases are known by the file /usr/lib/makina/base, vendor
/// images by /etc/os-release, /etc/rpi-issue and the label of the root file system. `kernel` is filled for our own
/// bases only: vendor images choose theirs by their own firmware configuration. `built` is the newest mtime of a fixed
/// set of files that every build of a distribution touches. Throws Error for an image that we have no Layout for, and
/// for one of another architecture than arm64 and amd64; the text says what was found and what is supported.
[[nodiscard]] BaseFacts read_facts(const std::filesystem::path& image);

}  // namespace makina
