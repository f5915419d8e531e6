#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "builder/disk/disk.hpp"
#include "builder/flash/bmap.hpp"

namespace makina {

/// Pieces of an image lie between two multiples of this: 1 MiB.
inline constexpr std::uint64_t piece_size = std::uint64_t{1} << 20;

/// A part of an image that a card must have: bytes, or zeros.
struct Piece {
    std::uint64_t offset = 0;  ///< a multiple of 4 KiB, as is the size; the image's last block is filled up with zeros
    std::uint64_t size = 0;
    bool zero = false;  ///< it must read as zero
};

/// An image, piece by piece, each piece once, data ascending. What it leaves out may be anything on the card.
class Source {
  public:
    Source() = default;
    Source(const Source&) = delete;
    Source& operator=(const Source&) = delete;
    virtual ~Source() = default;

    /// Bytes of the whole image; of a packed one that does not say, known only at its end.
    [[nodiscard]] virtual std::optional<std::uint64_t> size() const = 0;
    /// What `done()` counts to, in bytes of whatever it is made of.
    [[nodiscard]] virtual std::uint64_t total() const = 0;
    [[nodiscard]] virtual std::uint64_t done() const = 0;
    /// The next piece; none at the end. Only one thread at a time. A source that can be read only in order puts the
    /// bytes into `data`, which has room for piece_size. Throws Error.
    [[nodiscard]] virtual std::optional<Piece> next(char* data) = 0;
    /// The bytes of a piece that is not zero, if next did not give them. Several threads at a time. Throws Error.
    virtual void fill(const Piece& piece, char* data) const = 0;
};

/// A raw image, or base and changed blocks: only what its file systems use.
[[nodiscard]] std::shared_ptr<Source> image_source(std::shared_ptr<PatchedImage> image);

/// An image that is read in order: packed (xz, zstd, gzip), or with a block map, or both. Blocks of zeros must be zero
/// on the card, except where nothing is needed: where a raw image's file systems use nothing, and what a map of ours
/// leaves out of a packed one. Somebody else's map leaves out what may be in use. A map's checksums are checked. Throws
/// Error for a file that cannot be read.
[[nodiscard]] std::shared_ptr<Source> stream_source(const std::filesystem::path& file, std::optional<BlockMap> map);

/// True if the file's first bytes are those of a packed file that stream_source unpacks.
[[nodiscard]] bool is_packed(const std::filesystem::path& file);

}  // namespace makina
