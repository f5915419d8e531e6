#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace makina {

/// What stops a source that unpacks without end.
struct UnpackLimits {
    std::uint64_t size = std::uint64_t{64} << 30;         ///< largest disk image, in bytes
    std::uint64_t ratio = 1000;                           ///< image bytes for one packed byte, looked at
    std::uint64_t ratio_from = std::uint64_t{256} << 20;  ///< once the image is this large, in bytes
};

/// Unpacks a disk image (.img, .img.xz, .img.zst, .img.gz, or a .zip with one .img in it; known by their first bytes,
/// not by name) into `target`, which is made or replaced: one stream, blocks of 4 KiB that are zero become holes,
/// synced at the end. Memory does not depend on the size. Gives the sha256 of the source as it was read, 64 lower-case
/// hex digits. Throws Error for a damaged source, one that is no disk image, one over the limits, and a full disk.
[[nodiscard]] std::string unpack_image(const std::filesystem::path& source, const std::filesystem::path& target,
                                       const UnpackLimits& limits = {});

}  // namespace makina
