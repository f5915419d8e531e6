#include "builder/card/card.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "builder/commands/diff.hpp"
#include "builder/commands/inspect.hpp"
#include "builder/process.hpp"
#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/error.hpp"
#include "tests/unit/scratch.hpp"

namespace makina {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t mib = 1 << 20;
constexpr std::int64_t noon = 1700000000;

void put(Ext4& root, const std::string& path, const std::string& content, std::uint32_t mode = S_IFREG | 0644,
         std::uint32_t uid = 0) {
    root.write({path, mode, uid, uid, noon, content, 0, 0, {}});
}

class CardTest : public testing::Test {
  protected:
    /// A small image with a FAT and an ext4, and a manifest if `files` has entries.
    [[nodiscard]] std::filesystem::path make(const std::string& name, const std::string& hostname,
                                             std::vector<Manifest::Entry> files = {}) const {
        std::filesystem::path image = scratch / name;
        std::ofstream(image).close();
        std::filesystem::resize_file(image, 24 * mib);
        const PartitionTable table{0x1234abcd, {{1, mib, 7 * mib, 0x0c}, {2, 8 * mib, 16 * mib, 0x83}}};
        write_partition_table(image, table);
        run_checked({{"mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-E", "offset=8388608,root_owner=0:0", "-U",
                      "00000000-0000-0000-0000-000000000001", "-L", "rootfs", image.string(), "16M"}});
        run_checked({{"mkfs.fat", "-F", "16", "-s", "1", "-r", "512", "--offset", "2048", "--invariant", "-n", "BOOT",
                      image.string(), "7168"}});
        Fat(image, mib).write("cmdline.txt", "console=tty0 host=" + hostname + "\n", noon);
        Ext4 root(image, 8 * mib, true);
        put(root, "/etc/hostname", hostname + "\n");
        put(root, "/etc/passwd", "root:x:0:0::/root:/bin/sh\nmakina:x:1000:1000::/home/makina:/bin/sh\n");
        put(root, "/etc/group", "root:x:0:\nmakina:x:1000:\n");
        put(root, "/etc/link", "hostname", S_IFLNK | 0777);
        if (!files.empty()) {
            put(root, Manifest::path, encode({"home", hostname, "worker", "base-1", noon, std::move(files)}));
        }
        root.close();
        return image;
    }
    void change(const std::filesystem::path& image, const std::function<void(Ext4&)>& edit) const {
        Ext4 root(image, 8 * mib, true);
        edit(root);
        root.close();
    }
    [[nodiscard]] static Manifest::Entry entry(const std::string& path, const std::string& content,
                                               std::uint32_t mode = 0644, const std::string& owner = "root") {
        return {sha256(content), mode, owner, owner, path, "overlays/any" + path};
    }
    [[nodiscard]] static std::string inspected(const InspectOptions& options) {
        std::ostringstream out;
        EXPECT_EQ(inspect(options, out), 0);
        return out.str();
    }
    [[nodiscard]] static std::string told(const std::vector<Difference>& found) {
        std::string text;
        for (const Difference& difference : found) text += difference.path + ": " + difference.what + "\n";
        return text;
    }

