#include "builder/base/twin.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>

#include "builder/process.hpp"
#include "firstboot/bundle/error.hpp"
#include "tests/unit/cpio.hpp"
#include "tests/unit/scratch.hpp"

namespace makina {
namespace {

constexpr std::int64_t packaged = 1600000000;  // mtime of what packages unpacked
constexpr std::int64_t built = 1700000000;     // clock of the configuration

const std::string elf =
    "\x7f"
    "ELF";

PackedFile packed(const std::string& path, std::uint32_t mode, std::uint64_t size = 0) {
    PackedFile file;
    file.path = path;
    file.mode = mode;
    file.size = size;
    file.mtime = packaged;
    return file;
}

/// A twin: what its packages unpacked, and a folder of what is there afterwards, made into a tar as mmdebstrap does.
class Twin : public testing::Test {
  protected:
    void SetUp() override {
        unpack("/etc/passwd", "");
        configure("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\nchrony:x:100:101::/:/usr/sbin/nologin\n");
        configure("/etc/group", "root:x:0:\nchrony:x:101:\n");
    }
    /// A file as its package has it, before and after.
    void unpack(const std::string& path, const std::string& content, std::uint32_t mode = 0644) {
        unpacked[path] = packed(path, S_IFREG | mode, content.size());
        put(path, content, mode, packaged);
    }
    /// A file as a maintainer script left it.
    void configure(const std::string& path, const std::string& content, std::uint32_t mode = 0644) {
        put(path, content, mode, built);
    }
    void put(const std::string& path, const std::string& content, std::uint32_t mode, std::int64_t mtime) {
        const auto file = scratch.write("root" + path, content);
        ASSERT_EQ(chmod(file.c_str(), mode), 0);
        const std::array<timespec, 2> times = {timespec{mtime, 0}, timespec{mtime, 0}};
        ASSERT_EQ(utimensat(AT_FDCWD, file.c_str(), times.data(), 0), 0);
    }
    Configuration read(const std::vector<std::string>& tar_options = {}) {
        // Folders that are only parents here are no change.
        for (const auto& entry : std::filesystem::recursive_directory_iterator(scratch / "root")) {
            const std::string path = "/" + std::filesystem::relative(entry.path(), scratch / "root").string();
            if (entry.is_directory() && !entry.is_symlink()) unpacked.try_emplace(path, packed(path, S_IFDIR | 0755));
        }
        unpacked.try_emplace("/", packed("/", S_IFDIR | 0755));
        const auto tar = scratch / "twin.tar";
        std::vector<std::string> argv = {"tar",       "--sort=name", "--format=pax", "--numeric-owner",
                                         "--owner=0", "--group=0"};
        argv.insert(argv.end(), tar_options.begin(), tar_options.end());
        argv.insert(argv.end(), {"-C", (scratch / "root").string(), "-cf", tar.string(), "."});
        chmod((scratch / "root").c_str(), 0755);
        run_checked({argv, {{"LC_ALL", "C.UTF-8"}}});
        return read_configuration(tar, unpacked, amd64_to_arm64());
    }
    std::string refusal() {
        try {
            (void)read();
        } catch (const Error& error) {
            return error.what();
        }
        return "no error";
    }

