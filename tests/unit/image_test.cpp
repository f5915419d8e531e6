#include "builder/image.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <random>

#include "builder/base/facts.hpp"
#include "builder/commands/interruption.hpp"
#include "builder/disk/disk.hpp"
#include "builder/manifest.hpp"
#include "builder/process.hpp"
#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/error.hpp"
#include "tests/unit/child.hpp"
#include "tests/unit/vendor_images.hpp"

namespace makina {
namespace {

constexpr std::int64_t noon = 1760000000;

/// A small vendor image as base, made once, and a plan for one node.
class Image : public testing::Test {
  protected:
    static void SetUpTestSuite() {
        folder = std::make_unique<Scratch>();
        chmod(folder->path().c_str(), 0755);
        vendors::Image vendor = vendors::rpios_trixie();
        vendor.root["/etc/removed/deep/file"] = "gone";
        vendor.boot["firstrun.sh"] = "#!/bin/sh\n";
        (void)vendors::write(*folder, "base.img", vendor);
    }
    static void TearDownTestSuite() { folder.reset(); }

    void SetUp() override {
        chmod(scratch.path().c_str(), 0755);
        base.path = *folder / "base.img";
        plan.node.name = "master-1";
        plan.node.role = Role::control_plane;
        plan.cluster = "makina";
        plan.base_id = std::string(64, 'b');
        plan.built = noon;
        plan.files.put({"/etc/hostname", FileKind::regular, 0644, "root", "root", "master-1\n", "overlays/any"});
        plan.files.put({"/etc/shadow", FileKind::regular, 0640, "root", "shadow", "root:*::\n", "the plan"});
        plan.files.put({"/var/lib/kept", FileKind::directory, 01777, "root", "root", "", "the plan"});
        plan.files.put({"/etc/localtime", FileKind::symlink, 0777, "root", "root", "/usr/share/zoneinfo/UTC", "plan"});
        plan.files.put({"/usr/bin/large", FileKind::regular, 04755, "root", "root", std::string(1 << 20, 'l'), "plan"});
        plan.files.put({"/boot/firmware/cmdline.txt", FileKind::regular, 0644, "root", "root", "quiet\n", "the plan"});
        plan.files.put({"/boot/firmware/new/deep.txt", FileKind::regular, 0644, "root", "root", "deep\n", "the plan"});
        plan.removals = {"/etc/removed", "/boot/firmware/firstrun.sh", "/never/was/there"};
    }
    [[nodiscard]] WrittenImage write(const std::filesystem::path& output,
                                     Compression compression = Compression::none) const {
        ImageOptions options;
        options.output = output;
        options.compression = compression;
        return write_image(plan, base, options);
    }
    [[nodiscard]] std::string refusal(const std::filesystem::path& output,
                                      Compression compression = Compression::none) const {
        try {
            (void)write(output, compression);
        } catch (const Error& error) {
            return error.what();
        }
        return "no error";
    }
    /// A copy of the base with other bytes at `offset`.
    void damage(std::uint64_t offset, const std::string& bytes) {
        const auto copy = scratch / "damaged.img";
        std::filesystem::copy_file(base.path, copy, std::filesystem::copy_options::overwrite_existing);
        std::fstream file(copy, std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(static_cast<std::streamoff>(offset));
        file << bytes;
        ASSERT_TRUE(file.flush());
        base.path = copy;
    }
    [[nodiscard]] std::filesystem::path output_folder() const {
        std::filesystem::create_directories(scratch / "out");
        return scratch / "out";
    }

    static std::unique_ptr<Scratch> folder;
    Scratch scratch;
    BaseImage base;
    ImagePlan plan;
};

std::unique_ptr<Scratch> Image::folder;

TEST_F(Image, HasThePlansFilesWithOwnerModeAndTime) {
    const WrittenImage written = write(scratch / "a.img");
    const PartitionTable table = read_partition_table(written.path);
    const Ext4 root(written.path, table.find(2)->offset, false);
    EXPECT_EQ(root.read_file("/etc/hostname"), "master-1\n");
    EXPECT_EQ(root.read_file("/etc/shadow"), "root:*::\n");
    const Stat shadow = root.stat("/etc/shadow").value();
    EXPECT_EQ(shadow.mode, S_IFREG | 0640U);
    EXPECT_EQ(shadow.uid, 0);
    EXPECT_EQ(shadow.gid, 42);
    EXPECT_EQ(shadow.mtime, noon);
    EXPECT_EQ(root.stat("/var/lib/kept")->mode, S_IFDIR | 01777U);
    EXPECT_EQ(root.read_link("/etc/localtime"), "/usr/share/zoneinfo/UTC");
    EXPECT_EQ(root.stat("/usr/bin/large")->mode, S_IFREG | 04755U);
    EXPECT_EQ(root.read_file("/usr/bin/large"), std::string(1 << 20, 'l'));
    // What the plan does not name is the base's.
    EXPECT_EQ(root.read_file("/etc/rpi-issue"), "Raspberry Pi reference 2025-05-13\n");
    const Fat boot(written.path, table.find(1)->offset);
    EXPECT_EQ(boot.read_file("cmdline.txt"), "quiet\n");
    EXPECT_EQ(boot.read_file("new/deep.txt"), "deep\n");
    EXPECT_EQ(boot.read_file("overlays/disable-wifi.dtbo"), "dtbo");
}

TEST_F(Image, LacksWhatThePlanRemovesFromBothPartitions) {
    const WrittenImage written = write(scratch / "a.img");
    const PartitionTable table = read_partition_table(written.path);
    const Ext4 root(written.path, table.find(2)->offset, false);
    EXPECT_FALSE(root.stat("/etc/removed"));
    EXPECT_FALSE(Fat(written.path, table.find(1)->offset).exists("firstrun.sh"));
}

TEST_F(Image, IsCleanForTheCheckers) {
    const WrittenImage written = write(scratch / "a.img");
    const PartitionTable table = read_partition_table(written.path);
    const Result e2fsck =
        run({{"e2fsck", "-fn", written.path.string() + "?offset=" + std::to_string(table.find(2)->offset)}});
    EXPECT_EQ(e2fsck.status, 0) << e2fsck.output;
    const auto fat = scratch.write("fat", slurp(written.path).substr(table.find(1)->offset, table.find(1)->size));
    const Result fsck = run({{"fsck.fat", "-n", fat.string()}});
    EXPECT_EQ(fsck.status, 0) << fsck.output;
}

TEST_F(Image, SaysWhatItIs) {
    const WrittenImage written = write(scratch / "a.img");
    const Ext4 root(written.path, read_partition_table(written.path).find(2)->offset, false);
    const Manifest manifest = decode(root.read_file(Manifest::path));
    EXPECT_EQ(manifest.cluster, "makina");
    EXPECT_EQ(manifest.node, "master-1");
    EXPECT_EQ(manifest.role, "control-plane");
    EXPECT_EQ(manifest.base, plan.base_id);
    EXPECT_EQ(manifest.built, noon);
    ASSERT_EQ(manifest.files.size(), plan.files.files().size());
    for (const Manifest::Entry& entry : manifest.files) {
        const File* const file = plan.files.find(entry.path);
        ASSERT_NE(file, nullptr);
        EXPECT_EQ(entry.sha256, sha256(file->content));
        EXPECT_EQ(entry.mode, file->mode);
        EXPECT_EQ(entry.group, file->group);
        EXPECT_EQ(entry.origin, file->origin);
    }
}

TEST_F(Image, IsForItsOwnerAloneAndTellsItsSize) {
    const WrittenImage written = write(scratch / "a.img");
    struct stat status {};
    ASSERT_EQ(stat(written.path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode, S_IFREG | 0600U);
    EXPECT_EQ(static_cast<std::uint64_t>(status.st_size), written.size);
    EXPECT_EQ(written.size, std::filesystem::file_size(base.path));
    EXPECT_GT(written.used, 0);
    EXPECT_LT(written.used, written.size);
}

TEST_F(Image, HasEqualBytesInTwoFolders) {
    const std::string before = sha256_of_file(base.path);
    const WrittenImage first = write(scratch / "a.img");
    const auto other_base = scratch / "elsewhere.img";
    std::filesystem::copy_file(base.path, other_base);
    base.path = other_base;
    const WrittenImage second = write(output_folder() / "b.img");
    EXPECT_EQ(first.sha256, second.sha256);
    EXPECT_EQ(first.sha256, sha256_of_file(first.path));
    EXPECT_EQ(second.sha256, sha256_of_file(second.path));
    EXPECT_EQ(sha256_of_file(*folder / "base.img"), before);
    EXPECT_NE(first.sha256, before);
    EXPECT_EQ(names_in(output_folder()), "b.img ");
}

TEST_F(Image, ReplacesAnOlderOneAndWhatAKilledBuildLeft) {
    scratch.write("out/a.img", "old");
    const auto part = scratch.write("out/a.img.part", std::string(5000, 'x'));
    chmod(part.c_str(), 0644);
    const WrittenImage written = write(scratch / "out/a.img");
    EXPECT_EQ(sha256_of_file(written.path), written.sha256);
    EXPECT_EQ(names_in(scratch / "out"), "a.img ");
    EXPECT_EQ(std::filesystem::status(written.path).permissions(), std::filesystem::perms{0600});
}

TEST_F(Image, TellsHowFarItIs) {
    ImageOptions options;
    options.output = scratch / "a.img";
    std::uint64_t last = 0;
    std::uint64_t all = 0;
    options.progress = [&](std::uint64_t done, std::uint64_t total) {
        EXPECT_GT(done, last);
        last = done;
        all = total;
    };
    const WrittenImage written = write_image(plan, base, options);
    EXPECT_EQ(last, all);
    EXPECT_EQ(all, written.used);
}

TEST_F(Image, UnpacksToTheSameBytesWhenItWasCompressed) {
    const std::string raw = write(scratch / "a.img").sha256;
    for (const auto& [compression, tool] :
         std::vector<std::pair<Compression, std::string>>{{Compression::xz, "xz"}, {Compression::zstd, "zstd"}}) {
        if (!have_program(tool)) GTEST_SKIP() << tool << " is not installed";
        const auto output = output_folder() / ("a.img." + tool);
        const WrittenImage packed = write(output, compression);
        EXPECT_EQ(packed.path, output);
        EXPECT_EQ(packed.sha256, sha256_of_file(output));
        EXPECT_EQ(packed.size, std::filesystem::file_size(output));
        EXPECT_EQ(std::filesystem::status(output).permissions(), std::filesystem::perms{0600});
        Sha256 unpacked;
        run_streaming({{tool, "-dc", output.string()}}, [&](const char* data, std::size_t size) {
            unpacked.update({data, size});
        });
        EXPECT_EQ(unpacked.hex(), raw);
        EXPECT_EQ(write(output, compression).sha256, packed.sha256);
        EXPECT_EQ(names_in(output_folder()), "a.img." + tool + " ");
        std::filesystem::remove(output);
    }
}

TEST_F(Image, RefusesAnOwnerThatTheBaseDoesNotHave) {
    plan.files.put({"/etc/x", FileKind::regular, 0644, "makina", "root", "", "the plan"});
    EXPECT_EQ(refusal(output_folder() / "a.img"), "writing /etc/x: the base has no user named makina");
    plan.files.put({"/etc/x", FileKind::regular, 0644, "root", "wheel", "", "the plan"});
    EXPECT_EQ(refusal(output_folder() / "a.img"), "writing /etc/x: the base has no group named wheel");
    EXPECT_EQ(names_in(output_folder()), "");
}

TEST_F(Image, RefusesALinkOnTheBootPartition) {
    plan.files.put({"/boot/firmware/link", FileKind::symlink, 0777, "root", "root", "config.txt", "the plan"});
    EXPECT_EQ(refusal(output_folder() / "a.img"),
              "/boot/firmware/link is not a regular file, and the boot partition holds nothing else");
    EXPECT_EQ(names_in(output_folder()), "");
}

TEST_F(Image, SaysWhichFileDidNotFit) {
    plan.files.put({"/usr/huge", FileKind::regular, 0644, "root", "root", std::string(30 << 20, 'h'), "the plan"});
    EXPECT_EQ(refusal(output_folder() / "a.img").rfind("writing /usr/huge: ", 0), 0);
    EXPECT_EQ(names_in(output_folder()), "");
}

TEST_F(Image, IsWrittenByOneBuildAtATime) {
    const auto part = scratch.write("out/a.img.part", "");
    const Descriptor other(open(part.c_str(), O_RDWR | O_CLOEXEC));
    ASSERT_EQ(flock(other.get(), LOCK_EX), 0);
    EXPECT_EQ(refusal(scratch / "out/a.img"), part.string() + ": another build is writing it");
    EXPECT_EQ(names_in(scratch / "out"), "a.img.part ");
}

TEST_F(Image, IsWholeHoweverManyBuildsWantTheName) {
    const std::string expected = write(scratch / "expected.img").sha256;
    const auto output = output_folder() / "a.img";
    const auto build = [&]() -> std::string {
        for (int round = 0; round < 6; ++round) {
            std::string why = refusal(output);
            if (why != "no error" && why != output.string() + ".part: another build is writing it") return why;
            if (why == "no error" && sha256_of_file(output) != expected) return "other bytes under the final name";
        }
        return "fine";
    };
    std::vector<ChildProcess> builds;
    builds.reserve(3);
    for (int i = 0; i < 3; ++i) builds.emplace_back(build);
    std::vector<std::string> said;
    said.reserve(builds.size());
    for (ChildProcess& one : builds) said.push_back(one.result());
    EXPECT_EQ(said, (std::vector<std::string>(3, "fine")));
    EXPECT_EQ(sha256_of_file(output), expected);
    EXPECT_EQ(names_in(output_folder()), "a.img ");
}

TEST_F(Image, LeavesNothingOnAFullDisk) {
    const auto small = output_folder();
    for (const Compression compression : {Compression::none, Compression::zstd}) {
        const std::string said = in_child([&]() -> std::string {
            if (!mount_small(small, "1m")) return "cannot mount";
            const std::string why = refusal(small / "a.img", compression);
            return why + " | left: " + names_in(small);
        });
        if (said == "cannot mount") GTEST_SKIP() << "this user cannot mount a small file system";
        const std::string part = compression == Compression::none ? "a.img.part" : "a.img.raw.part";
        EXPECT_EQ(said, (small / part).string() + ": writing the image: no space left on device | left: ");
    }
}

TEST_F(Image, LeavesNothingWhereFilesMustBeSmall) {
    const std::string said = in_child([&]() -> std::string {
        if (std::signal(SIGXFSZ, SIG_IGN) == SIG_ERR) return "cannot ignore the signal";
        // Enough for the copy of the boot partition that is edited, not for the image.
        const rlimit limit{40 << 20, 40 << 20};
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return "cannot limit";
        return refusal(output_folder() / "a.img");
    });
    EXPECT_EQ(said, (output_folder() / "a.img.part").string() + ": writing the image: file too large");
    EXPECT_EQ(names_in(output_folder()), "");
}

TEST_F(Image, NamesAFolderThatCannotBeWritten) {
    const auto closed = output_folder();
    chmod(closed.c_str(), 0555);
    const std::string said = in_child([&] {
        become_nobody();
        return refusal(closed / "a.img");
    });
    EXPECT_EQ(said, "making " + (closed / "a.img.part").string() + ": permission denied");
    EXPECT_EQ(refusal(scratch / "nowhere/a.img"),
              "making " + (scratch / "nowhere/a.img.part").string() + ": no such file or directory");
}

TEST_F(Image, NamesAFolderThatHasItsName) {
    std::filesystem::create_directories(output_folder() / "a.img/x");
    EXPECT_EQ(refusal(output_folder() / "a.img"),
              "naming " + (output_folder() / "a.img").string() + ": is a directory");
    EXPECT_EQ(names_in(output_folder()), "a.img ");
}

TEST_F(Image, RefusesADamagedBase) {
    const PartitionTable table = read_partition_table(base.path);
    const auto original = base.path;
    damage(0, std::string(512, '\0'));
    const std::string name = base.path.string();
    EXPECT_EQ(refusal(output_folder() / "a.img"),
              name + ": no MBR partition table: this is not an image for a Raspberry Pi, or it is damaged");
    base.path = original;
    damage(table.find(1)->offset, std::string(512, '\xff'));
    EXPECT_NE(refusal(output_folder() / "a.img").find("no FAT file system at byte"), std::string::npos);
    base.path = original;
    damage(table.find(2)->offset + 1024, std::string(1024, '\xff'));
    EXPECT_EQ(refusal(output_folder() / "a.img").rfind("opening the ext4 file system of " + name + ": ", 0), 0);
    base.path = original;
    // The group descriptors, behind the first block of 4 KiB.
    damage(table.find(2)->offset + 4096, std::string(4096, '\xff'));
    EXPECT_NE(refusal(output_folder() / "a.img"), "no error");
    base.path = original;
    damage(0, "");
    std::filesystem::resize_file(base.path, table.find(2)->offset + 4096);
    EXPECT_EQ(refusal(output_folder() / "a.img"),
              name + ": partition 2 reaches behind the end of the file: the image is truncated, fetch it again");
    base.path = scratch / "missing.img";
    EXPECT_EQ(refusal(output_folder() / "a.img"), base.path.string() + ": no such image file");
    EXPECT_EQ(names_in(output_folder()), "");
}

TEST_F(Image, EndsWithAnErrorOrAWholeImageOnAnyDamage) {
    const auto original = base.path;
    std::mt19937 random(11);
    const std::uint64_t root = read_partition_table(original).find(2)->offset;
    for (int round = 0; round < 24; ++round) {
        base.path = original;
        std::string noise(64, '\0');
        std::generate(noise.begin(), noise.end(), [&] { return static_cast<char>(random()); });
        // Where a small ext4 has its tables and folders.
        damage(root + 1024 + random() % (2 << 20), noise);
        const std::string why = refusal(output_folder() / "a.img");
        EXPECT_EQ(names_in(output_folder()), why == "no error" ? "a.img " : "") << why;
        std::filesystem::remove(output_folder() / "a.img");
    }
}

TEST_F(Image, IsWholeOrNotThereWheneverTheBuildIsKilled) {
    const auto output = output_folder() / "a.img";
    for (const Compression compression : {Compression::none, Compression::zstd}) {
        const auto begin = std::chrono::steady_clock::now();
        const std::string expected = write(output, compression).sha256;
        const auto whole =
            std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin);
        constexpr int rounds = 20;
        for (int round = 0; round < rounds; ++round) {
            std::filesystem::remove(output);
            (void)killed_after(whole * round / rounds, [&] { (void)write(output, compression); });
            EXPECT_TRUE(!std::filesystem::exists(output) || sha256_of_file(output) == expected) << round;
        }
        EXPECT_EQ(write(output, compression).sha256, expected);
        EXPECT_EQ(names_in(output_folder()), "a.img ");
    }
}

TEST_F(Image, IsNotLeftHalfWrittenByASignal) {
    for (const Compression compression : {Compression::none, Compression::xz}) {
        const pid_t pid = fork();
        ASSERT_GE(pid, 0);
        if (pid == 0) {
            const ClearedEnd end(abandon_images);
            ImageOptions options;
            options.output = scratch / "card.img";
            options.compression = compression;
            options.progress = [&](std::uint64_t, std::uint64_t) {
                if (!std::filesystem::exists(scratch / "card.img.part")) _exit(3);
                kill(getpid(), SIGINT);
                for (;;) pause();
            };
            (void)write_image(plan, base, options);
            _exit(4);
        }
        int status = 0;
        ASSERT_EQ(waitpid(pid, &status, 0), pid);
        EXPECT_TRUE(WIFSIGNALED(status)) << status;
        EXPECT_EQ(WTERMSIG(status), SIGINT);
        EXPECT_EQ(names_in(scratch.path()), "");
    }
}

TEST_F(Image, IsWrittenWhereSignalsAreAskedFor) {
    const ClearedEnd end(abandon_images);
    (void)write(scratch / "card.img");
    EXPECT_EQ(names_in(scratch.path()), "card.img ");
}

}  // namespace
}  // namespace makina
