#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "builder/disk/disk.hpp"
#include "builder/process.hpp"
#include "firstboot/bundle/error.hpp"
#include "tests/unit/scratch.hpp"

namespace makina {
namespace {

constexpr std::uint64_t mib = 1 << 20;
constexpr std::int64_t noon = 1700000000;

Ext4Entry regular(const std::string& path, std::string_view content) {
    return {path, S_IFREG | 0644, 0, 0, noon, content, 0, 0, {}};
}

/// An image with an empty FAT (p1) and an empty ext4 (p2), as small as the tools allow.
class Disk : public testing::Test {
  protected:
    void SetUp() override {
        std::ofstream(image).close();
        std::filesystem::resize_file(image, 40 * mib);
        table.disk_id = 0x1234abcd;
        table.partitions = {{1, mib, 7 * mib, 0x0c}, {2, 8 * mib, 32 * mib, 0x83}};
        write_partition_table(image, table);
        run_checked({{"mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-E", "offset=8388608,root_owner=0:0", "-L",
                      "rootfs", image.string(), "32M"}});
        run_checked({{"mkfs.fat", "-F", "16", "-s", "1", "-r", "512", "--offset", "2048", "--invariant", image.string(),
                      "7168"}});
    }
    void check() const {
        const Result e2fsck = run({{"e2fsck", "-fn", image.string() + "?offset=8388608"}});
        EXPECT_EQ(e2fsck.status, 0) << e2fsck.output;
        const Result fat = run({{"fsck.fat", "-n", fat_copy().string()}});
        EXPECT_EQ(fat.status, 0) << fat.output;
    }
    [[nodiscard]] std::filesystem::path fat_copy() const {
        return scratch.write("fat", slurp(image).substr(mib, 7 * mib));
    }
    /// Puts the changed blocks of `patched` into the image file.
    void apply(const PatchedImage& patched) const {
        std::fstream file(image, std::ios::in | std::ios::out | std::ios::binary);
        for (const auto& [offset, block] : patched.changed()) {
            file.seekp(static_cast<std::streamoff>(offset));
            file.write(block.data(), static_cast<std::streamsize>(block.size()));
        }
    }

