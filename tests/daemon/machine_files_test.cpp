#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "firstboot/bundle/error.hpp"
#include "firstboot/machine/files.hpp"
#include "tests/unit/child.hpp"
#include "tests/unit/scratch.hpp"

namespace makina {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// A node's files in a folder; beside it lies what must not be reached.
class MachineFiles : public ::testing::Test {
  protected:
    Scratch scratch_;
    std::filesystem::path root_ = scratch_.path() / "root";
    std::filesystem::path outside_ = scratch_.path() / "outside";
    void SetUp() override {
        std::filesystem::create_directories(root_ / "etc");
        std::filesystem::create_directories(outside_);
        put(root_ / "etc/passwd", "root:x:0:0:root:/root:/bin/bash\netcd:x:104:105::/:/bin/false\n");
        put(root_ / "etc/group", "root:x:0:\netcd:x:105:\n");
    }
    static void put(const std::filesystem::path& file, const std::string& content) {
        std::filesystem::create_directories(file.parent_path());
        std::ofstream(file) << content;
    }
    static std::string get(const std::filesystem::path& file) {
        std::ifstream stream(file);
        return {std::istreambuf_iterator<char>(stream), {}};
    }
    static unsigned mode_of(const std::filesystem::path& file) {
        struct stat facts {};
        return lstat(file.c_str(), &facts) == 0 ? facts.st_mode & 07777U : 0;
    }
    /// The text of the Error that `work` throws.
    template <typename Work>
    static std::string refusal(Work work) {
        try {
            work();
        } catch (const Error& error) {
            return error.what();
        }
        return "nothing was refused";
    }
    [[nodiscard]] Files files() const { return Files(root_); }
};

TEST_F(MachineFiles, WritesWithItsModeAndLeavesNothingBesideIt) {
    files().write("/etc/one", "first", {0640, "root", "root"});
    files().write("/etc/one", "second", {0600, "root", "root"});
    EXPECT_EQ(get(root_ / "etc/one"), "second");
    EXPECT_EQ(mode_of(root_ / "etc/one"), 0600U);
    EXPECT_EQ(names_in(root_ / "etc"), "group one passwd ");
}

TEST_F(MachineFiles, MakesFoldersThatFitTheFile) {
    files().write("/a/b/open", "", {0644, "root", "root"});
    files().write("/c/d/secret", "", {0600, "root", "root"});
    EXPECT_EQ(mode_of(root_ / "a/b"), 0755U);
    EXPECT_EQ(mode_of(root_ / "c"), 0700U);
    EXPECT_EQ(mode_of(root_ / "c/d"), 0700U);
}

TEST_F(MachineFiles, AnOwnerReachesTheFileInItsNewFolder) {
    if (geteuid() != 0) GTEST_SKIP() << "giving files away needs root";
    files().write("/etc/etcd/pki/server.key", "key", {0600, "etcd", "etcd"});
    const PathFacts folder = files().look("/etc/etcd/pki").value_or(PathFacts{});
    EXPECT_EQ(folder.access, (Access{0750, "root", "etcd"}));
    EXPECT_EQ(files().look("/etc/etcd/pki/server.key").value_or(PathFacts{}).access, (Access{0600, "etcd", "etcd"}));
}

TEST_F(MachineFiles, RefusesAnOwnerThatTheNodeDoesNotHave) {
    EXPECT_EQ(refusal([&] {
                  files().write("/etc/x", "", {0600, "haproxy", "root"});
              }),
              "writing /etc/x: no user \"haproxy\" in /etc/passwd");
    EXPECT_EQ(refusal([&] {
                  files().write("/etc/x", "", {0600, "root", "haproxy"});
              }),
              "writing /etc/x: no group \"haproxy\" in /etc/group");
    EXPECT_EQ(names_in(root_ / "etc"), "group passwd ");
}

TEST_F(MachineFiles, ReplacesALinkInsteadOfWritingThroughIt) {
    put(outside_ / "target", "untouched");
    std::filesystem::create_symlink(outside_ / "target", root_ / "etc/link");
    files().write("/etc/link", "new", {});
    EXPECT_EQ(get(outside_ / "target"), "untouched");
    EXPECT_EQ(files().look("/etc/link").value_or(PathFacts{}).kind, PathFacts::Kind::regular);
}

TEST_F(MachineFiles, NoLinkLeadsOutOfTheRoot) {
    put(outside_ / "secret", "outside");
    std::filesystem::create_symlink(outside_, root_ / "away");
    std::filesystem::create_symlink("../../../../../../" + outside_.string(), root_ / "up");
    EXPECT_EQ(files().read("/away/secret", 100), std::nullopt);
    EXPECT_EQ(files().read("/up/secret", 100), std::nullopt);
    EXPECT_EQ(files().read("/../" + outside_.filename().string() + "/secret", 100), std::nullopt);
    // An absolute link begins at the node's root.
    std::filesystem::create_symlink("/etc", root_ / "var");
    files().write("/var/new", "inside", {});
    EXPECT_EQ(get(root_ / "etc/new"), "inside");
}

TEST_F(MachineFiles, GivesUpOnLinksThatGoRound) {
    std::filesystem::create_symlink("/b", root_ / "a");
    std::filesystem::create_symlink("/a", root_ / "b");
    EXPECT_EQ(refusal([&] { (void)files().read("/a/x", 100); }), "/a/x: too many symbolic links");
}

TEST_F(MachineFiles, RemovesWhatACutLeftBeside) {
    put(root_ / "etc/.one.makina-new", "half of a sec");
    files().write("/etc/one", "whole", {});
    EXPECT_EQ(names_in(root_ / "etc"), "group one passwd ");
}

TEST_F(MachineFiles, OverwritesASecretThatAnotherReplaces) {
    const std::string secret(20000, 's');
    put(root_ / "etc/key", secret);
    const Descriptor old(open((root_ / "etc/key").c_str(), O_RDONLY | O_CLOEXEC));
    files().replace("/etc/key", "new", {0600, "root", "root"});
    std::string bytes(secret.size() + 1, 'x');
    ASSERT_EQ(pread(old.get(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(secret.size()));
    bytes.resize(secret.size());
    EXPECT_EQ(bytes, std::string(secret.size(), '\0'));
    EXPECT_EQ(get(root_ / "etc/key"), "new");
    EXPECT_EQ(mode_of(root_ / "etc/key"), 0600U);
    EXPECT_EQ(names_in(root_ / "etc"), "group key passwd ");
    files().replace("/etc/first", "whole", {});
    EXPECT_EQ(get(root_ / "etc/first"), "whole");
    put(outside_ / "target", "untouched");
    std::filesystem::create_symlink(outside_ / "target", root_ / "etc/link");
    files().replace("/etc/link", "new", {});
    EXPECT_EQ(get(outside_ / "target"), "untouched");
    EXPECT_EQ(get(root_ / "etc/link"), "new");
    EXPECT_EQ(names_in(root_ / "etc"), "first group key link passwd ");
}

TEST_F(MachineFiles, OverwritesWhatACutLeftOfAReplacedSecret) {
    put(root_ / "etc/key", "new");
    put(root_ / "etc/.key.makina-new", "old");
    const Descriptor old(open((root_ / "etc/.key.makina-new").c_str(), O_RDONLY | O_CLOEXEC));
    files().clear_beside("/etc/key");
    std::string bytes(4, 'x');
    ASSERT_EQ(pread(old.get(), bytes.data(), bytes.size(), 0), 3);
    EXPECT_EQ(bytes, std::string("\0\0\0x", 4));
    EXPECT_EQ(get(root_ / "etc/key"), "new");
    EXPECT_EQ(names_in(root_ / "etc"), "group key passwd ");
    files().clear_beside("/etc/key");
    files().clear_beside("/none/key");
}

TEST_F(MachineFiles, SyncsAFolderWithWhateverIsInIt) {
    ASSERT_EQ(mkfifo((root_ / "etc/pipe").c_str(), 0600), 0);
    std::filesystem::create_symlink("/nowhere", root_ / "etc/link");
    std::filesystem::create_directory(root_ / "etc/below");
    EXPECT_NO_THROW(files().sync("/etc"));
    EXPECT_NO_THROW(files().sync("/none"));
}

TEST_F(MachineFiles, ReadsNoMoreThanTheCap) {
    put(root_ / "etc/long", std::string(100, 'x'));
    EXPECT_EQ(files().read("/etc/long", 100), std::string(100, 'x'));
    EXPECT_EQ(refusal([&] { (void)files().read("/etc/long", 99); }), "reading /etc/long: more than 99 bytes");
    EXPECT_EQ(files().read("/etc/none", 99), std::nullopt);
    EXPECT_EQ(files().read("/etc/long/none", 99), std::nullopt);
}

TEST_F(MachineFiles, ReadsOnlyRegularFiles) {
    ASSERT_EQ(mkfifo((root_ / "pipe").c_str(), 0600), 0);
    EXPECT_EQ(refusal([&] { (void)files().read("/pipe", 100); }), "reading /pipe: it is no regular file");
    EXPECT_EQ(refusal([&] { (void)files().read("/etc", 100); }), "reading /etc: it is no regular file");
}

TEST_F(MachineFiles, ReadsFilesThatSayTheyAreEmpty) {
    EXPECT_THAT(Files("/").read("/proc/self/status", 1 << 20).value_or(""), HasSubstr("VmRSS"));
}

TEST_F(MachineFiles, WipesWhatTheDiskHolds) {
    const std::string secret(20000, 's');
    put(root_ / "etc/secret", secret);
    put(root_ / "etc/.secret.makina-new", secret);
    const Descriptor kept(open((root_ / "etc/secret").c_str(), O_RDONLY | O_CLOEXEC));
    const Descriptor beside(open((root_ / "etc/.secret.makina-new").c_str(), O_RDONLY | O_CLOEXEC));
    files().wipe("/etc/secret");
    for (const Descriptor* const file : {&kept, &beside}) {
        std::string bytes(secret.size() + 1, 'x');
        ASSERT_EQ(pread(file->get(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(secret.size()));
        bytes.resize(secret.size());
        EXPECT_EQ(bytes, std::string(secret.size(), '\0'));
    }
    EXPECT_EQ(names_in(root_ / "etc"), "group passwd ");
    files().wipe("/etc/secret");
    files().wipe("/none/secret");
}

TEST_F(MachineFiles, WipesNothingThroughALink) {
    put(outside_ / "target", "untouched");
    std::filesystem::create_symlink(outside_ / "target", root_ / "etc/link");
    EXPECT_THAT(refusal([&] { files().wipe("/etc/link"); }), HasSubstr("wiping /etc/link: too many levels"));
    EXPECT_EQ(refusal([&] { files().wipe("/etc"); }), "wiping /etc: is a directory");
    EXPECT_EQ(get(outside_ / "target"), "untouched");
}

TEST_F(MachineFiles, RemovesOnceAndAgain) {
    put(root_ / "etc/old", "");
    files().remove("/etc/old");
    files().remove("/etc/old");
    files().remove("/none/old");
    EXPECT_EQ(names_in(root_ / "etc"), "group passwd ");
    EXPECT_EQ(refusal([&] { files().remove("/etc"); }), "removing /etc: is a directory");
}

TEST_F(MachineFiles, LooksAtALinkItselfAndListsInOrder) {
    std::filesystem::create_symlink("passwd", root_ / "etc/another");
    EXPECT_EQ(files().look("/etc/another").value_or(PathFacts{}).kind, PathFacts::Kind::symlink);
    EXPECT_EQ(files().look("/etc").value_or(PathFacts{}).kind, PathFacts::Kind::directory);
    EXPECT_EQ(files().look("/etc/passwd").value_or(PathFacts{}).size, 61U);
    EXPECT_FALSE(files().look("/etc/none").has_value());
    EXPECT_THAT(files().list("/etc"), ElementsAre("another", "group", "passwd"));
    EXPECT_THAT(files().list("/none"), IsEmpty());
    EXPECT_THAT(files().list("/etc/passwd"), IsEmpty());
}

TEST_F(MachineFiles, ACardThatIsFullKeepsTheOldFile) {
    const std::string outcome = in_child([&] {
        if (!mount_small(root_, "64k")) return std::string("no mount");
        const Files small(root_);
        small.write("/file", "old", {});
        const std::string said = refusal([&] { small.write("/file", std::string(1 << 20, 'n'), {}); });
        return said + "; " + get(root_ / "file") + "; " + names_in(root_);
    });
    if (outcome == "no mount") GTEST_SKIP() << "mounting a small file system is not allowed here";
    EXPECT_EQ(outcome, "writing /file: writing: no space left on device; old; file ");
}

}  // namespace
}  // namespace makina