    Scratch scratch;
    Unpacked unpacked;
};

const std::pair<PackedFile, std::string>* written(const Configuration& of, const std::string& path) {
    for (const auto& entry : of.written) {
        if (entry.first.path == path) return &entry;
    }
    return nullptr;
}

std::vector<std::string> names(const Configuration& of) {
    std::vector<std::string> paths;
    for (const auto& entry : of.written) paths.push_back(entry.first.path);
    return paths;
}

TEST_F(Twin, GivesUsersAndGroups) {
    const Configuration found = read();
    EXPECT_EQ(found.passwd, "root:x:0:0:root:/root:/bin/bash\nchrony:x:100:101::/:/usr/sbin/nologin\n");
    EXPECT_EQ(found.group, "root:x:0:\nchrony:x:101:\n");
    EXPECT_EQ(names(found), (std::vector<std::string>{"/etc/group", "/etc/passwd"}));
    EXPECT_TRUE(found.changed.empty());
    EXPECT_TRUE(found.removed.empty());
}

TEST_F(Twin, IsRefusedWithoutUsers) {
    std::filesystem::remove(scratch / "root/etc/group");
    EXPECT_EQ(refusal(), "the twin has no /etc/passwd: its installation is incomplete");
}

TEST_F(Twin, GivesWhatScriptsMade) {
    configure("/etc/ssl/certs/ca.pem", "certificate", 0640);
    std::filesystem::create_directories(scratch / "root/var/lib/chrony");
    std::filesystem::create_directories(scratch / "root/etc/systemd/system/a.wants");
    std::filesystem::create_symlink("/usr/lib/systemd/system/a.service",
                                    scratch / "root/etc/systemd/system/a.wants/a.service");
    unpacked["/etc/systemd/system/a.wants"] = packed("/etc/systemd/system/a.wants", S_IFDIR | 0755);
    unpacked["/var"] = packed("/var", S_IFDIR | 0755);
    const auto tar_folder = scratch / "root/var/lib/chrony";
    chmod(tar_folder.c_str(), 0750);
    // Everything that read() finds is taken for unpacked, so the new folder is compared by its mode.
    const Configuration found = read();
    const auto* const certificate = written(found, "/etc/ssl/certs/ca.pem");
    ASSERT_NE(certificate, nullptr);
    EXPECT_EQ(certificate->second, "certificate");
    EXPECT_EQ(certificate->first.mode, S_IFREG | 0640U);
    EXPECT_EQ(certificate->first.mtime, built);
    const auto* const link = written(found, "/etc/systemd/system/a.wants/a.service");
    ASSERT_NE(link, nullptr);
    EXPECT_TRUE(S_ISLNK(link->first.mode));
    EXPECT_EQ(link->first.target, "/usr/lib/systemd/system/a.service");
    ASSERT_EQ(found.changed.size(), 1);
    EXPECT_EQ(found.changed[0].path, "/var/lib/chrony");
    EXPECT_EQ(found.changed[0].mode, S_IFDIR | 0750U);
}

TEST_F(Twin, GivesAFolderThatAScriptMade) {
    std::filesystem::create_directories(scratch / "root/var/spool");
    Unpacked before = unpacked;
    before["/"] = packed("/", S_IFDIR | 0755);
    before["/etc"] = packed("/etc", S_IFDIR | 0755);
    before["/var"] = packed("/var", S_IFDIR | 0755);
    (void)read();
    const Configuration found = read_configuration(scratch / "twin.tar", before, amd64_to_arm64());
    const auto* const folder = written(found, "/var/spool");
    ASSERT_NE(folder, nullptr);
    EXPECT_TRUE(S_ISDIR(folder->first.mode));
}

TEST_F(Twin, GivesWhatScriptsChangedButNotWhatTheyLeft) {
    unpack("/etc/left.conf", "as packaged\n");
    unpack("/etc/changed.conf", "before\n");
    configure("/etc/changed.conf", "behind\n");  // as long as before
    unpack("/etc/longer.conf", "short\n");
    configure("/etc/longer.conf", "longer than it was\n");
    const Configuration found = read();
    EXPECT_EQ(names(found),
              (std::vector<std::string>{"/etc/changed.conf", "/etc/group", "/etc/longer.conf", "/etc/passwd"}));
    EXPECT_EQ(written(found, "/etc/changed.conf")->second, "behind\n");
}

TEST_F(Twin, GivesAChangedModeOrOwnerWithoutTheContent) {
    unpack("/usr/bin/plain", "program", 0755);
    unpack("/usr/bin/setuid", "program", 0755);
    ASSERT_EQ(chmod((scratch / "root/usr/bin/setuid").c_str(), 04755), 0);
    unpack("/usr/bin/owned", "program", 0755);
    unpacked["/usr/bin/owned"].gid = 8;
    unpack("/usr/bin/capable", "program", 0755);
    unpacked["/usr/bin/capable"].xattrs["security.capability"] = "raw";
    const Configuration found = read();
    std::vector<std::string> changed;
    for (const PackedFile& file : found.changed) changed.push_back(file.path);
    EXPECT_EQ(changed, (std::vector<std::string>{"/usr/bin/capable", "/usr/bin/owned", "/usr/bin/setuid"}));
    EXPECT_EQ(found.changed[2].mode, S_IFREG | 04755U);
    EXPECT_EQ(found.changed[1].gid, 0);
    EXPECT_EQ(names(found), (std::vector<std::string>{"/etc/group", "/etc/passwd"}));
}

TEST_F(Twin, NamesWhatScriptsRemovedInTheNodesNames) {
    unpacked["/usr/lib/x86_64-linux-gnu/gone.conf"] = packed("/usr/lib/x86_64-linux-gnu/gone.conf", S_IFREG | 0644);
    unpacked["/etc/gone"] = packed("/etc/gone", S_IFREG | 0644);
    // What is not carried over anyway is not removed either.
    unpacked["/var/lib/dpkg/info/x.list"] = packed("/var/lib/dpkg/info/x.list", S_IFREG | 0644);
    unpacked["/run/x"] = packed("/run/x", S_IFREG | 0644);
    EXPECT_EQ(read().removed, (std::vector<std::string>{"/etc/gone", "/usr/lib/aarch64-linux-gnu/gone.conf"}));
}

TEST_F(Twin, RefusesAProgramThatAScriptMade) {
    configure("/usr/bin/compiled", elf + "\x02\x01\x01 and so on");
    EXPECT_EQ(refusal(),
              "a maintainer script made the program /usr/bin/compiled: it is of this machine's architecture, and the "
              "node needs its own");
}

TEST_F(Twin, DoesNotMindAProgramOfAPackage) {
    unpack("/usr/bin/packaged", elf + "\x02\x01\x01 and so on");
    EXPECT_EQ(written(read(), "/usr/bin/packaged"), nullptr);
}

TEST_F(Twin, TranslatesNamesTargetsAndContents) {
    configure("/etc/ld.so.conf.d/x86_64-linux-gnu.conf", "/usr/lib/x86_64-linux-gnu\n/lib64/ld-linux-x86-64.so.2\n");
    std::filesystem::create_directories(scratch / "root/etc/alternatives");
    std::filesystem::create_symlink("/usr/lib/x86_64-linux-gnu/libblas.so",
                                    scratch / "root/etc/alternatives/libblas.so-x86_64-linux-gnu");
    const Configuration found = read();
    const auto* const file = written(found, "/etc/ld.so.conf.d/aarch64-linux-gnu.conf");
    ASSERT_NE(file, nullptr);
    EXPECT_EQ(file->second, "/usr/lib/aarch64-linux-gnu\n/lib/ld-linux-aarch64.so.1\n");
    const auto* const link = written(found, "/etc/alternatives/libblas.so-aarch64-linux-gnu");
    ASSERT_NE(link, nullptr);
    EXPECT_EQ(link->first.target, "/usr/lib/aarch64-linux-gnu/libblas.so");
    EXPECT_EQ(written(found, "/etc/ld.so.conf.d/x86_64-linux-gnu.conf"), nullptr);
}

TEST_F(Twin, KeepsIndexesOfKernelModulesByteForByte) {
    const std::string index("\xb0\x07\xf4\x57 x86_64-linux-gnu\0\1", 22);
    configure("/usr/lib/modules/6.12.1/modules.dep.bin", index);
    const Configuration found = read();
    ASSERT_NE(written(found, "/usr/lib/modules/6.12.1/modules.dep.bin"), nullptr);
    EXPECT_EQ(written(found, "/usr/lib/modules/6.12.1/modules.dep.bin")->second, index);
}

TEST_F(Twin, AddsTheDiversionsOfTheNodesArchitecture) {
    configure("/var/lib/dpkg/diversions", "/a\n/b\nc\n");
    const Configuration found = read();
    ASSERT_NE(written(found, "/var/lib/dpkg/diversions"), nullptr);
    EXPECT_EQ(written(found, "/var/lib/dpkg/diversions")->second,
              "/a\n/b\nc\n/lib64\n/.lib64.usr-is-merged\nbase-files\n");
}

TEST_F(Twin, LeavesOutWhatIsTheTwinsOwn) {
    for (const char* const path : {"/etc/machine-id",
                                   "/etc/hostname",
                                   "/etc/resolv.conf",
                                   "/etc/ld.so.cache",
                                   "/var/lib/dpkg/status",
                                   "/var/lib/dpkg/info/x.list",
                                   "/var/cache/apt/pkgcache.bin",
                                   "/var/lib/apt/lists/x",
                                   "/run/lock/x",
                                   "/tmp/x",
                                   "/dev/x",
                                   "/proc/x",
                                   "/sys/x",
                                   "/boot/config-1",
                                   "/etc/apt/sources.list",
                                   "/etc/ssh/ssh_host_rsa_key",
                                   "/var/log/dpkg.log",
                                   "/etc/apt/apt.conf.d/99mmdebstrap",
                                   "/etc/dpkg/dpkg.cfg.d/99mmdebstrap",
                                   "/var/cache/ldconfig/aux-cache",
                                   "/var/lib/systemd/random-seed"}) {
        configure(path, "the twin's");
    }
    configure("/etc/runtime", "kept: only its name begins so");
    configure("/var/log/lastlog", "");
    EXPECT_EQ(names(read()),
              (std::vector<std::string>{"/etc/group", "/etc/passwd", "/etc/runtime", "/var/log/lastlog"}));
}

TEST_F(Twin, KeepsTheOwnerOfFoldersWhoseContentIsItsOwn) {
    configure("/var/lib/apt/lists/x", "index");
    unpacked["/var/lib/apt/lists"] = packed("/var/lib/apt/lists", S_IFDIR | 0700);
    // Whoever builds owns the folder into which the .debs were put, so it would differ from person to person.
    configure("/var/cache/apt/archives/x.deb", "package");
    unpacked["/var/cache/apt/archives"] = packed("/var/cache/apt/archives", S_IFDIR | 0700);
    const Configuration found = read();
    ASSERT_EQ(found.changed.size(), 1);
    EXPECT_EQ(found.changed[0].path, "/var/lib/apt/lists");
}

TEST_F(Twin, GivesTheInitramfs) {
    configure("/boot/initrd.img-6.12.1+deb13-arm64", "cpio");
    EXPECT_EQ(read().initramfs, "cpio");
}

TEST_F(Twin, KnowsAHardLinkedFileWhicheverNameComesFirst) {
    unpack("/usr/bin/zcat", "program", 0755);
    std::filesystem::create_hard_link(scratch / "root/usr/bin/zcat", scratch / "root/usr/bin/gcat");
    // The package had its content under the name that the twin's archive has as the link.
    unpacked["/usr/bin/gcat"] = packed("/usr/bin/gcat", S_IFREG | 0755);
    unpacked["/usr/bin/gcat"].hard_link = "/usr/bin/zcat";
    const Configuration found = read();
    EXPECT_EQ(names(found), (std::vector<std::string>{"/etc/group", "/etc/passwd"}));
    EXPECT_TRUE(found.changed.empty());
    EXPECT_TRUE(found.removed.empty());
}

TEST_F(Twin, RefusesAHardLinkThatAScriptMade) {
    unpack("/usr/bin/one", "program", 0755);
    std::filesystem::create_hard_link(scratch / "root/usr/bin/one", scratch / "root/usr/bin/two");
    EXPECT_EQ(refusal(), "a maintainer script made the hard link /usr/bin/two");
}

TEST(Translation, AppliesEveryReplacementEverywhere) {
    EXPECT_EQ(amd64_to_arm64().apply("x86_64-linux-gnu:/usr/lib64:x86_64-linux-gnu ld-linux-x86-64.so.2"),
              "aarch64-linux-gnu:/usr/lib:aarch64-linux-gnu ld-linux-aarch64.so.1");
    EXPECT_EQ(amd64_to_arm64().apply("/lib64/ld-linux-x86-64.so.2"), "/lib/ld-linux-aarch64.so.1");
    // A replacement that holds what it replaces ends.
    EXPECT_EQ((Translation{{{"a", "aa"}}, {}}.apply("aba")), "aabaa");
}

/// The initramfs of a twin with two programs, a library, a script and klibc.
class TwinInitramfs : public testing::Test {
  protected:
    void SetUp() override {
        twin["/usr/sbin/modprobe"] = packed("/usr/sbin/modprobe", S_IFREG | 0755, 100);
        twin["/usr/lib/x86_64-linux-gnu/libc.so.6"] = packed("/usr/lib/x86_64-linux-gnu/libc.so.6", S_IFREG | 0755, 60);
        twin["/usr/lib64/ld-linux-x86-64.so.2"] = packed("/usr/lib64/ld-linux-x86-64.so.2", S_IFREG | 0755, 50);
        twin["/usr/lib/klibc-AAAA.so"] = packed("/usr/lib/klibc-AAAA.so", S_IFREG | 0755, 40);
        node["/usr/sbin/modprobe"] = packed("/usr/sbin/modprobe", S_IFREG | 0755, 90);
        node["/usr/lib/aarch64-linux-gnu/libc.so.6"] =
            packed("/usr/lib/aarch64-linux-gnu/libc.so.6", S_IFREG | 0755, 70);
        node["/usr/lib/ld-linux-aarch64.so.1"] = packed("/usr/lib/ld-linux-aarch64.so.1", S_IFREG | 0755, 55);
        node["/usr/lib/klibc-BBBB.so"] = packed("/usr/lib/klibc-BBBB.so", S_IFREG | 0755, 45);
    }
    static std::string program(std::size_t size) {
        std::string bytes = elf;
        bytes.resize(size, 't');
        return bytes;
    }
    std::map<std::string, std::pair<PackedFile, std::string>> translate(const std::string& initramfs) {
        std::map<std::string, std::pair<PackedFile, std::string>> entries;
        const auto read = [](const std::string& path) { return "the node's " + path; };
        const std::string bytes = translate_initramfs(initramfs, twin, node, amd64_to_arm64(), read, built);
        visit_initramfs(bytes, [&](const PackedFile& file, const Content& content) {
            entries[file.path] = {file, content()};
        });
        return entries;
    }