    Scratch scratch;
    std::filesystem::path image = scratch / "disk.img";
    PartitionTable table;
};

TEST_F(Disk, ReadsBackThePartitionTableItWrote) {
    const PartitionTable read = read_partition_table(image);
    EXPECT_EQ(read.disk_id, 0x1234abcdU);
    ASSERT_EQ(read.partitions.size(), 2U);
    EXPECT_EQ(read.find(2)->offset, 8 * mib);
    EXPECT_EQ(read.find(2)->size, 32 * mib);
    EXPECT_EQ(read.find(2)->type, 0x83);
    EXPECT_EQ(read.find(3), nullptr);
    EXPECT_EQ(partuuid(read, 2), "1234abcd-02");
}

TEST_F(Disk, RefusesAPartitionThatReachesBehindTheEnd) {
    std::filesystem::resize_file(image, 30 * mib);
    try {
        (void)read_partition_table(image);
        FAIL() << "accepted";
    } catch (const Error& error) {
        EXPECT_EQ(error.what(),
                  image.string() +
                      ": partition 2 reaches behind the end of the file: the image is truncated, fetch it again");
    }
}

TEST_F(Disk, RefusesAFileWithoutAPartitionTable) {
    const auto file = scratch.write("empty.img", std::string(mib, '\0'));
    EXPECT_THROW((void)read_partition_table(file), Error);
}

TEST_F(Disk, KeepsOwnerModeTimeAndAttributesOfAFile) {
    PatchedImage patched(image);
    Ext4 root(patched, *table.find(2));
    Ext4Entry entry = regular("/usr/bin/ping", "content");
    entry.mode = S_IFREG | 04755;
    entry.uid = 70000;
    entry.gid = 70001;
    entry.xattrs["security.capability"] = std::string("\x01\x00\x00\x02\x00\x20\x00\x00", 8);
    root.write(entry);
    root.close();
    apply(patched);
    check();
    const Ext4 again(image, 8 * mib, false);
    const auto stat = again.stat("/usr/bin/ping");
    ASSERT_TRUE(stat.has_value());
    EXPECT_EQ(stat->mode, S_IFREG | 04755U);
    EXPECT_EQ(stat->uid, 70000U);
    EXPECT_EQ(stat->gid, 70001U);
    EXPECT_EQ(stat->mtime, noon);
    EXPECT_EQ(again.xattrs("/usr/bin/ping"), entry.xattrs);
    EXPECT_EQ(again.read_file("/usr/bin/ping"), "content");
}

TEST_F(Disk, WritesManyFilesFoldersLinksAndDevicesThatE2fsckFindsClean) {
    Ext4 root(image, 8 * mib, true);
    for (int i = 0; i < 700; ++i)
        root.write(regular("/many/a-file-with-a-long-name-" + std::to_string(i), std::to_string(i)));
    root.write(regular("/large", std::string(3 * mib + 17, 'x')));
    root.write(regular("/empty", ""));
    root.write({"/link", S_IFLNK | 0777, 0, 0, noon, "many/a-file-with-a-long-name-7", 0, 0, {}});
    root.write({"/longlink", S_IFLNK | 0777, 0, 0, noon, std::string(200, 'l'), 0, 0, {}});
    root.write({"/console", S_IFCHR | 0600, 0, 5, noon, {}, 5, 1, {}});
    root.write({"/folder", S_IFDIR | 01777, 0, 0, noon, {}, 0, 0, {}});
    root.hard_link("/large", "/second");
    root.close();
    check();
    const Ext4 read(image, 8 * mib, false);
    EXPECT_EQ(read.read_file("/large"), std::string(3 * mib + 17, 'x'));
    EXPECT_EQ(read.stat("/large")->inode, read.stat("/second")->inode);
    EXPECT_EQ(read.read_file("/link"), "7");
    EXPECT_EQ(read.read_link("/longlink"), std::string(200, 'l'));
    EXPECT_EQ(read.stat("/console")->mode, S_IFCHR | 0600U);
    EXPECT_EQ(read.stat("/folder")->mode, S_IFDIR | 01777U);
    EXPECT_EQ(read.list("/many").size(), 700U);
}

TEST_F(Disk, ReplacesAndRemovesWithoutLosingASingleBlock) {
    std::uint64_t before = 0;
    {
        Ext4 root(image, 8 * mib, true);
        root.write({"/d", S_IFDIR | 0755, 0, 0, noon, {}, 0, 0, {}});
        before = root.free_bytes();
        root.close();
    }
    Ext4 root(image, 8 * mib, true);
    for (int i = 0; i < 5; ++i)
        root.write(regular("/d/file", std::string(mib * (1 + i % 3), static_cast<char>('a' + i))));
    root.hard_link("/d/file", "/d/twin");
    root.write(regular("/d/file", "short"));
    EXPECT_EQ(root.read_file("/d/twin").size(), 2 * mib);
    for (int i = 0; i < 9; ++i) root.write(regular("/d/sub/" + std::to_string(i), "x"));
    root.remove("/d/sub");
    root.remove("/d/twin");
    root.remove("/d/file");
    root.remove("/d/never-there");
    root.close();
    check();
    EXPECT_EQ(Ext4(image, 8 * mib, false).free_bytes(), before);
}

TEST_F(Disk, SaysWhichFileDidNotFit) {
    Ext4 root(image, 8 * mib, true);
    try {
        root.write(regular("/too-large", std::string(64 * mib, 'x')));
        FAIL() << "it fitted";
    } catch (const Error& error) {
        EXPECT_STREQ(error.what(), "writing /too-large: Could not allocate block in ext2 filesystem");
    }
}

TEST_F(Disk, RefusesAnExt4WhoseJournalNeedsRecovery) {
    std::fstream file(image, std::ios::in | std::ios::out | std::ios::binary);
    // s_feature_incompat is at byte 0x60 of the superblock, which is at byte 1024; bit 2 is "needs recovery".
    file.seekg(8 * mib + 1024 + 0x60);
    char flags = 0;
    file.get(flags);
    file.seekp(8 * mib + 1024 + 0x60);
    file.put(static_cast<char>(flags | 0x04));
    file.close();
    try {
        PatchedImage patched(image);
        const Ext4 root(patched, *table.find(2));
        FAIL() << "accepted";
    } catch (const Error& error) {
        // With checksums the flipped bit is seen even earlier.
        EXPECT_TRUE(std::string(error.what()).find("needs recovery") != std::string::npos ||
                    std::string(error.what()).find("checksum") != std::string::npos)
            << error.what();
    }
}

TEST_F(Disk, NeverCrashesOnADamagedExt4) {
    Ext4 root(image, 8 * mib, true);
    for (int i = 0; i < 50; ++i) root.write(regular("/d/" + std::to_string(i), std::string(5000, 'x')));
    root.close();
    const std::string good = slurp(image);
    std::uint32_t seed = 7;
    int refused = 0;
    for (int round = 0; round < 150; ++round) {
        std::string bad = good;
        for (int i = 0; i < 8; ++i) {
            seed = seed * 1664525 + 1013904223;
            bad[8 * mib + (seed >> 8) % (4 * mib)] = static_cast<char>(seed);
        }
        const auto file = scratch.write("bad.img", bad);
        try {
            PatchedImage patched(file);
            Ext4 damaged(patched, *table.find(2));
            damaged.walk("/", [](const std::string&, const Stat&) {});
            damaged.write(regular("/d/new", "x"));
            damaged.close();
        } catch (const Error&) {
            ++refused;
        }
    }
    RecordProperty("refused", refused);
}

TEST_F(Disk, WritesReadsListsAndRemovesOnTheFat) {
    {
        Fat fat(image, mib);
        fat.write("cmdline.txt", "console=tty1\n", noon);
        fat.write("overlays/deep/readme.txt", std::string(100000, 'r'), noon);
        fat.write("cmdline.txt", "changed\n", noon);
        fat.write("empty", "", noon);
    }
    check();
    Fat fat(image, mib);
    EXPECT_EQ(fat.read_file("cmdline.txt"), "changed\n");
    EXPECT_EQ(fat.read_file("overlays/deep/readme.txt").size(), 100000U);
    EXPECT_EQ(fat.list(), (std::vector<std::string>{"cmdline.txt", "empty", "overlays/deep/readme.txt"}));
    EXPECT_TRUE(fat.exists("overlays/deep"));
    fat.remove("cmdline.txt");
    EXPECT_FALSE(fat.exists("cmdline.txt"));
    EXPECT_THROW(fat.write("a\nb", "", noon), Error);
}

TEST_F(Disk, TellsLabelAndFreeSpaceOfTheFat) {
    Fat fat(image, mib);
    EXPECT_EQ(fat.label(), "");
    const std::uint64_t before = fat.free_bytes();
    EXPECT_GT(before, 6 * mib);
    fat.write("file", std::string(5000, 'x'), noon);
    EXPECT_EQ(fat.free_bytes(), before - 5120);  // whole sectors
    run_checked({{"mlabel", "-i", image.string() + "@@1048576", "::BOOT"}});
    EXPECT_EQ(fat.label(), "BOOT");
}

TEST_F(Disk, EditsTheFatAsChangedBlocksAndGivesTheSameBytesTwice) {
    const std::string before = slurp(image);
    const auto edit = [&](PatchedImage& patched) {
        Fat(patched, *table.find(1)).write("overlays/config.txt", "arm_64bit=1\n", noon);
    };
    PatchedImage one(image);
    PatchedImage two(image);
    edit(one);
    edit(two);
    EXPECT_EQ(slurp(image), before);
    EXPECT_FALSE(one.changed().empty());
    EXPECT_EQ(one.changed(), two.changed());
    apply(one);
    check();
    EXPECT_EQ(Fat(image, mib).read_file("overlays/config.txt"), "arm_64bit=1\n");
}

TEST_F(Disk, RefusesAPartitionThatIsNoFat) {
    EXPECT_THROW(Fat(image, 8 * mib), Error);
    EXPECT_THROW(Fat(image, 400 * mib), Error);
}

TEST(PatchedImage, ReadsWhatWasWrittenOverTheBaseAcrossBlockBorders) {
    const Scratch scratch;
    std::string expected(20000, 'b');
    PatchedImage image(scratch.write("base", expected));
    for (const auto& [offset, text] :
         {std::pair<std::size_t, std::string>{4090, "0123456789"}, {0, "x"}, {19990, "0123456789"}}) {
        image.write(offset, text.data(), text.size());
        expected.replace(offset, text.size(), text);
    }
    std::string read(20000, '\0');
    image.read(0, read.data(), read.size());
    EXPECT_EQ(read, expected);
    std::string behind(8, 'z');
    image.read(19996, behind.data(), 8);
    EXPECT_EQ(behind, std::string("6789\0\0\0\0", 8));
    EXPECT_THROW(image.write(19999, "ab", 2), Error);
}

}  // namespace
}  // namespace makina
