#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "builder/process.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/handle.hpp"
#include "firstboot/machine/disk.hpp"
#include "firstboot/machine/ext4.hpp"
#include "firstboot/machine/files.hpp"
#include "tests/unit/scratch.hpp"

namespace makina {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::uint64_t mebibyte = 2048;  // in sectors

/// A card in a loop device: a boot partition, a root partition with ext4, and room behind them.
class MachineDisk : public ::testing::Test {
  protected:
    Scratch scratch_;
    std::string loop_;
    std::vector<std::string> nodes_;
    std::filesystem::path mount_ = scratch_.path() / "root";

    void SetUp() override {
        if (geteuid() != 0) GTEST_SKIP() << "loop devices need root";
        for (const char* const program : {"losetup", "partx", "sfdisk", "mkfs.ext4", "e2fsck"}) {
            if (!have_program(program)) GTEST_SKIP() << "needs " << program;
        }
        const std::string card = (scratch_.path() / "card").string();
        std::ofstream(card).close();
        std::filesystem::resize_file(card, 256 << 20);
        run_checked({.argv = {"sfdisk", "--quiet", card},
                     .input = "label: dos\nstart=2048, size=8192, type=c\n"
                              "start=10240, size=65536, type=83\n"});
        const Result attached = run({{"losetup", "--find", "--show", card}});
        if (attached.status != 0) GTEST_SKIP() << "no loop device: " << attached.errors;
        loop_ = attached.output.substr(5, attached.output.find('\n') - 5);
        // A kernel may be built without the code that reads tables of this kind; partx reads it and tells the kernel.
        run_checked({{"partx", "--add", "/dev/" + loop_}});
        make_node(2);
        run_checked({{"mkfs.ext4", "-q", "/dev/" + loop_ + "p2"}});
        std::filesystem::create_directory(mount_);
        ASSERT_EQ(mount(("/dev/" + loop_ + "p2").c_str(), mount_.c_str(), "ext4", 0, nullptr), 0);
    }
    void TearDown() override {
        (void)umount2(mount_.c_str(), MNT_DETACH);
        if (loop_.empty()) return;
        (void)run({{"partx", "--delete", "/dev/" + loop_}});
        (void)run({{"losetup", "--detach", "/dev/" + loop_}});
        for (const std::string& node : nodes_) std::filesystem::remove(node);
    }
    /// Where nobody makes nodes of partitions, as udev or devtmpfs would.
    void make_node(int number) {
        const std::string name = loop_ + "p" + std::to_string(number);
        const std::string device = slurp("/sys/block/" + loop_ + "/" + name + "/dev");
        const std::size_t colon = device.find(':');
        ASSERT_NE(colon, std::string::npos) << "the kernel has no partition " << name;
        if (std::filesystem::exists("/dev/" + name)) return;
        ASSERT_EQ(mknod(("/dev/" + name).c_str(), S_IFBLK | 0600,
                        makedev(number_of(device), number_of(device.substr(colon + 1)))),
                  0);
        nodes_.push_back("/dev/" + name);
    }
    static unsigned number_of(const std::string& text) { return static_cast<unsigned>(std::stoul(text)); }
    [[nodiscard]] Descriptor root() const { return Descriptor(open(mount_.c_str(), O_RDONLY | O_CLOEXEC)); }
    /// The table with another size of a partition, or with a new one.
    static std::string with(std::string table, int number, std::uint64_t start, std::uint64_t sectors) {
        const std::size_t entry = 446 + 16 * static_cast<std::size_t>(number - 1);
        table[entry + 4] = static_cast<char>(0x83);
        for (std::size_t byte = 0; byte < 4; ++byte) {
            table[entry + 8 + byte] = static_cast<char>(start >> (8 * byte));
            table[entry + 12 + byte] = static_cast<char>(sectors >> (8 * byte));
        }
        return table;
    }
};

TEST_F(MachineDisk, IsFoundBelowAFolder) {
    const Descriptor folder = root();
    EXPECT_TRUE(is_card(folder.get()));
    const Disk disk = disk_of(folder.get());
    EXPECT_EQ(disk.name, loop_);
    EXPECT_EQ(disk.sectors, 256 * mebibyte);
    EXPECT_EQ(disk.root_partition, 2);
    EXPECT_EQ(disk.root_sectors, 32 * mebibyte);
    EXPECT_EQ(disk.file_system_sectors, 32 * mebibyte);
    EXPECT_THAT(disk.partitions, ElementsAre(1, 2));
    EXPECT_EQ(disk.table.substr(510), "\x55\xaa");
}

TEST_F(MachineDisk, TheTableAndTheKernelAreToldOneAfterTheOther) {
    std::ofstream(mount_ / "kept") << "content";
    const Descriptor folder = root();
    const std::uint64_t start = 5 * mebibyte;
    const std::uint64_t grown = 200 * mebibyte;
    // Each step is asked after, as after a power cut.
    write_table(folder.get(), with(disk_of(folder.get()).table, 2, start, grown));
    EXPECT_EQ(disk_of(folder.get()).root_sectors, 32 * mebibyte);
    tell_partition(folder.get(), 2, start, grown);
    EXPECT_EQ(disk_of(folder.get()).root_sectors, grown);
    EXPECT_EQ(disk_of(folder.get()).file_system_sectors, 32 * mebibyte);
    // Done is done.
    tell_partition(folder.get(), 2, start, grown);
    // The rest becomes a partition that the kernel did not have.
    const std::uint64_t behind = start + grown;
    write_table(folder.get(), with(disk_of(folder.get()).table, 3, behind, 256 * mebibyte - behind));
    tell_partition(folder.get(), 3, behind, 256 * mebibyte - behind);
    tell_partition(folder.get(), 3, behind, 256 * mebibyte - behind);
    EXPECT_THAT(disk_of(folder.get()).partitions, ElementsAre(1, 2, 3));
    EXPECT_EQ(slurp(mount_ / "kept"), "content");
    const Result table = run({{"sfdisk", "--dump", (scratch_.path() / "card").string()}});
    EXPECT_THAT(table.output, HasSubstr("start=       10240, size=      409600, type=83"));
    EXPECT_THAT(table.output, HasSubstr("start=      419840, size=      104448, type=83"));
}

TEST_F(MachineDisk, RefusesAPartitionOverAnother) {
    try {
        tell_partition(root().get(), 3, 5 * mebibyte, mebibyte);
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.what(), "telling the kernel of partition 3 of /dev/" + loop_ + ": " + system_message(EBUSY));
    }
}

