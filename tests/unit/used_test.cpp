#include <gtest/gtest.h>

#include <algorithm>

#include "builder/disk/disk.hpp"
#include "tests/unit/keyrings.hpp"
#include "tests/unit/scratch.hpp"
#include "tests/unit/small_image.hpp"

namespace makina {
namespace {

using small_image::mib;
using Extents = std::vector<std::pair<std::uint64_t, std::uint64_t>>;

Extents pairs(const std::vector<Extent>& extents) {
    Extents result;
    for (const Extent& extent : extents) result.emplace_back(extent.offset, extent.size);
    return result;
}

TEST(Extents, AreJoinedWhereTheyTouch) {
    EXPECT_EQ(pairs(in_order({{8, 2}, {0, 4}, {4, 1}, {9, 5}, {20, 0}})), (Extents{{0, 5}, {8, 6}}));
}

TEST(Extents, AreCutByOthers) {
    const std::vector<Extent> a = {{0, 10}, {20, 10}};
    const std::vector<Extent> b = {{5, 3}, {9, 12}, {25, 100}};
    EXPECT_EQ(pairs(in_both(a, b)), (Extents{{5, 3}, {9, 1}, {20, 1}, {25, 5}}));
    EXPECT_EQ(pairs(without(a, b)), (Extents{{0, 5}, {8, 1}, {21, 4}}));
    EXPECT_EQ(size_of(a), 20U);
    EXPECT_EQ(pairs(without(a, {})), pairs(a));
}

bool contains(const std::vector<Extent>& extents, std::uint64_t offset) {
    return std::any_of(extents.begin(), extents.end(),
                       [&](const Extent& extent) { return offset >= extent.offset && offset < extent.end(); });
}

/// The image's blocks that hold this text, which is as long as a block.
std::vector<std::uint64_t> blocks_with(const std::filesystem::path& image, const std::string& text) {
    const std::string all = slurp(image);
    std::vector<std::uint64_t> found;
    for (std::size_t at = all.find(text); at != std::string::npos; at = all.find(text, at + 1)) found.push_back(at);
    return found;
}

TEST(UsedByImage, HasWhatFilesHoldAndNotWhatIsFree) {
    const Scratch scratch;
    const auto file = scratch / "small.img";
    small_image::make(file, "master-1");
    const std::string kept(4096, 'k');
    const std::string removed(4096, 'r');
    small_image::put_root(file, "/removed", removed);
    small_image::put_root(file, "/kept", kept);
    small_image::put_boot(file, "removed.txt", removed);
    small_image::put_boot(file, "kept.txt", kept);
    {
        Ext4 root(file, 8 * mib, true);
        root.remove("/removed");
        root.close();
        Fat(file, mib).remove("removed.txt");
    }
    PatchedImage image(file);
    const std::vector<Extent> used = used_by_image(image);
    ASSERT_EQ(blocks_with(file, kept).size(), 2U);
    for (const std::uint64_t at : blocks_with(file, kept)) EXPECT_TRUE(contains(used, at)) << at;
    std::size_t left_out = 0;
    for (const std::uint64_t at : blocks_with(file, removed)) left_out += contains(used, at) ? 0 : 1;
    EXPECT_GE(left_out, 1U);
    for (const std::uint64_t at : {0U, 510U, 1024U * 1024U, 8U * 1024U * 1024U + 1024U})
        EXPECT_TRUE(contains(used, at));
    EXPECT_LT(size_of(used), 12 * mib);
    EXPECT_GT(size_of(used), 4 * mib);
}

TEST(UsedByImage, LeavesNothingOutOfAFileSystemThatItDoesNotKnow) {
    const Scratch scratch;
    const auto file = scratch / "small.img";
    small_image::make(file, "master-1");
    PatchedImage image(file);
    const std::string zeros(4096, '\0');
    image.write(8 * mib, zeros.data(), zeros.size());  // no superblock any more
    const std::vector<Extent> used = used_by_image(image);
    EXPECT_EQ(pairs(in_both(used, {{8 * mib, 16 * mib}})), (Extents{{8 * mib, 16 * mib}}));
    std::ofstream(scratch / "none.img") << std::string(12288, 'x');
    PatchedImage none(scratch / "none.img");
    EXPECT_EQ(pairs(used_by_image(none)), (Extents{{0, 12288}}));
}

TEST(UsedByImage, RefusesAFatWhoseFieldsCannotBe) {
    const Scratch scratch;
    const auto file = scratch / "small.img";
    small_image::make(file, "master-1");
    for (const std::uint64_t field : {11U, 13U, 14U, 16U, 22U, 510U}) {
        PatchedImage image(file);
        const std::string bad(2, field == 14 ? '\xff' : '\0');
        image.write(mib + field, bad.data(), field == 13 || field == 16 ? 1 : 2);
        EXPECT_NE(keyrings::words_of([&] { (void)used_by_fat(image, {1, mib, 7 * mib, 0x0c}); }), "nothing") << field;
    }
}

}  // namespace
}  // namespace makina
