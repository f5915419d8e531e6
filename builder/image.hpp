#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "builder/base/base.hpp"
#include "builder/disk/disk.hpp"
#include "builder/plan.hpp"

namespace makina {

enum class Compression { none, xz, zstd };

struct ImageOptions {
    std::filesystem::path output;  ///< the finished file; beside it "<output>.part" exists while it is being written,
                                   ///< and "<output>.raw.part" if it is compressed
    Compression compression = Compression::none;
    bool blocks_only = false;  ///< PackedBlocks instead of the whole image: what flash puts over the base
    bool block_map = false;    ///< write "<output>.bmap" as well, for bmaptool
    bool checksum = true;      ///< compute the sha256 of the finished file; it takes longer than all the rest
    /// Called now and then with bytes done and to do.
    std::function<void(std::uint64_t done, std::uint64_t total)> progress = [](std::uint64_t, std::uint64_t) {};
};

struct WrittenImage {
    std::filesystem::path path;
    std::uint64_t size = 0;  ///< bytes, holes included
    std::uint64_t used = 0;  ///< bytes that hold data: what a card has to take
    std::string sha256;      ///< of the finished file, empty if not asked for
};

/// One node's image that is on no disk: the base's bytes, and the plan's files in changed blocks in memory. The base
/// must stay in use as long as it is read. Throws Error.
[[nodiscard]] std::shared_ptr<PatchedImage> compose_image(const ImagePlan& plan, const BaseImage& base);

/// Writes one node's image: the base's bytes with the plan's files in them. The base is not touched, no root, no mount
/// and no loop device are needed. The file appears under its name complete, synced and 0600 (later it holds secrets),
/// or not at all. Equal plans on equal bases give equal bytes. Throws Error; then nothing of it is left.
[[nodiscard]] WrittenImage write_image(const ImagePlan& plan, const BaseImage& base, const ImageOptions& options);

/// Removes the files of all images that are being written, and lets no other be begun: for a program that ends now.
void abandon_images();

}  // namespace makina