/// Growing a mounted ext4 needs CAP_SYS_RESOURCE: Linux, fs/ext4/resize.c.
bool may_grow() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
        if (line.rfind("CapEff:", 0) == 0) return (std::stoull(line.substr(7), nullptr, 16) >> 24U & 1U) != 0;
    }
    return false;
}

/// Where the kernel does not let us grow it, that it says so is what can be shown here; the boot suite grows one.
void expect_refusal(int folder) {
    try {
        grow_file_system(folder);
        ADD_FAILURE() << "it was grown without the capability";
    } catch (const Error& error) {
        EXPECT_THAT(error.what(), HasSubstr(system_message(EPERM)));
    }
}

TEST_F(MachineDisk, TheFileSystemGrowsWhileItIsMounted) {
    std::ofstream(mount_ / "kept") << "content";
    const Descriptor folder = root();
    write_table(folder.get(), with(disk_of(folder.get()).table, 2, 5 * mebibyte, 200 * mebibyte));
    tell_partition(folder.get(), 2, 5 * mebibyte, 200 * mebibyte);
    if (!may_grow()) return expect_refusal(folder.get());
    grow_file_system(folder.get());
    EXPECT_EQ(disk_of(folder.get()).file_system_sectors, 200 * mebibyte);
    grow_file_system(folder.get());
    EXPECT_EQ(slurp(mount_ / "kept"), "content");
    ASSERT_EQ(umount2(mount_.c_str(), 0), 0) << "something holds the file system";
    const Result checked = run({{"e2fsck", "-fn", "/dev/" + loop_ + "p2"}});
    EXPECT_EQ(checked.status, 0) << checked.output;
}