    Scratch scratch;
};

TEST_F(CardTest, TellsPartitionsNodeAndFilesOfAnImage) {
    const auto image = make("a.img", "worker-1", {entry("/etc/hostname", "worker-1\n")});
    const std::string text = inspected({image, "", false});
    EXPECT_THAT(text, HasSubstr("partition 1: at 1.0 MiB, 7.0 MiB, type 0c, PARTUUID 1234abcd-01, fat \"BOOT\", "));
    EXPECT_THAT(text, HasSubstr("partition 2: at 8.0 MiB, 16.0 MiB, type 83, PARTUUID 1234abcd-02, ext4 \"rootfs\", "));
    EXPECT_THAT(text, HasSubstr("node worker-1, worker of the cluster home\n"));
    EXPECT_THAT(text, HasSubstr("1 files written over the base:\n"
                                "  0644 root:root /etc/hostname  from overlays/any/etc/hostname\n"));
}

TEST_F(CardTest, TellsWhatBecameOfEveryFileSinceItWasWritten) {
    const std::string cmdline = "console=tty0 host=w\n";
    const auto image =
        make("a.img", "w",
             {entry("/boot/firmware/cmdline.txt", cmdline), entry("/boot/firmware/config.txt", "gone"),
              entry("/etc/group", "older"), entry("/etc/hostname", "w\n"), entry("/etc/link", "hostname", 0777),
              entry("/etc/missing", "x"), entry("/home/makina/key", "k", 0600, "makina"), entry("/mode", "m", 0600),
              entry("/owner", "o", 0644, "makina")});
    change(image, [](Ext4& root) {
        put(root, "/home/makina/key", "k", S_IFREG | 0600, 1000);
        put(root, "/mode", "m");
        put(root, "/owner", "o");
    });
    std::string conditions;
    for (const auto& file : inspect_card(Card(image)).files) {
        conditions += file.entry.path + " " + to_string(file.condition) + "\n";
    }
    EXPECT_EQ(conditions,
              "/boot/firmware/cmdline.txt as written\n"
              "/boot/firmware/config.txt missing\n"
              "/etc/group content changed\n"
              "/etc/hostname as written\n"
              "/etc/link as written\n"
              "/etc/missing missing\n"
              "/home/makina/key as written\n"
              "/mode mode changed\n"
              "/owner owner changed\n");
}

TEST_F(CardTest, PrintsOneFileOfEitherFileSystem) {
    const auto image = make("a.img", "worker-1");
    EXPECT_EQ(inspected({image, "/etc/link", false}), "worker-1\n");
    EXPECT_EQ(inspected({image, "/boot/firmware/cmdline.txt", false}), "console=tty0 host=worker-1\n");
    std::ostringstream out;
    EXPECT_THROW(inspect({image, "/etc/nothing", false}, out), Error);
    EXPECT_THROW(inspect({image, "/boot/firmware/nothing", false}, out), Error);
}

TEST_F(CardTest, SaysThatAVendorImageHasNoManifest) {
    const auto image = make("a.img", "raspberrypi");
    EXPECT_THAT(inspected({image, "", false}), HasSubstr("no manifest: not made by makina-image, or changed since\n"));
    const auto json = nlohmann::json::parse(inspected({image, "", true}));
    EXPECT_TRUE(json["manifest"].is_null());
    EXPECT_EQ(json["partitions"][1]["file_system"], "ext4");
    EXPECT_EQ(json["partitions"][1]["used"].get<std::uint64_t>() + json["partitions"][1]["free"].get<std::uint64_t>(),
              16 * mib);
}

TEST_F(CardTest, GivesTheManifestAsJson) {
    const auto image = make("a.img", "w", {entry("/etc/hostname", "other")});
    const auto json = nlohmann::json::parse(inspected({image, "", true}));
    EXPECT_EQ(json["disk_id"], "1234abcd");
    EXPECT_EQ(json["manifest"]["node"], "w");
    EXPECT_EQ(json["manifest"]["built"], noon);
    EXPECT_EQ(json["files"][0]["mode"], "0644");
    EXPECT_EQ(json["files"][0]["condition"], "content changed");
}

TEST_F(CardTest, NamesTheImageAndLineOfADamagedManifest) {
    const auto image = make("a.img", "w");
    change(image, [](Ext4& root) { put(root, Manifest::path, "makina-manifest 1\nnode\n"); });
    try {
        (void)Card(image).manifest();
        FAIL() << "accepted";
    } catch (const Error& error) {
        EXPECT_EQ(error.what(), image.string() + ": /usr/lib/makina/manifest: line 2: no key");
    }
}

TEST_F(CardTest, RefusesAnImageWithoutAnyFileSystemOfACard) {
    const auto image = scratch / "a.img";
    std::ofstream(image).close();
    std::filesystem::resize_file(image, 4 * mib);
    write_partition_table(image, {1, {{1, mib, mib, 0x82}}});
    try {
        (void)Card(image);
        FAIL() << "accepted";
    } catch (const Error& error) {
        EXPECT_EQ(error.what(),
                  image.string() + ": no partition with a FAT or a Linux file system: not an image of a card");
    }
}

TEST_F(CardTest, FindsNoDifferenceBetweenAnImageAndItself) {
    const auto image = make("a.img", "w");
    std::ostringstream out;
    EXPECT_EQ(diff({{image, image}, {}, {}, false}, {}, out), 0);
    EXPECT_EQ(out.str(), "");
}

TEST_F(CardTest, TellsEveryKindOfDifferenceBetweenTwoImages) {
    const auto a = make("a.img", "worker-1");
    const auto b = make("b.img", "worker-2");
    change(a, [](Ext4& root) {
        put(root, "/a-only", "x");
        put(root, "/binary", std::string("\0\1", 2));
        put(root, "/kind", "x");
        put(root, "/mode", "same");
        put(root, "/same", "same");
        root.write({"/xattr", S_IFREG | 0755, 0, 0, noon, "x", 0, 0, {{"user.a", "1"}}});
    });
    change(b, [](Ext4& root) {
        put(root, "/b-only", "x");
        put(root, "/binary", std::string("\0\2\3", 3));
        put(root, "/kind", "", S_IFDIR | 0755);
        put(root, "/mode", "same", S_IFREG | 04755, 7);
        put(root, "/same", "same");
        put(root, "/etc/link", "passwd", S_IFLNK | 0777);
        put(root, "/xattr", "x", S_IFREG | 0755);
    });
    const auto found = diff_cards(Card(a), Card(b));
    EXPECT_EQ(told(found),
              "/a-only: only in a\n"
              "/b-only: only in b\n"
              "/binary: binary content, 2 and 3 bytes\n"
              "/boot/firmware/cmdline.txt: content\n"
              "/etc/hostname: content\n"
              "/etc/link: a link to hostname and to passwd\n"
              "/kind: a file and a folder\n"
              "/mode: mode 0644 and 4755\n"
              "/mode: owner 0:0 and 7:7\n"
              "/xattr: extended attributes\n");
    EXPECT_THAT(to_text(found),
                HasSubstr("/etc/hostname: content\n"
                          "--- a/etc/hostname\n+++ b/etc/hostname\n@@ -1 +1 @@\n-worker-1\n+worker-2\n"));
    std::ostringstream out;
    EXPECT_EQ(diff({{a, b}, {}, {}, true}, {}, out), 1);
    EXPECT_EQ(nlohmann::json::parse(out.str())[0]["path"], "/a-only");
}

TEST_F(CardTest, TellsWhatDiffersBetweenTwoPlansButNotWhereItComesFrom) {
    const auto planned = [](const std::filesystem::path& profile, const std::string& node) {
        EXPECT_EQ(profile, "home.yaml");
        const bool first = node == "a";
        FileTree files;
        files.put({"/same", FileKind::regular, 0644, "root", "root", "x", node});
        files.put({"/etc/hostname", FileKind::regular, 0644, "root", "root", node, ""});
        files.put({"/kind", first ? FileKind::regular : FileKind::directory, 0644, "root", "root", "", ""});
        files.put({"/link", FileKind::symlink, 0777, "root", "root", node, ""});
        files.put({"/mode", FileKind::regular, first ? 0644U : 0600U, first ? "root" : "makina", "root", "", ""});
        files.put({"/only-" + node, FileKind::regular, 0644, "root", "root", "", ""});
        return files;
    };
    std::ostringstream out;
    EXPECT_EQ(diff({{}, {"a", "b"}, "home.yaml", false}, planned, out), 1);
    EXPECT_EQ(out.str(),
              "/etc/hostname: content\n"
              "--- a/etc/hostname\n+++ b/etc/hostname\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n"
              "\\ No newline at end of file\n"
              "/kind: a file and a folder\n"
              "/link: a link to a and to b\n"
              "/mode: mode 0644 and 0600\n"
              "/mode: owner root:root and makina:root\n"
              "/only-a: only in a\n"
              "/only-b: only in b\n");
}

}  // namespace
}  // namespace makina
