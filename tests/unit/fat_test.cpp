#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "builder/disk/disk.hpp"
#include "builder/process.hpp"
#include "firstboot/bundle/error.hpp"
#include "tests/unit/keyrings.hpp"
#include "tests/unit/scratch.hpp"

namespace makina {
namespace {

constexpr std::uint64_t mib = 1 << 20;
constexpr std::int64_t noon = 1700000000;
const std::map<std::string, std::string> plain = {{"MTOOLSRC", "/dev/null"}, {"TZ", "UTC"}, {"LC_ALL", "C.UTF-8"}};

/// How mkfs.fat is asked to make one.
struct Kind {
    std::string name;
    int bits;
    int sectors;  ///< in a cluster
    std::uint64_t size;
    std::vector<std::string> more = {};
};

const std::vector<Kind> kinds = {{"Fat12", 12, 4, 4 * mib},
                                 {"Fat16", 16, 1, 7 * mib},
                                 {"Fat16LargeClusters", 16, 64, 160 * mib},
                                 {"Fat16OneTable", 16, 4, 16 * mib, {"-f", "1", "-r", "128"}},
                                 {"Fat32", 32, 1, 40 * mib},
                                 {"Fat32RaspberryPi", 32, 8, 512 * mib},
                                 {"Fat32LargeSectors", 32, 1, 300 * mib, {"-S", "4096"}}};

std::filesystem::path make_fat(const Scratch& scratch, const Kind& kind, const std::string& name = "fat.img") {
    auto image = scratch / name;
    std::ofstream(image).close();
    std::filesystem::resize_file(image, kind.size);
    std::vector<std::string> argv = {
        "mkfs.fat", "-F", std::to_string(kind.bits), "-s", std::to_string(kind.sectors), "--invariant", "-n", "BOOT"};
    argv.insert(argv.end(), kind.more.begin(), kind.more.end());
    argv.push_back(image.string());
    run_checked({argv});
    return image;
}

/// Nothing that fsck.fat would mend.
void expect_clean(const std::filesystem::path& image) {
    const Result result = run({{"fsck.fat", "-n", image.string()}});
    EXPECT_EQ(result.status, 0) << result.output;
    // It says its version, perhaps that FAT32 has few clusters, and a count of files.
    EXPECT_EQ(result.output.find("differ"), std::string::npos) << result.output;
    EXPECT_EQ(result.output.find("wrong"), std::string::npos) << result.output;
}

using Files = std::map<std::string, std::string>;

/// What mtools finds in there.
Files by_mtools(const Scratch& scratch, const std::filesystem::path& image) {
    const auto folder = scratch / "copied";
    std::filesystem::remove_all(folder);
    std::filesystem::create_directory(folder);
    (void)run({{"mcopy", "-i", image.string(), "-s", "-n", "::/", folder.string()}, plain});
    Files files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
        if (entry.is_regular_file()) files[entry.path().lexically_relative(folder).string()] = slurp(entry.path());
    }
    return files;
}

Files by_us(const std::filesystem::path& image) {
    const Fat fat(image, 0);
    Files files;
    for (const std::string& path : fat.list()) files[path] = fat.read_file(path);
    return files;
}

std::string content_of(std::mt19937& random, std::size_t most) {
    std::string content(random() % most, '\0');
    for (char& c : content) c = static_cast<char>(random());
    return content;
}

class EveryFat : public testing::TestWithParam<Kind> {
  protected:
    Scratch scratch;
};

TEST_P(EveryFat, IsWhatOthersReadAfterAnyEdits) {
    const auto image = make_fat(scratch, GetParam());
    const std::uint64_t empty = Fat(image, 0).free_bytes();
    const std::vector<std::string> pool = {"cmdline.txt",
                                           "CONFIG.TXT",
                                           "start4.elf",
                                           "bcm2711-rpi-4-b.dtb",
                                           "bcm2711-rpi-400.dtb",
                                           "bcm2711-rpi-cm4.dtb",
                                           "overlays/README",
                                           "overlays/w1-gpio-pullup.dtbo",
                                           "overlays/deep/er/a name of more than thirteen letters.conf",
                                           "Grüße, 世界.txt",
                                           "initrd.img-6.12.43+deb13-arm64",
                                           ".hidden",
                                           "A+B=C.[x]",
                                           "many.dots.in.a.name",
                                           std::string(240, 'l') + ".long"};
    std::mt19937 random(7);
    Files expected;
    for (int round = 0; round < 6; ++round) {
        Fat fat(image, 0);
        for (int edit = 0; edit < 25; ++edit) {
            const std::string& path = pool[random() % pool.size()];
            if (random() % 4 == 0) {
                fat.remove(path);
                expected.erase(path);
            } else {
                expected[path] = content_of(random, 20000);
                fat.write(path, expected[path], noon);
            }
        }
        expect_clean(image);
        ASSERT_EQ(by_mtools(scratch, image), expected);
        ASSERT_EQ(by_us(image), expected);
    }
    EXPECT_EQ(Fat(image, 0).label(), "BOOT");
    Fat fat(image, 0);
    for (const std::string& path : pool) fat.remove(path);
    fat.remove("overlays");
    expect_clean(image);
    EXPECT_TRUE(by_us(image).empty());
    // FAT32's root folder has grown, and keeps what it got.
    EXPECT_LE(empty - fat.free_bytes(), 8192U);
}

/// Those that are filled in no time.
class SmallFat : public EveryFat {};

TEST_P(SmallFat, IsFilledToTheLastClusterAndThenRefuses) {
    const Kind& kind = GetParam();
    const auto image = make_fat(scratch, kind);
    const std::uint64_t cluster = static_cast<std::uint64_t>(kind.sectors) * 512;
    Fat fat(image, 0);
    // Every second cluster of the first ones becomes free again: what follows is in pieces.
    for (int i = 0; i < 12; ++i) fat.write("s" + std::to_string(i), std::string(cluster, 's'), noon);
    for (int i = 0; i < 12; i += 2) fat.remove("s" + std::to_string(i));
    const std::string large(fat.free_bytes() - cluster, 'L');
    fat.write("LARGE", large, noon);
    EXPECT_EQ(fat.free_bytes(), cluster);
    const std::string before = slurp(image);
    EXPECT_NE(keyrings::words_of([&] {
                  fat.write("MORE", std::string(2 * cluster, 'm'), noon);
              }).find("the file system is full"),
              std::string::npos);
    EXPECT_NE(keyrings::words_of([&] { fat.write("NEW/MORE", "m", noon); }).find("the file system is full"),
              std::string::npos);
    EXPECT_NE(keyrings::words_of([&] {
                  fat.write("LARGE", large + std::string(cluster + 1, 'm'), noon);
              }).find("the file system is full"),
              std::string::npos);
    EXPECT_EQ(slurp(image), before);
    fat.write("LARGE", large + std::string(cluster, 'm'), noon);
    EXPECT_EQ(fat.free_bytes(), 0U);
    expect_clean(image);
    EXPECT_EQ(by_us(image).at("LARGE"), large + std::string(cluster, 'm'));
    EXPECT_EQ(by_mtools(scratch, image), by_us(image));
    fat.write("LARGE", "", noon);
    EXPECT_EQ(fat.free_bytes(), large.size() + cluster);
    expect_clean(image);
}

TEST_P(EveryFat, IsReadAndChangedAfterMtoolsHasWrittenIt) {
    const auto image = make_fat(scratch, GetParam());
    const auto one = scratch.write("config one", std::string(70000, '1'));
    for (const char* to :
         {"config.txt", "a rather long name.txt", "A RATHER LONG NAME TOO.TXT", "PLAIN.TXT", "lower.txt"})
        run_checked({{"mcopy", "-i", image.string(), one.string(), std::string("::") + to}, plain});
    run_checked({{"mmd", "-i", image.string(), "::overlays", "::overlays/inner"}, plain});
    run_checked({{"mcopy", "-i", image.string(), one.string(), "::overlays/inner/config.txt"}, plain});
    ASSERT_EQ(by_us(image), by_mtools(scratch, image));
    Fat fat(image, 0);
    EXPECT_TRUE(fat.exists("CONFIG.TXT"));
    EXPECT_TRUE(fat.exists("ARATHE~1.TXT"));
    EXPECT_FALSE(fat.exists("config"));
    fat.write("Config.txt", "changed\n", noon);
    fat.write("a rather long name three.txt", "3\n", noon);
    fat.write("overlays/inner/config.txt", "inner\n", noon);
    fat.remove("a rather long name.txt");
    expect_clean(image);
    const Files files = by_mtools(scratch, image);
    EXPECT_EQ(files, by_us(image));
    EXPECT_EQ(files.at("config.txt"), "changed\n");
    EXPECT_EQ(files.at("a rather long name three.txt"), "3\n");
    EXPECT_EQ(files.at("overlays/inner/config.txt"), "inner\n");
    EXPECT_EQ(files.count("a rather long name.txt"), 0U);
}

TEST_P(EveryFat, GrowsAFolderUntilItIsFull) {
    const auto image = make_fat(scratch, GetParam());
    Files expected;
    Fat fat(image, 0);
    for (int i = 0; i < 200; ++i) {
        const std::string path = "overlays/device-tree-overlay-" + std::to_string(i) + ".dtbo";
        fat.write(path, expected[path] = std::to_string(i), noon);
    }
    expect_clean(image);
    EXPECT_EQ(by_mtools(scratch, image), expected);
    const auto fill_root = [&] {
        for (int i = 0; i < 600; ++i) fat.write("in the root folder " + std::to_string(i), "", noon);
    };
    EXPECT_EQ(keyrings::words_of(fill_root).find("the folder is full") == std::string::npos, GetParam().bits == 32);
    expect_clean(image);
}

std::string name_of(const testing::TestParamInfo<Kind>& kind) {
    return kind.param.name;
}

INSTANTIATE_TEST_SUITE_P(Kinds, EveryFat, testing::ValuesIn(kinds), name_of);
INSTANTIATE_TEST_SUITE_P(Kinds, SmallFat, testing::Values(kinds[0], kinds[1], kinds[3], kinds[4]), name_of);

TEST(Fat, TouchesOnlyWhatMustChange) {
    const Scratch scratch;
    const auto image = make_fat(scratch, kinds[5]);
    Fat(image, 0).write("cmdline.txt", std::string(3000, 'x'), noon);
    const Partition whole = {1, 0, kinds[5].size, 0x0c};
    PatchedImage replaced(image);
    Fat(replaced, whole).write("cmdline.txt", "short", noon);
    EXPECT_EQ(replaced.changed().size(), 2U);  // a cluster and the root folder
    PatchedImage added(image);
    PatchedImage again(image);
    for (PatchedImage* patched : {&added, &again}) Fat(*patched, whole).write("config.txt", "new", noon);
    EXPECT_EQ(added.changed().size(), 5U);  // those, two tables and FSInfo
    EXPECT_EQ(added.changed(), again.changed());
    const std::string before = slurp(image);
    added.apply();
    EXPECT_TRUE(added.changed().empty());
    EXPECT_NE(slurp(image), before);
    expect_clean(image);
}

TEST(Fat, StoresTheTimeInUtc) {
    const Scratch scratch;
    const auto image = make_fat(scratch, kinds[1]);
    Fat(image, 0).write("cmdline.txt", "x", noon);
    const std::string listing = run_checked({{"mdir", "-i", image.string(), "::"}, plain});
    EXPECT_NE(listing.find("2023-11-14  22:13"), std::string::npos) << listing;
}

TEST(Fat, GoesOnBehindTheEndOfAFolderThatHasLeftoversThere) {
    const Scratch scratch;
    const auto image = make_fat(scratch, {"", 16, 1, 7 * mib, {"-R", "1"}});
    const Partition whole = {1, 0, 7 * mib, 0x0c};
    PatchedImage patched(image);
    // One reserved sector, then two tables; the label is the first slot, and the second ends the folder.
    std::array<char, 2> sectors{};
    patched.read(22, sectors.data(), 2);
    const std::uint64_t root =
        512 + 2 * 512 * (static_cast<unsigned char>(sectors[0]) + 256U * static_cast<unsigned char>(sectors[1]));
    patched.write(root + 64, std::string(64, 'z').data(), 64);
    ASSERT_TRUE(Fat(patched, whole).list().empty());
    Fat(patched, whole).write("A", "a", noon);
    EXPECT_EQ(Fat(patched, whole).list(), std::vector<std::string>{"A"});
    patched.apply();
    EXPECT_EQ(by_mtools(scratch, image), (Files{{"A", "a"}}));
}

TEST(Fat, HasFat32OfFewClustersAndLettersThatMtoolsDoesNotKnow) {
    const Scratch scratch;
    const auto image = make_fat(scratch, {"", 32, 32, 64 * mib});
    Fat(image, 0).write("🚀/🚀.txt", "up", noon);
    expect_clean(image);
    EXPECT_EQ(by_us(image), (Files{{"🚀/🚀.txt", "up"}}));
}

TEST(Fat, RefusesNamesThatItCannotHave) {
    const Scratch scratch;
    const auto image = make_fat(scratch, kinds[1]);
    Fat fat(image, 0);
    const std::string before = slurp(image);
    for (const std::string& name :
         {std::string("a\nb"), std::string("/a"), std::string("a//b"), std::string("a/"), std::string("a:b"),
          std::string("what?"), std::string("."), std::string("a/../b"), std::string("dot."), std::string("blank "),
          std::string("\xff\xfe"), std::string(256, 'x'), std::string()}) {
        EXPECT_NE(keyrings::words_of([&] { fat.write(name, "", noon); }).find("not a name for a FAT file system"),
                  std::string::npos)
            << name;
    }
    fat.write("folder/file", "x", noon);
    EXPECT_NE(keyrings::words_of([&] { fat.write("folder", "", noon); }).find("it is a folder"), std::string::npos);
    EXPECT_NE(keyrings::words_of([&] { fat.write("folder/file/x", "", noon); }).find("is a file, not a folder"),
              std::string::npos);
    EXPECT_NE(keyrings::words_of([&] { (void)fat.read_file("folder"); }).find("it is a folder"), std::string::npos);
    EXPECT_NE(keyrings::words_of([&] { (void)fat.read_file("nothing"); }).find("there is no such file"),
              std::string::npos);
    fat.remove("folder");
    fat.remove("nothing");
    EXPECT_EQ(fat.list(), std::vector<std::string>());
    EXPECT_NE(slurp(image), before);
}

TEST(Fat, ComesToAnEndOnDamagedOnes) {
    const Scratch scratch;
    const auto image = make_fat(scratch, kinds[1]);
    {
        Fat fat(image, 0);
        fat.write("overlays/deep/file.txt", std::string(5000, 'f'), noon);
        fat.write("config.txt", std::string(5000, 'c'), noon);
    }
    const std::string good = slurp(image);
    std::mt19937 random(3);
    int refused = 0;
    for (int round = 0; round < 300; ++round) {
        PatchedImage damaged(image);
        // Boot sector, tables, root folder and the first clusters are all in the first 128 KiB.
        for (int i = 0; i < 12; ++i) {
            const auto byte = static_cast<char>(random());
            damaged.write(random() % (i < 6 ? 600 : 131072), &byte, 1);
        }
        try {
            Fat fat(damaged, {1, 0, kinds[1].size, 0x0c});
            for (const std::string& path : fat.list()) (void)fat.read_file(path);
            fat.write("overlays/deep/file.txt", std::string(9000, 'n'), noon);
            fat.write("overlays/new.txt", "new", noon);
            fat.remove("overlays");
        } catch (const Error&) {
            ++refused;
        }
    }
    EXPECT_GT(refused, 30);
    EXPECT_EQ(slurp(image), good);
}

}  // namespace
}  // namespace makina