TEST_F(MachineDisk, ARestThatIsTooSmallForAGroupCountsAsGrown) {
    const Descriptor folder = root();
    std::string superblock(1024, '\0');
    {
        const Descriptor node(open(("/dev/" + loop_ + "p2").c_str(), O_RDONLY | O_CLOEXEC));
        ASSERT_EQ(pread(node.get(), superblock.data(), superblock.size(), 1024), 1024);
    }
    // Whole groups, and 40 blocks of one more.
    const Ext4Size size = ext4_size(superblock);
    const std::uint64_t group = size.blocks_per_group * size.block_size / 512;
    const std::uint64_t sectors =
        std::max(160 * mebibyte / group, std::uint64_t{1}) * group + 40 * size.block_size / 512;
    write_table(folder.get(), with(disk_of(folder.get()).table, 2, 5 * mebibyte, sectors));
    tell_partition(folder.get(), 2, 5 * mebibyte, sectors);
    if (!may_grow()) return expect_refusal(folder.get());
    grow_file_system(folder.get());
    const Disk disk = disk_of(folder.get());
    EXPECT_EQ(disk.root_sectors, sectors);
    EXPECT_EQ(disk.file_system_sectors, sectors);
    ASSERT_EQ(umount2(mount_.c_str(), 0), 0);
    const Result checked = run({{"e2fsck", "-fn", "/dev/" + loop_ + "p2"}});
    EXPECT_EQ(checked.status, 0) << checked.output;
}

TEST_F(MachineDisk, ATableIsOneSector) {
    try {
        write_table(root().get(), std::string(513, '\0'));
        FAIL();
    } catch (const Error& error) {
        EXPECT_STREQ(error.what(), "a partition table is one sector of 512 bytes");
    }
}

/// As the kernel counts them: what a file takes on its disk.
std::uint64_t taken(const std::filesystem::path& file) {
    struct stat facts {};
    return stat(file.c_str(), &facts) == 0 ? static_cast<std::uint64_t>(facts.st_blocks) * 512 : 0;
}

TEST(MachineTrim, GoesInPartsBetweenWhichTheWatchdogHearsOfIt) {
    if (geteuid() != 0 || !have_program("losetup")) GTEST_SKIP() << "loop devices need root";
    const Scratch scratch;
    const std::string card = (scratch.path() / "card").string();
    std::ofstream(card).close();
    std::filesystem::resize_file(card, std::uint64_t{1100} << 20);
    run_checked({{"mkfs.ext4", "-q", card}});
    const std::filesystem::path folder = scratch.path() / "root";
    std::filesystem::create_directory(folder);
    if (run({{"mount", "-o", "loop", card, folder.string()}}).status != 0) GTEST_SKIP() << "no loop device";
    constexpr std::size_t secret = 8 << 20;
    {
        std::ofstream(folder / "secret") << std::string(secret, 's');
        run_checked({{"sync", "-f", folder.string()}});
        std::filesystem::remove(folder / "secret");
        run_checked({{"sync", "-f", folder.string()}});
    }
    const std::uint64_t before = taken(card);
    std::size_t parts = 0;
    Files(folder).trim([&] { ++parts; });
    const std::uint64_t after = taken(card);
    ASSERT_EQ(umount2(folder.c_str(), 0), 0);
    // Five of 256 MiB, and the one behind the end.
    EXPECT_EQ(parts, 6U);
    EXPECT_LE(after + secret, before);
}

TEST(MachineFolder, LooksLikeACardThatIsGrown) {
    const Scratch scratch;
    const Descriptor folder(open(scratch.path().c_str(), O_RDONLY | O_CLOEXEC));
    EXPECT_FALSE(is_card(folder.get()));
    const Disk disk = grown_disk(folder.get());
    EXPECT_EQ(disk.root_sectors, disk.file_system_sectors);
    EXPECT_EQ(disk.sectors, disk.root_sectors + 2048);
    EXPECT_THAT(disk.partitions, ElementsAre(1));
    EXPECT_EQ(disk.table.substr(510), "\x55\xaa");
}

TEST(MachineExt4, IsRefusedIfItIsSomethingElse) {
    for (const std::string& bytes : {std::string(), std::string(1024, '\0'), std::string(1024, 'x')}) {
        try {
            (void)ext4_size(bytes);
            FAIL();
        } catch (const Error& error) {
            EXPECT_STREQ(error.what(), "the root file system is not ext4");
        }
    }
}

TEST(MachineExt4, NeverShrinks) {
    const Ext4Size size{1000, 4096, 32768, 600};
    EXPECT_EQ(grown_blocks(size, 1000 * 4096), 1000U);
    EXPECT_EQ(grown_blocks(size, 999 * 4096), 1000U);
    EXPECT_EQ(grown_blocks(size, 2000 * 4096 + 4095), 2000U);
    EXPECT_EQ(grown_blocks(size, (32768 + 599) * 4096ULL), 32768U);
    EXPECT_EQ(grown_blocks(size, (32768 + 600) * 4096ULL), 33368U);
}

}  // namespace
}  // namespace makina
