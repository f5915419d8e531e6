#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>

#include "builder/disk/disk.hpp"
#include "firstboot/bundle/digest.hpp"
#include "tests/images/suite.hpp"
#include "tests/unit/scratch.hpp"

// Every role's card, as the programs of the file systems' own makers see it.
namespace makina::images {
namespace {

class EachRole : public testing::TestWithParam<Subject> {};

TEST_P(EachRole, HasAnImageThatIsPrivateSparseAndOfTheSizeThatIsSaid) {
    const BuiltCard& built = card(GetParam());
    struct stat status {};
    ASSERT_EQ(stat(built.path.c_str(), &status), 0) << built.path;
    EXPECT_EQ(status.st_mode, static_cast<mode_t>(S_IFREG | 0600));
    EXPECT_EQ(built.event["path"], built.path.string());
    EXPECT_EQ(built.event["node"], GetParam().node);
    EXPECT_EQ(built.event["size"], static_cast<std::uint64_t>(status.st_size));
    // A card of 4 GB holds it, and what holds data is far less than its size.
    EXPECT_LT(status.st_size, 4'000'000'000);
    const auto used = built.event["used"].get<std::uint64_t>();
    EXPECT_GT(used, 200ULL << 20);
    EXPECT_LT(used, static_cast<std::uint64_t>(status.st_size) / 2);
    EXPECT_LT(static_cast<std::uint64_t>(status.st_blocks) * 512, used + (64ULL << 20));
    EXPECT_EQ(built.event["sha256"], sha256_of_file(built.path));
}

TEST_P(EachRole, HasARootFileSystemThatE2fsckFindsClean) {
    const fs::path image = card(GetParam()).path;
    const PartitionTable table = read_partition_table(image);
    ASSERT_NE(table.find(2), nullptr);
    const Result checked =
        run({{"e2fsck", "-fn", image.string() + "?offset=" + std::to_string(table.find(2)->offset)}});
    EXPECT_EQ(checked.status, 0) << checked.output << checked.errors;
    // It says so only of a file system that it went through to the end.
    EXPECT_NE(checked.output.find("Pass 5: Checking group summary information"), std::string::npos) << checked.output;
    count("file_systems_checked", 1);
}

TEST_P(EachRole, HasABootPartitionThatFsckFatFindsClean) {
    const fs::path image = card(GetParam()).path;
    const PartitionTable table = read_partition_table(image);
    ASSERT_NE(table.find(1), nullptr);
    const Partition boot = *table.find(1);
    const Scratch scratch;
    const fs::path copy = scratch / "boot";
    (void)run_checked({{"dd", "if=" + image.string(), "of=" + copy.string(), "bs=1M", "conv=sparse", "status=none",
                        "skip=" + std::to_string(boot.offset >> 20), "count=" + std::to_string(boot.size >> 20)}});
    fs::resize_file(copy, boot.size);  // conv=sparse ends with the last data
    const Result checked = run({{"fsck.fat", "-n", copy.string()}});
    EXPECT_EQ(checked.status, 0) << checked.output << checked.errors;
    count("file_systems_checked", 1);
}

TEST_P(EachRole, HasABootPartitionWithWhatARaspberryPiStartsFrom) {
    const fs::path image = card(GetParam()).path;
    const PartitionTable table = read_partition_table(image);
    const Fat boot(image, table.find(1)->offset);
    const std::string config = boot.read_file("config.txt");
    for (const std::string key : {"kernel=", "initramfs "}) {
        const auto at = config.find("\n" + key);
        ASSERT_NE(at, std::string::npos) << config;
        const auto begin = at + 1 + key.size();
        const std::string name = config.substr(begin, config.find_first_of(" \n", begin) - begin);
        EXPECT_TRUE(boot.exists(name)) << name;
    }
    EXPECT_NE(boot.read_file("cmdline.txt").find("root=PARTUUID=" + partuuid(table, 2)), std::string::npos);
    for (const char* const name : {"start4.elf", "fixup4.dat", "bootcode.bin", "bcm2711-rpi-4-b.dtb"}) {
        EXPECT_TRUE(boot.exists(name)) << name;
    }
}

INSTANTIATE_TEST_SUITE_P(Every, EachRole, testing::ValuesIn(subjects()), [](const auto& subject) {
    std::string name = subject.param.role;
    std::replace(name.begin(), name.end(), '-', '_');
    return name;
});

}  // namespace
}  // namespace makina::images
