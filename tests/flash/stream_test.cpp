#include <gtest/gtest.h>

#include "builder/flash/flash.hpp"
#include "builder/process.hpp"
#include "tests/flash/card_model.hpp"
#include "tests/flash/suite.hpp"
#include "tests/unit/scratch.hpp"
#include "tests/unit/small_image.hpp"

namespace makina::flashing {
namespace {

namespace fs = std::filesystem;

/// A small image, packed in every way.
class Packed : public testing::Test {
  protected:
    Packed() : image_(scratch_ / "small.img") {
        small_image::make(image_, "master-1");
        // Something that does not shrink to nothing.
        std::string text;
        for (int i = 0; text.size() < 3 << 20; ++i) text += std::to_string(i * 7919) + " ";
        small_image::put_root(image_, "/numbers", text);
    }
    [[nodiscard]] fs::path packed(const std::vector<std::string>& argv, const std::string& ending) const {
        std::vector<std::string> all = argv;
        all.push_back(image_.string());
        return scratch_.write("small.img" + ending, run_checked({all}));
    }
    static std::string flash_to_file(const std::shared_ptr<Source>& source, const fs::path& file) {
        try {
            (void)flash(source, open_file_medium(file), FlashOptions());
            return "";
        } catch (const Error& error) {
            return error.what();
        }
    }

