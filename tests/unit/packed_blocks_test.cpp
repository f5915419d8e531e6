#include <gtest/gtest.h>

#include "builder/disk/disk.hpp"
#include "tests/unit/keyrings.hpp"
#include "tests/unit/scratch.hpp"

namespace makina {
namespace {

using keyrings::words_of;

const std::string id(64, 'b');

TEST(PackedBlocks, PutTheChangesBackOverTheBase) {
    const Scratch scratch;
    const auto base = scratch.write("base", std::string(5 * 4096 + 100, 'b'));
    PatchedImage image(base);
    image.write(4090, "changed", 7);
    image.write(5 * 4096 + 90, "last bytes", 10);
    const std::string text = encode(pack_blocks(image, id));
    EXPECT_EQ(text.rfind("makina-blocks 1\nbase " + id + "\nsize 20580\nsha256 ", 0), 0U);
    const PackedBlocks blocks = decode_blocks(text);
    EXPECT_EQ(blocks.base, id);
    EXPECT_EQ(encode(blocks), text);
    PatchedImage again(base);
    unpack_blocks(blocks, again);
    std::string a(image.size(), '\0');
    std::string b = a;
    image.read(0, a.data(), a.size());
    again.read(0, b.data(), b.size());
    EXPECT_TRUE(a == b);
    EXPECT_EQ(a.substr(4090, 7), "changed");
}

TEST(PackedBlocks, AreRefusedAtEveryLengthButTheirOwnAndWithAnyByteChanged) {
    const Scratch scratch;
    const auto base = scratch.write("base", std::string(3 * 4096, 'b'));
    PatchedImage image(base);
    image.write(5000, "changed", 7);
    const std::string text = encode(pack_blocks(image, id));
    for (std::size_t size = 0; size < text.size(); ++size)
        EXPECT_NE(words_of([&] { (void)decode_blocks(text.substr(0, size)); }), "nothing") << size;
    EXPECT_NE(words_of([&] { (void)decode_blocks(text + "x"); }), "nothing");
    const std::size_t payload = text.find("\nend\n") + 5;
    for (std::size_t at = payload; at < text.size(); ++at) {
        std::string bad = text;
        bad[at] = static_cast<char>(bad[at] ^ 1);
        EXPECT_EQ(words_of([&] { (void)decode_blocks(bad); }), "the blocks are damaged or cut off: build them again");
    }
}

TEST(PackedBlocks, AreNotPutOverAnotherImage) {
    const Scratch scratch;
    PatchedImage image(scratch.write("base", std::string(3 * 4096, 'b')));
    image.write(8192, "x", 1);
    const PackedBlocks blocks = pack_blocks(image, id);
    PatchedImage other(scratch.write("other", std::string(2 * 4096, 'b')));
    EXPECT_EQ(words_of([&] { unpack_blocks(blocks, other); }), "the blocks are for an image of 12288 bytes");
    PackedBlocks shrunk = blocks;
    shrunk.size = 8192;
    EXPECT_EQ(words_of([&] { unpack_blocks(shrunk, other); }), "a block lies outside of the image");
    shrunk.packed = "none";
    EXPECT_EQ(words_of([&] { unpack_blocks(shrunk, other); }), "the blocks are packed in a way that is not ours");
}

}  // namespace
}  // namespace makina
