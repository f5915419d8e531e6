#include <zstd.h>

#include "builder/disk/disk.hpp"
#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/lines.hpp"

namespace makina {
namespace {

constexpr std::size_t offset_size = 8;
constexpr std::size_t entry_size = offset_size + PatchedImage::block_size;
/// No node's own files come near it; it keeps a made-up file from taking all memory.
constexpr std::uint64_t most = std::uint64_t{1} << 30;
/// Of zstd: what it saves above this level takes longer than writing it.
constexpr int level = 1;

}  // namespace

std::string encode(const PackedBlocks& blocks) {
    return std::string(PackedBlocks::first_line) + "\nbase " + blocks.base + "\nsize " + std::to_string(blocks.size) +
           "\nsha256 " + sha256(blocks.packed) + "\nend\n" + blocks.packed;
}

PackedBlocks decode_blocks(std::string_view text) {
    Lines lines(text);
    PackedBlocks blocks;
    lines.expect(PackedBlocks::first_line);
    blocks.base = lines.hex("base", 64);
    blocks.size = lines.number("size", PatchedImage::block_size, std::uint64_t{1} << 50);
    const std::string hash = lines.hex("sha256", 64);
    lines.expect("end");
    blocks.packed = lines.rest();
    if (sha256(blocks.packed) != hash) throw Untrusted("the blocks are damaged or cut off: build them again");
    return blocks;
}

PackedBlocks pack_blocks(const PatchedImage& image, const std::string& base) {
    std::string plain;
    plain.reserve(image.changed().size() * entry_size);
    for (const auto& [offset, block] : image.changed()) {
        for (std::size_t i = 0; i < offset_size; ++i) plain += static_cast<char>(offset >> (8 * i) & 0xff);
        plain += block;
    }
    PackedBlocks blocks{base, image.size(), std::string(ZSTD_compressBound(plain.size()), '\0')};
    const std::size_t size =
        ZSTD_compress(blocks.packed.data(), blocks.packed.size(), plain.data(), plain.size(), level);
    if (ZSTD_isError(size) != 0) throw Error(std::string("packing the blocks: ") + ZSTD_getErrorName(size));
    blocks.packed.resize(size);
    return blocks;
}

void unpack_blocks(const PackedBlocks& blocks, PatchedImage& image) {
    if (blocks.size != image.size())
        throw Error("the blocks are for an image of " + std::to_string(blocks.size) + " bytes");
    const auto size = ZSTD_getFrameContentSize(blocks.packed.data(), blocks.packed.size());
    if (size > most || size % entry_size != 0) throw Error("the blocks are packed in a way that is not ours");
    std::string plain(size, '\0');
    if (ZSTD_decompress(plain.data(), plain.size(), blocks.packed.data(), blocks.packed.size()) != size)
        throw Error("the blocks cannot be unpacked");
    for (std::size_t at = 0; at < plain.size(); at += entry_size) {
        std::uint64_t offset = 0;
        for (std::size_t i = offset_size; i-- > 0;) offset = offset << 8 | static_cast<unsigned char>(plain[at + i]);
        if (offset % PatchedImage::block_size != 0 || offset >= image.size())
            throw Error("a block lies outside of the image");
        const std::uint64_t part = std::min<std::uint64_t>(PatchedImage::block_size, image.size() - offset);
        image.write(offset, &plain[at + offset_size], part);
    }
}

}  // namespace makina