    Scratch scratch_;
    fs::path image_;
};

TEST_F(Packed, ImagesBecomeWhatWasPacked) {
    const std::string whole = slurp(image_);
    const fs::path target = scratch_ / "card";
    for (const fs::path& file :
         {packed({"xz", "-c", "-1"}, ".xz"), packed({"xz", "-c", "-1", "--block-size=1MiB"}, ".blocks.xz"),
          packed({"zstd", "-c", "-q"}, ".zst"), packed({"gzip", "-c"}, ".gz")}) {
        ASSERT_TRUE(is_packed(file));
        EXPECT_EQ(flash_to_file(stream_source(file, std::nullopt), target), "") << file;
        EXPECT_TRUE(slurp(target) == whole) << file;
        // Members one after the other are one file in all three formats.
        const fs::path twice = scratch_.write("twice" + file.extension().string(), slurp(file) + slurp(file));
        EXPECT_EQ(flash_to_file(stream_source(twice, std::nullopt), target), "") << file;
        EXPECT_TRUE(slurp(target) == whole + whole) << file;
    }
    EXPECT_FALSE(is_packed(image_));
}

TEST_F(Packed, ImagesThatAreDamagedOrCutOffNeverBecomeACard) {
    for (const auto& [argv, ending] : std::vector<std::pair<std::vector<std::string>, std::string>>{
             {{"xz", "-c", "-1"}, ".xz"}, {{"zstd", "-c", "-q", "--check"}, ".zst"}, {{"gzip", "-c"}, ".gz"}}) {
        const std::string good = slurp(packed(argv, ending));
        for (std::size_t i = 1; i < 24; ++i) {
            std::string bad = good;
            if (i % 2 == 0) bad.resize(good.size() * i / 24);
            // Behind the header, whose fields may be of no consequence (RFC 1952: MTIME).
            if (i % 2 == 1) bad[good.size() * i / 24] = static_cast<char>(bad[good.size() * i / 24] ^ 0x10);
            const std::string fault =
                flash_to_file(stream_source(scratch_.write("bad" + ending, bad), std::nullopt), scratch_ / "card");
            EXPECT_NE(fault, "") << ending << i;
            EXPECT_FALSE(sounds_good(fault)) << fault;
            const std::string card = slurp(scratch_ / "card");
            EXPECT_TRUE(card.substr(0, 4096) == std::string(std::min<std::size_t>(card.size(), 4096), '\0')) << i;
        }
    }
}

TEST_F(Packed, ImagesTooLargeForTheCardAreFoundOutOnTheWay) {
    CardModel::Character character;
    const auto card = std::make_shared<CardModel>(character);
    const std::string fault = fault_of(stream_source(packed({"xz", "-c", "-1"}, ".xz"), std::nullopt), card);
    EXPECT_EQ(fault,
              "the image is larger than the 8388608 bytes of the model; it does not boot: its first MiB is empty");
}

TEST_F(Packed, BlockMapsSayWhatIsNeededAndAreChecked) {
    PatchedImage image(image_);
    const std::string map = make_block_map(image);
    scratch_.write("small.img.bmap", map);
    const fs::path target = scratch_ / "card";
    const fs::path xz = packed({"xz", "-c", "-1"}, ".xz");
    for (const fs::path& file : {image_, xz}) {
        EXPECT_EQ(flash_to_file(stream_source(file, read_block_map(map)), target), "") << file;
        const std::string whole = slurp(image_);
        const std::string card = slurp(target);
        EXPECT_EQ(card.size(), whole.size());
        for (const BlockMap::Range& range : read_block_map(map).ranges) {
            EXPECT_TRUE(card.substr(range.bytes.offset, range.bytes.size) ==
                        whole.substr(range.bytes.offset, range.bytes.size))
                << range.bytes.offset;
        }
    }
    // One bit elsewhere than the map says.
    std::string other = slurp(image_);
    const Extent last = read_block_map(map).ranges.back().bytes;
    other[last.offset] = static_cast<char>(other[last.offset] ^ 1);
    const std::string fault =
        flash_to_file(stream_source(scratch_.write("other.img", other), read_block_map(map)), target);
    EXPECT_NE(fault.find("are not those of its block map"), std::string::npos) << fault;
}

TEST_F(Packed, BlockMapsOfOursServeBmaptoolAndItsServeUs) {
    if (!have_program("bmaptool")) GTEST_SKIP() << "bmaptool is not here";
    PatchedImage image(image_);
    scratch_.write("small.img.bmap", make_block_map(image));
    run_checked({{"bmaptool", "copy", image_.string(), (scratch_ / "theirs").string()}});
    const std::string whole = slurp(image_);
    const std::string theirs = slurp(scratch_ / "theirs");
    for (const Extent& used : used_by_image(image)) {
        EXPECT_TRUE(theirs.substr(used.offset, used.size) == whole.substr(used.offset, used.size)) << used.offset;
    }
    const std::string made = run_checked({{"bmaptool", "create", image_.string()}});
    EXPECT_EQ(flash_to_file(stream_source(image_, read_block_map(made)), scratch_ / "ours"), "");
    EXPECT_TRUE(slurp(scratch_ / "ours") == whole);
}

/// As bmaptool makes one: what is a hole in the image's file is in no range.
std::string map_of_holes(const fs::path& file) {
    const PatchedImage image(file);
    std::string ranges;
    for (const Extent& data : data_extents(image.descriptor(), 0, image.size())) {
        ranges += "<Range> " + std::to_string(data.offset / 4096) + "-" + std::to_string((data.end() - 1) / 4096) +
                  " </Range>\n";
    }
    return "<bmap version=\"2.0\"><ImageSize> " + std::to_string(image.size()) +
           " </ImageSize><BlockSize> 4096 </BlockSize><BlockMap>" + ranges + "</BlockMap></bmap>";
}

TEST_F(Packed, AndRawImagesWithSomebodyElsesMapHaveTheirZerosOnAUsedCard) {
    // As bases are made: tables of inodes and the journal are left as holes.
    run_checked(
        {{"mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-E",
          "offset=8388608,root_owner=0:0,assume_storage_prezeroed=1,lazy_itable_init=1", image_.string(), "16M"}});
    small_image::put_root(image_, "/numbers", std::string(1 << 20, '7'));
    run_checked({{"fallocate", "--dig-holes", image_.string()}});
    const fs::path xz = packed({"xz", "-c", "-1"}, ".xz");
    PatchedImage image(image_);
    const std::vector<Extent> used = used_by_image(image);
    const std::string whole = slurp(image_);
    const BlockMap holes = read_block_map(map_of_holes(image_));
    ASSERT_FALSE(holes.rest_is_free);
    std::vector<Extent> mapped;
    for (const BlockMap::Range& range : holes.ranges) mapped.push_back(range.bytes);
    ASSERT_GT(size_of(without(used, mapped)), 1U << 20);
    const BlockMap ours = read_block_map(make_block_map(image));
    ASSERT_TRUE(ours.rest_is_free);
    for (const auto& [file, map] :
         std::vector<std::pair<fs::path, BlockMap>>{{image_, holes}, {xz, holes}, {image_, ours}, {xz, ours}}) {
        CardModel::Character character;
        character.claimed = character.real = 32 << 20;
        const auto card = std::make_shared<CardModel>(character);
        card->change('\xa5');
        EXPECT_EQ(fault_of(stream_source(file, map), card, FlashOptions()), "") << file;
        for (const Extent& extent : used) {
            EXPECT_TRUE(card->memory().compare(extent.offset, extent.size, whole, extent.offset, extent.size) == 0)
                << file << " at " << extent.offset;
        }
        const fs::path copy = scratch_.write("root", card->memory().substr(8 << 20, 16 << 20));
        const Result checked = run({{"e2fsck", "-f", "-n", copy.string()}});
        EXPECT_EQ(checked.status, 0) << file << checked.output;
    }
}

TEST_F(Packed, AndFragmentedImagesAreInAFewLargePieces) {
    std::string text(8 << 20, '\0');
    for (std::size_t at = 0; at < text.size(); at += 8192) text[at] = 'f';
    text.replace(2 << 20, 1 << 17, 1 << 17, '\0');
    const fs::path raw = scratch_.write("fragments", text);
    const auto source =
        stream_source(scratch_.write("fragments.zst", run_checked({{"zstd", "-c", "-q", raw.string()}})), std::nullopt);
    std::string data(piece_size, '\0');
    std::size_t pieces = 0;
    std::uint64_t zero = 0;
    while (const auto piece = source->next(data.data())) {
        ++pieces;
        zero += piece->zero ? piece->size : 0;
    }
    EXPECT_LE(pieces, 20U);
    EXPECT_GE(zero, 1U << 17);
    EXPECT_LE(zero, (1U << 17) + 10 * 4096);
}

TEST_F(Packed, BlockMapsSayWhichOfTheirChecksumsNobodyLooksAt) {
    const std::string head = "<bmap version=\"1.3\"><ImageSize> 8192 </ImageSize><BlockSize> 4096 </BlockSize>";
    const std::string old =
        "<BmapFileSHA1> 0 </BmapFileSHA1><BlockMap><Range sha1=\"0\"> 0-1 </Range></BlockMap></bmap>";
    EXPECT_EQ(read_block_map(head + old).unchecked, "sha1");
    const std::string other = "<ChecksumType> sha512 </ChecksumType><BlockMap><Range> 0 </Range></BlockMap></bmap>";
    EXPECT_EQ(read_block_map(head + other).unchecked, "sha512");
    EXPECT_EQ(read_block_map(map_of_holes(image_)).unchecked, "");
    PatchedImage image(image_);
    EXPECT_EQ(read_block_map(make_block_map(image)).unchecked, "");
}

TEST_F(Packed, BlockMapsThatAreNoneAreRefused) {
    PatchedImage image(image_);
    const std::string good = make_block_map(image);
    EXPECT_EQ(read_block_map(good).size, image.size());
    const auto changed = [&](const std::string& from, const std::string& to) {
        std::string bad = good;
        return bad.replace(bad.find(from), from.size(), to);
    };
    EXPECT_THROW((void)read_block_map(""), Error);
    EXPECT_THROW((void)read_block_map("<bmap version=\"2.0\"></bmap>"), Error);
    EXPECT_THROW((void)read_block_map(changed("version=\"2.0\"", "version=\"3.0\"")), Error);
    EXPECT_THROW((void)read_block_map(changed("<BlockSize> 4096", "<BlockSize> 4095")), Error);
    EXPECT_THROW((void)read_block_map(changed("<ImageSize> ", "<ImageSize> 1")), Error);
    EXPECT_THROW((void)read_block_map(changed("> 0-", "> 9-")), Error);
    EXPECT_THROW((void)read_block_map(good.substr(0, good.size() / 2)), Error);
}

}  // namespace
}  // namespace makina::flashing