    Unpacked twin, node;
};

TEST_F(TwinInitramfs, HasTheNodesProgramsAndLibraries) {
    const auto entries =
        translate(cpio_entry({"usr/sbin/modprobe", S_IFREG | 0755, program(100)}) +
                  cpio_entry({"usr/lib/x86_64-linux-gnu", S_IFDIR | 0755}) +
                  cpio_entry({"usr/lib/x86_64-linux-gnu/libc.so.6", S_IFREG | 0755, program(60)}) +
                  cpio_entry({"usr/lib64", S_IFDIR | 0755}) +
                  cpio_entry({"usr/lib64/ld-linux-x86-64.so.2", S_IFREG | 0755, program(50)}) + cpio_end());
    EXPECT_EQ(entries.at("/usr/sbin/modprobe").second, "the node's /usr/sbin/modprobe");
    EXPECT_EQ(entries.at("/usr/sbin/modprobe").first.mode, S_IFREG | 0755U);
    EXPECT_EQ(entries.at("/usr/sbin/modprobe").first.mtime, built);
    EXPECT_EQ(entries.at("/usr/lib/aarch64-linux-gnu/libc.so.6").second,
              "the node's /usr/lib/aarch64-linux-gnu/libc.so.6");
    EXPECT_EQ(entries.at("/usr/lib/ld-linux-aarch64.so.1").second, "the node's /usr/lib/ld-linux-aarch64.so.1");
    EXPECT_EQ(entries.count("/usr/lib64"), 0);
    EXPECT_EQ(entries.size(), 4);
}

TEST_F(TwinInitramfs, TakesTheProgramThatWasCopiedToAnotherPlace) {
    twin["/usr/lib/klibc/bin/mount"] = packed("/usr/lib/klibc/bin/mount", S_IFREG | 0755, 30);
    twin["/usr/bin/mount"] = packed("/usr/bin/mount", S_IFREG | 0755, 80);
    node["/usr/lib/klibc/bin/mount"] = packed("/usr/lib/klibc/bin/mount", S_IFREG | 0755, 31);
    node["/usr/bin/mount"] = packed("/usr/bin/mount", S_IFREG | 0755, 81);
    const auto entries = translate(cpio_entry({"usr/bin/mount", S_IFREG | 0755, program(30)}) + cpio_end());
    EXPECT_EQ(entries.at("/usr/bin/mount").second, "the node's /usr/lib/klibc/bin/mount");
}

TEST_F(TwinInitramfs, GivesKlibcTheNodesName) {
    const auto entries = translate(cpio_entry({"lib/klibc-AAAA.so", S_IFREG | 0755, program(40)}) + cpio_end());
    EXPECT_EQ(entries.at("/usr/lib/klibc-BBBB.so").second, "the node's /usr/lib/klibc-BBBB.so");
    EXPECT_EQ(entries.size(), 1);
}

TEST_F(TwinInitramfs, SaysTheNodesArchitecture) {
    const auto entries = translate(cpio_entry({"conf/arch.conf", S_IFREG | 0644, "DPKG_ARCH=amd64\n"}) + cpio_end());
    EXPECT_EQ(entries.at("/conf/arch.conf").second, "DPKG_ARCH=arm64\n");
}

TEST_F(TwinInitramfs, KeepsScriptsModulesLinksAndDevices) {
    const auto entries =
        translate(cpio_entry({"init", S_IFREG | 0755, "#!/bin/sh\n"}) +
                  cpio_entry({"usr/lib/modules/6.12/a.ko", S_IFREG | 0644, program(77)}) +
                  cpio_entry({"usr/lib/x86_64-linux-gnu/l", S_IFLNK | 0777, "/usr/lib/x86_64-linux-gnu/m"}) +
                  cpio_entry({"dev/console", S_IFCHR | 0600, "", 0, 1, 5, 1}) +
                  cpio_entry({"etc/ld.so.cache", S_IFREG | 0644, "the twin's"}) + cpio_end());
    EXPECT_EQ(entries.at("/init").second, "#!/bin/sh\n");
    // Modules are the node's already.
    EXPECT_EQ(entries.at("/usr/lib/modules/6.12/a.ko").second, program(77));
    EXPECT_EQ(entries.at("/usr/lib/aarch64-linux-gnu/l").first.target, "/usr/lib/aarch64-linux-gnu/m");
    EXPECT_EQ(entries.at("/dev/console").first.device_major, 5);
    EXPECT_EQ(entries.count("/etc/ld.so.cache"), 0);
}

TEST_F(TwinInitramfs, GivesEveryNameOfAHardLinkedProgramTheNodesOne) {
    twin["/usr/bin/busybox"] = packed("/usr/bin/busybox", S_IFREG | 0755, 2 << 20);
    node["/usr/bin/busybox"] = packed("/usr/bin/busybox", S_IFREG | 0755, 1 << 20);
    // As cpio writes them: only the last name comes with the content. A package may have another program of that name.
    const auto entries = translate(cpio_entry({"usr/bin/awk", S_IFREG | 0755, "", 9, 3}) +
                                   cpio_entry({"usr/bin/busybox", S_IFREG | 0755, "", 9, 3}) +
                                   cpio_entry({"usr/bin/wget", S_IFREG | 0755, program(2 << 20), 9, 3}) + cpio_end());
    for (const char* const name : {"/usr/bin/awk", "/usr/bin/busybox", "/usr/bin/wget"}) {
        EXPECT_EQ(entries.at(name).second, "the node's /usr/bin/busybox") << name;
        EXPECT_EQ(entries.at(name).first.mode, S_IFREG | 0755U);
    }
}

TEST_F(TwinInitramfs, TakesTheContentOfAHardLinkFromAnyOfItsNames) {
    const auto entries = translate(cpio_entry({"a", S_IFREG | 0644, "text", 3, 2}) +
                                   cpio_entry({"b", S_IFREG | 0644, "", 3, 2}) + cpio_end());
    EXPECT_EQ(entries.at("/a").second, "text");
    EXPECT_EQ(entries.at("/b").second, "text");
}

TEST_F(TwinInitramfs, IsRefusedForAProgramWithoutACounterpart) {
    const auto refusal = [&](const std::string& initramfs) -> std::string {
        try {
            (void)translate(initramfs);
        } catch (const Error& error) {
            return error.what();
        }
        return "no error";
    };
    EXPECT_EQ(refusal(cpio_entry({"usr/bin/unknown", S_IFREG | 0755, program(10)}) + cpio_end()),
              "the initramfs holds /usr/bin/unknown, and the node's packages have no counterpart of it");
    // Of the same name, but not what was copied.
    EXPECT_EQ(refusal(cpio_entry({"usr/sbin/modprobe", S_IFREG | 0755, program(101)}) + cpio_end()),
              "the initramfs holds /usr/sbin/modprobe, and the node's packages have no counterpart of it");
    node.erase("/usr/sbin/modprobe");
    EXPECT_EQ(refusal(cpio_entry({"usr/sbin/modprobe", S_IFREG | 0755, program(100)}) + cpio_end()),
              "the initramfs holds /usr/sbin/modprobe, and the node's packages have no counterpart of it");
}

}  // namespace
}  // namespace makina
