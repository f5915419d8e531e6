#include "builder/base/deb.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <random>

#include "builder/process.hpp"
#include "firstboot/bundle/error.hpp"
#include "tests/unit/cpio.hpp"
#include "tests/unit/scratch.hpp"

namespace makina {
namespace {

constexpr std::int64_t noon = 1700000000;

struct Entry {
    PackedFile file;
    std::string content;
};

using Entries = std::map<std::string, Entry>;

Entries entries_of_deb(const std::filesystem::path& deb) {
    Entries entries;
    visit_deb(deb, [&](const PackedFile& file, const Content& content) {
        // Two folders may be one when they are merged.
        EXPECT_TRUE(entries.emplace(file.path, Entry{file, content()}).second || S_ISDIR(file.mode))
            << file.path << " came twice";
    });
    return entries;
}

Entries entries_of_initramfs(const std::string& initramfs) {
    Entries entries;
    visit_initramfs(initramfs, [&](const PackedFile& file, const Content& content) {
        EXPECT_TRUE(entries.emplace(file.path, Entry{file, content()}).second) << file.path << " came twice";
    });
    return entries;
}

std::string refusal(const std::function<void()>& work) {
    try {
        work();
    } catch (const Error& error) {
        return error.what();
    }
    return "no error";
}

std::filesystem::path build_deb(const Scratch& scratch, const std::string& compression) {
    scratch.write("tree/DEBIAN/control",
                  "Package: sample\nVersion: 1:2.0-1\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\n"
                  "Description: sample\n with a second line\n");
    scratch.write("tree/DEBIAN/conffiles", "/etc/sample.conf\n");
    const auto script = scratch.write("tree/DEBIAN/postinst", "#!/bin/sh\nexit 0\n");
    chmod(script.c_str(), 0755);
    scratch.write("tree/etc/sample.conf", "answer = 42\n");
    const auto program = scratch.write("tree/usr/bin/sample", std::string(200000, 'p') + "end");
    chmod(program.c_str(), 04755);
    std::filesystem::create_hard_link(program, scratch / "tree/usr/bin/second");
    std::filesystem::create_directories(scratch / "tree/bin");
    std::filesystem::create_symlink("../usr/bin/sample", scratch / "tree/bin/third");
    scratch.write("tree/lib/sample/data", "");
    scratch.write("tree/usr/share/F\xc5\x91tan\xc3\xba.crt", "not ASCII");
    scratch.write("tree/usr/share/" + std::string(120, 'l') + "/" + std::string(120, 'n'), "a long name");
    auto deb = scratch / ("sample_2.0-1_" + compression + ".deb");
    run_checked(
        {{"dpkg-deb", "--root-owner-group", "-Z" + compression, "--build", (scratch / "tree").string(), deb.string()},
         {{"SOURCE_DATE_EPOCH", std::to_string(noon)}}});
    return deb;
}

bool zstd_debs() {
    return run({{"dpkg-deb", "--help"}}).output.find("zstd") != std::string::npos;
}

class Deb : public testing::TestWithParam<const char*> {
  protected:
    void SetUp() override {
        if (std::string(GetParam()) == "zstd" && !zstd_debs()) GTEST_SKIP() << "dpkg-deb cannot compress with zstd";
    }
    Scratch scratch;
};

TEST_P(Deb, HasItsControlFilesByName) {
    const auto control = read_control(build_deb(scratch, GetParam()));
    EXPECT_EQ(control.size(), 3);
    EXPECT_NE(control.at("control").find("Package: sample\nVersion: 1:2.0-1\n"), std::string::npos);
    EXPECT_EQ(control.at("conffiles"), "/etc/sample.conf\n");
    EXPECT_EQ(control.at("postinst"), "#!/bin/sh\nexit 0\n");
}

TEST_P(Deb, HasItsFilesWithModeOwnerTimeAndContent) {
    const Entries entries = entries_of_deb(build_deb(scratch, GetParam()));
    const Entry& program = entries.at("/usr/bin/sample");
    EXPECT_EQ(program.file.mode, S_IFREG | 04755U);
    EXPECT_EQ(program.file.uid, 0);
    EXPECT_EQ(program.file.gid, 0);
    EXPECT_EQ(program.file.user, "root");
    EXPECT_EQ(program.file.size, 200003);
    EXPECT_EQ(program.file.mtime, noon);
    EXPECT_EQ(program.content, std::string(200000, 'p') + "end");
    EXPECT_EQ(entries.at("/etc/sample.conf").content, "answer = 42\n");
    EXPECT_EQ(entries.at("/etc/sample.conf").file.mode, S_IFREG | 0644U);
    EXPECT_TRUE(S_ISDIR(entries.at("/").file.mode));
    EXPECT_TRUE(S_ISDIR(entries.at("/usr/bin").file.mode));
    EXPECT_TRUE(entries.at("/etc/sample.conf").file.xattrs.empty());
}

TEST_P(Deb, HasLinksOfBothKinds) {
    const Entries entries = entries_of_deb(build_deb(scratch, GetParam()));
    // Which of the two names is the link is the archive's choice.
    const Entry& first = entries.at("/usr/bin/sample");
    const Entry& second = entries.at("/usr/bin/second");
    const Entry& link = first.file.hard_link.empty() ? second : first;
    const Entry& whole = first.file.hard_link.empty() ? first : second;
    EXPECT_EQ(link.file.hard_link, whole.file.path);
    EXPECT_EQ(link.file.mode, S_IFREG | 04755U);
    EXPECT_EQ(link.content, "");
    EXPECT_EQ(whole.file.size, 200003);
    EXPECT_TRUE(S_ISLNK(entries.at("/usr/bin/third").file.mode));
    EXPECT_EQ(entries.at("/usr/bin/third").file.target, "../usr/bin/sample");
}

TEST_P(Deb, HasMergedAndLongAndForeignNames) {
    const Entries entries = entries_of_deb(build_deb(scratch, GetParam()));
    EXPECT_EQ(entries.count("/lib/sample/data"), 0);
    EXPECT_EQ(entries.count("/lib"), 0);
    EXPECT_TRUE(S_ISDIR(entries.at("/usr/lib").file.mode));
    EXPECT_TRUE(S_ISREG(entries.at("/usr/lib/sample/data").file.mode));
    EXPECT_EQ(entries.at("/usr/share/F\xc5\x91tan\xc3\xba.crt").content, "not ASCII");
    EXPECT_EQ(entries.at("/usr/share/" + std::string(120, 'l') + "/" + std::string(120, 'n')).content, "a long name");
}

TEST_P(Deb, IsRefusedByNameWhereverItWasCut) {
    const std::string whole = slurp(build_deb(scratch, GetParam()));
    const std::size_t step = std::max<std::size_t>(1, whole.size() / 300);
    const auto read_all = [](const std::filesystem::path& deb) {
        (void)read_control(deb);
        visit_deb(deb, [](const PackedFile&, const Content& content) { (void)content(); });
    };
    for (std::size_t size = 0; size + 1 < whole.size(); size += step) {
        const auto cut = scratch.write("cut_1_all.deb", whole.substr(0, size));
        const std::string why = refusal([&] { read_all(cut); });
        EXPECT_EQ(why.rfind("reading the package cut_1_all.deb: ", 0), 0) << "cut to " << size << ": " << why;
    }
}

TEST_P(Deb, WithFlippedBytesGivesAnErrorOrFilesAndNothingElse) {
    const std::string whole = slurp(build_deb(scratch, GetParam()));
    std::mt19937 random(7);
    for (int round = 0; round < 200; ++round) {
        std::string bytes = whole;
        for (int i = 0; i < 4; ++i) bytes[random() % bytes.size()] = static_cast<char>(random());
        const auto deb = scratch.write("bad_1_all.deb", bytes);
        const std::string why = refusal([&] {
            (void)read_control(deb);
            visit_deb(deb, [](const PackedFile&, const Content& content) { (void)content(); });
        });
        EXPECT_TRUE(why == "no error" || why.find("bad_1_all.deb") != std::string::npos) << why;
    }
}

INSTANTIATE_TEST_SUITE_P(Compressions, Deb, testing::Values("xz", "zstd", "gzip", "none"),
                         [](const auto& of) { return std::string(of.param); });

TEST(DebFile, IsRefusedIfItIsNone) {
    const Scratch scratch;
    const auto garbage = scratch.write("garbage.deb", "this is no archive at all, and never was one\n");
    EXPECT_EQ(refusal([&] { (void)read_control(garbage); }),
              "reading the package garbage.deb: Unrecognized archive format");
    const auto empty = scratch.write("empty.deb", "");
    EXPECT_EQ(refusal([&] { (void)read_control(empty); }).rfind("reading the package empty.deb: ", 0), 0);
    const auto other =
        scratch.write("other.deb", "!<arch>\ndebian-binary   1700000000  0     0     100644  4         `\n2.0\n");
    EXPECT_EQ(refusal([&] { (void)read_control(other); }),
              "reading the package other.deb: it has no control.tar: the file is damaged or not a Debian package");
    EXPECT_NE(refusal([&] { (void)read_control(scratch / "missing.deb"); }).find("missing.deb"), std::string::npos);
}

TEST(MergedPath, IsAbsoluteAndBelowUsr) {
    EXPECT_EQ(merged_path("./lib/x"), "/usr/lib/x");
    EXPECT_EQ(merged_path("/sbin/x"), "/usr/sbin/x");
    EXPECT_EQ(merged_path("bin/x"), "/usr/bin/x");
    EXPECT_EQ(merged_path("lib64/x/"), "/usr/lib64/x");
    EXPECT_EQ(merged_path("./"), "/");
    EXPECT_EQ(merged_path("."), "/");
    EXPECT_EQ(merged_path("/lib"), "/lib");
    EXPECT_EQ(merged_path("./libx/y"), "/libx/y");
    EXPECT_EQ(merged_path("./.hidden"), "/.hidden");
    EXPECT_EQ(merged_path("/usr/lib/x"), "/usr/lib/x");
}

TEST(Tar, HasNamesAsBytesAttributesAndNumbers) {
    const Scratch scratch;
    scratch.write("root/etc/F\xc5\x91tan\xc3\xba", "x");
    const auto tar = scratch / "root.tar";
    run_checked({{"tar", "--format=pax", "--owner=7:7", "--group=42:42", "--pax-option=SCHILY.xattr.user.a:=bc", "-C",
                  (scratch / "root").string(), "-cf", tar.string(), "."},
                 {{"LC_ALL", "C.UTF-8"}}});
    Entries entries;
    visit_tar(tar, [&](const PackedFile& file, const Content& content) { entries[file.path] = {file, content()}; });
    const Entry& entry = entries.at("/etc/F\xc5\x91tan\xc3\xba");
    EXPECT_EQ(entry.content, "x");
    EXPECT_EQ(entry.file.uid, 7);
    EXPECT_EQ(entry.file.gid, 42);
    EXPECT_EQ(entry.file.xattrs, (std::map<std::string, std::string>{{"user.a", "bc"}}));
}

PackedFile packed(const std::string& path, std::uint32_t mode) {
    PackedFile file;
    file.path = path;
    file.mode = mode;
    return file;
}

std::string small_initramfs(const std::string& content) {
    InitramfsWriter writer(noon);
    writer.add(packed("/usr", S_IFDIR | 0755), "");
    writer.add(packed("/usr/init", S_IFREG | 0755), content);
    writer.add(packed("/empty", S_IFREG | 0600), "");
    PackedFile link = packed("/init", S_IFLNK | 0777);
    link.target = "usr/init";
    writer.add(link, "");
    PackedFile console = packed("/dev/console", S_IFCHR | 0600);
    console.device_major = 5;
    console.device_minor = 1;
    writer.add(console, "");
    return writer.finish();
}

TEST(Initramfs, ReadsBackWhatWasWritten) {
    const Entries entries = entries_of_initramfs(small_initramfs("#!/bin/sh\n"));
    EXPECT_EQ(entries.size(), 5);
    EXPECT_EQ(entries.at("/usr").file.mode, S_IFDIR | 0755U);
    EXPECT_EQ(entries.at("/usr/init").file.mode, S_IFREG | 0755U);
    EXPECT_EQ(entries.at("/usr/init").content, "#!/bin/sh\n");
    EXPECT_EQ(entries.at("/usr/init").file.mtime, noon);
    EXPECT_TRUE(entries.at("/usr/init").file.hard_link.empty());
    EXPECT_EQ(entries.at("/empty").file.mode, S_IFREG | 0600U);
    EXPECT_EQ(entries.at("/init").file.target, "usr/init");
    EXPECT_EQ(entries.at("/dev/console").file.mode, S_IFCHR | 0600U);
    EXPECT_EQ(entries.at("/dev/console").file.device_major, 5);
    EXPECT_EQ(entries.at("/dev/console").file.device_minor, 1);
}

TEST(Initramfs, HasEqualBytesForEqualContents) {
    EXPECT_EQ(small_initramfs("one"), small_initramfs("one"));
    EXPECT_NE(small_initramfs("one"), small_initramfs("two"));
}

TEST(Initramfs, IsOneZstdFrameThatTheToolUnpacks) {
    if (!have_program("zstd")) GTEST_SKIP() << "zstd is not installed";
    const std::string bytes = small_initramfs(std::string(300000, 'x'));
    EXPECT_EQ(bytes.substr(0, 4), "\x28\xb5\x2f\xfd");
    const std::string plain = run_checked({{"zstd", "-dc"}, {}, {}, bytes});
    EXPECT_EQ(plain.substr(0, 6), "070701");
    EXPECT_EQ(entries_of_initramfs(plain).size(), 5);
}

TEST(Initramfs, ReadsEarlyArchivesBeforeTheCompressedOne) {
    // The text that ends an archive, inside a file and as part of a name: neither is the end.
    const std::string early =
        cpio_entry({"kernel", S_IFDIR | 0755}) +
        cpio_entry({"kernel/microcode.bin", S_IFREG | 0644, "a TRAILER!!! and 070701 inside\n" + cpio_end() + "tail"}) +
        cpio_entry({"TRAILER!!!.txt", S_IFREG | 0644, "TRAILER!!!"}) + cpio_end();
    const std::string second = cpio_entry({"lib/modules/a.ko.xz", S_IFREG | 0644, std::string(1001, 'm')}) + cpio_end();
    const auto padded = [](std::string text, std::size_t to) {
        text.resize((text.size() + to - 1) / to * to, '\0');
        return text;
    };
    for (const std::size_t padding : {1U, 4U, 512U, 4096U}) {
        const Entries entries =
            entries_of_initramfs(padded(early, padding) + padded(second, padding) + small_initramfs("main"));
        EXPECT_EQ(entries.size(), 9) << padding;
        EXPECT_EQ(entries.at("/kernel/microcode.bin").content,
                  "a TRAILER!!! and 070701 inside\n" + cpio_end() + "tail");
        EXPECT_EQ(entries.at("/TRAILER!!!.txt").content, "TRAILER!!!");
        EXPECT_EQ(entries.at("/usr/lib/modules/a.ko.xz").content, std::string(1001, 'm'));
        EXPECT_EQ(entries.at("/usr/init").content, "main");
    }
}

TEST(Initramfs, MayBePlainAltogether) {
    const std::string first = cpio_entry({"one", S_IFREG | 0644, "1"}) + cpio_end();
    const std::string last = cpio_entry({"two", S_IFREG | 0644, "2"}) + cpio_end() + std::string(300, '\0');
    const Entries entries = entries_of_initramfs(first + last);
    EXPECT_EQ(entries.at("/one").content, "1");
    EXPECT_EQ(entries.at("/two").content, "2");
    EXPECT_EQ(entries.size(), 2);
    EXPECT_TRUE(entries_of_initramfs("").empty());
}

TEST(Initramfs, TellsNamesOfOneFileAsHardLinks) {
    const std::string text = cpio_entry({"first", S_IFREG | 0755, "", 7, 2}) +
                             cpio_entry({"second", S_IFREG | 0755, "shared", 7, 2}) + cpio_end();
    const Entries entries = entries_of_initramfs(text);
    EXPECT_EQ(entries.at("/first").file.hard_link, "");
    EXPECT_EQ(entries.at("/second").file.hard_link, "/first");
    EXPECT_EQ(entries.at("/second").content, "shared");
}

TEST(Initramfs, IsRefusedWhereverItWasCut) {
    const std::string early = cpio_entry({"one", S_IFREG | 0644, std::string(40, '1')}) + cpio_end();
    for (std::size_t size = 1; size < early.size(); ++size) {
        // Only zeros are left out at the very end.
        const bool complete = early.find_first_not_of('\0', size) == std::string::npos;
        const std::string why = refusal([&] { (void)entries_of_initramfs(early.substr(0, size)); });
        EXPECT_TRUE(complete || why.rfind("reading the initramfs: ", 0) == 0) << "cut to " << size << ": " << why;
    }
    const std::string packed = small_initramfs(std::string(5000, 'x'));
    for (std::size_t size = 1; size < packed.size(); ++size) {
        const std::string why = refusal([&] { (void)entries_of_initramfs(packed.substr(0, size)); });
        EXPECT_EQ(why.rfind("reading the initramfs: ", 0), 0) << "cut to " << size << ": " << why;
    }
    EXPECT_EQ(refusal([] { (void)entries_of_initramfs("no archive"); }),
              "reading the initramfs: Unrecognized archive format");
}

}  // namespace
}  // namespace makina
