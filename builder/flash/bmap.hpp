#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "builder/disk/disk.hpp"

namespace makina {

/// What of an image has to be written, as bmaptool's .bmap files say it (bmap-tools, BmapCreate.py: format 2.0, XML).
struct BlockMap {
    struct Range {
        Extent bytes;
        std::string sha256;  ///< of these bytes; empty if the file has none
    };
    std::uint64_t size = 0;  ///< bytes of the image
    std::vector<Range> ranges;
    /// What no range names is free in the image's file systems. Maps of ours say so. In others it is what takes no room
    /// in the image's file (BmapCreate.py asks for holes): it may be in use, and zero.
    bool rest_is_free = false;
    std::string unchecked;  ///< checksums that the file has, but of a kind that is not looked at: "sha1"
};

/// Reads formats 1.2 to 2.0. Only checksums that are SHA-256 are looked at, the file's own at once. Throws Error for
/// anything else, and Untrusted for a wrong checksum.
[[nodiscard]] BlockMap read_block_map(std::string_view text);
/// The map of an image: what its file systems use, with the SHA-256 of every range and of the map itself, for
/// bmaptool and for us. Throws Error.
[[nodiscard]] std::string make_block_map(PatchedImage& image);

}  // namespace makina
