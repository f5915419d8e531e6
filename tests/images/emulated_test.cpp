#include <fnmatch.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <set>

#include "builder/base/deb.hpp"
#include "builder/disk/disk.hpp"
#include "firstboot/bundle/digest.hpp"
#include "tests/images/suite.hpp"
#include "tests/unit/scratch.hpp"

// A base beside one that was made of the same packages the slow way, with every maintainer script emulated. Long form.
namespace makina::images {
namespace {

/// What may differ, and why; everything else must not.
struct Allowed {
    const char* pattern;
    const char* reason;
};
constexpr Allowed allowed[] = {
    {"/boot/firmware/*", "a partition of its own here; compared with the FAT by another test"},
    {"/boot/initrd.img-*", "compared entry by entry by another test"},
    {"/usr/share/doc/linux-image-arm64", "a link to the kernel's own notices, which are there; dpkg keeps such links"},
    {"/lost+found", "ext4's own"},
    {"/dev", "devtmpfs on the node"},
    {"/dev/*", "devtmpfs on the node"},
    {"/run/*", "tmpfs on the node"},
    {"/tmp", "tmpfs on the node"},
    {"/etc/ssh/ssh_host_*", "each node makes its own"},
    {"/etc/machine-id", "each node makes its own"},
    {"/etc/hostname", "the building machine's; the plan writes the node's"},
    {"/etc/resolv.conf", "the building machine's; the plan writes the node's"},
    {"/etc/ld.so.cache", "a cache, made by the node's first ldconfig; programs start without it"},
    {"/var/cache/ldconfig/*", "belongs to it"},
    {"/etc/apt/sources.list", "mmdebstrap writes the sources under another name if they are a file"},
    {"/etc/apt/sources.list.d/*", "mmdebstrap writes the sources under another name if they are a file"},
    {"/etc/dpkg/dpkg.cfg.d/*", "ours says on the node what mmdebstrap was told on its command line"},
    {"/etc/apt/apt.conf.d/99mmdebstrap", "what mmdebstrap was told"},
    {"/usr/lib/makina", "the base's name"},
    {"/usr/lib/makina/base", "the base's name"},
    {"/initrd.img.old", "a link to the only kernel there is"},
    {"/vmlinuz.old", "a link to the only kernel there is"},
    {"/var/cache/apt/*", "apt's working files; the node's own apt makes them again"},
    {"/var/lib/apt/lists/*", "indexes of the day; the node fetches its own"},
    {"/var/lib/apt/extended_states", "here the packages that were not asked for are marked automatic"},
    {"/var/log/*.log", "what the installation said"},
    {"/var/log/apt/*", "what the installation said"},
    {"/var/cache/debconf/*", "time stamps of questions"},
    {"/var/lib/dpkg/status", "order of fields, and who asked for a package; compared by another test"},
    {"/var/lib/dpkg/status-old", "a backup"},
    {"/var/lib/dpkg/available", "empty here, absent there"},
    {"/var/lib/dpkg/arch", "the foreign architecture of the installer"},
    {"/var/lib/dpkg/arch-native", "newer dpkg's note of the same"},
    {"/var/lib/dpkg/lock*", "empty files"},
    {"/var/lib/dpkg/diversions*", "the same diversions in another order; compared by another test"},
    {"/var/lib/dpkg/triggers/File", "the same triggers in another order; compared by another test"},
    {"/var/lib/dpkg/triggers/Lock", "an empty file"},
    {"/var/log/journal", "its access list can only be set with the journal's own tool"},
};

bool is_allowed(const std::string& path) {
    return std::any_of(std::begin(allowed), std::end(allowed),
                       [&](const Allowed& each) { return fnmatch(each.pattern, path.c_str(), 0) == 0; });
}

using Tree = std::map<std::string, std::string>;  ///< path -> kind, mode, owner, attributes, content

std::string describe(std::uint32_t mode, std::uint32_t uid, std::uint32_t gid, const std::string& content) {
    char text[64];
    (void)std::snprintf(text, sizeof text, "%06o %u:%u ", mode, uid, gid);
    return (S_ISLNK(mode) ? "link " : text) + content;
}

std::string capability(const std::map<std::string, std::string>& xattrs) {
    const auto found = xattrs.find("security.capability");
    return found == xattrs.end() ? "" : " with capability " + md5(found->second);
}

/// /etc/shadow has the day of the last change in its third field.
std::string without_dates(const std::string& path, std::string content) {
    if (path.rfind("/etc/shadow", 0) != 0) return content;
    std::string result;
    for (const std::string& line : lines(content)) {
        const auto second = line.find(':', line.find(':') + 1);
        const auto third = line.find(':', second + 1);
        result += line.substr(0, second + 1) + line.substr(third) + "\n";
    }
    return result;
}

Tree tree_of(const fs::path& tar, Tree& texts) {
    Tree tree;
    visit_tar(tar, [&](const PackedFile& file, const Content& content) {
        if (!file.hard_link.empty()) {
            tree[file.path] = tree[file.hard_link];
            return;
        }
        std::string what = file.target;
        if (S_ISREG(file.mode)) {
            const std::string bytes = without_dates(file.path, content());
            what = md5(bytes) + capability(file.xattrs);
            if (bytes.size() < 1 << 20 || file.path.rfind("/boot/initrd", 0) == 0) texts[file.path] = bytes;
        }
        tree[file.path] = describe(file.mode, file.uid, file.gid, what);
    });
    tree.erase("/");
    return tree;
}

Tree tree_of(const Ext4& root) {
    Tree tree;
    root.walk("/", [&](const std::string& path, const Stat& stat) {
        std::string what;
        if (S_ISLNK(stat.mode)) what = root.read_link(path).value_or("");
        if (S_ISREG(stat.mode)) {
            what = md5(without_dates(path, root.read_file(path))) + capability(root.xattrs(path));
        }
        tree[path] = describe(stat.mode, stat.uid, stat.gid, what);
    });
    return tree;
}

/// The base of the control plane's card: that has the most alternatives, users and units.
class Emulated : public testing::TestWithParam<Subject> {
  protected:
    void SetUp() override {
        const Result binfmt = run({{"cat", "/proc/sys/fs/binfmt_misc/qemu-aarch64"}});
        if (binfmt.output.rfind("enabled", 0) != 0) {
            GTEST_SKIP() << "arm64 programs do not run here: apt install qemu-user-static binfmt-support";
        }
        (void)card(GetParam());
        const Result plan = makina(build_arguments(GetParam(), "unused", {"--dry-run", "--json"}));
        id = event(plan.output, "plan").at("base");
        disk = cache() / "bases" / id / "disk.img";
        root = std::make_unique<Ext4>(disk, read_partition_table(disk).find(2)->offset, false);
        // Kept in the build folder: it takes eight minutes, and depends on nothing but the base's packages.
        const fs::path kept = fs::path(MAKINA_IMAGE).parent_path().parent_path() / "emulated";
        tar = kept / (id + ".tar");
        fs::create_directories(kept);
        if (!fs::exists(tar)) emulate();
        other = tree_of(tar, texts);
    }

    void emulate() const {
        const Scratch scratch;
        fs::path sources;
        fs::create_directories(scratch / "debs");
        for (const auto& entry : fs::recursive_directory_iterator(cache() / "apt")) {
            if (entry.path().string().find("/arm64/") == std::string::npos) continue;
            if (entry.path().filename() == "sources.list") sources = entry.path();
            if (entry.path().extension() == ".deb") {
                fs::copy_file(entry.path(), scratch / "debs" / entry.path().filename());
            }
        }
        std::vector<std::string> argv = {
            "mmdebstrap",
            "--variant=minbase",
            "--format=tar",
            "--quiet",
            "--architectures=arm64",
            "--skip=download/empty",
            "--setup-hook=mkdir -p \"$1\"/var/cache/apt/archives",
            "--setup-hook=sync-in " + (scratch / "debs").string() + " /var/cache/apt/archives",
            "--aptopt=Acquire::Languages \"none\""};
        for (const std::string& line : lines(root->read_file("/etc/dpkg/dpkg.cfg.d/makina"))) {
            if (line.rfind("path-", 0) == 0) argv.push_back("--dpkgopt=" + line);
        }
        std::string include = "--include=";
        for (const auto& [name, version] : versions(root->read_file("/var/lib/dpkg/status"))) {
            if (from_kubernetes(name)) continue;
            if (include.back() != '=') include += ',';
            include.append(name).append("=").append(version);
        }
        const fs::path part = tar.string() + ".part";
        argv.insert(argv.end(), {include, "trixie", part.string(), sources.string()});
        const std::string built = std::to_string(root->stat("/usr/lib/makina/base").value_or(Stat{}).mtime);
        (void)run_checked({argv, {{"SOURCE_DATE_EPOCH", built}, {"LC_ALL", "C.UTF-8"}}});
        fs::rename(part, tar);
    }

    /// These come from another archive, if it answers; they have no maintainer script that does anything.
    static bool from_kubernetes(const std::string& package) {
        static const std::set<std::string> names = {"cri-tools", "kubeadm", "kubectl", "kubelet", "kubernetes-cni"};
        return names.count(package) != 0;
    }

    [[nodiscard]] std::set<std::string> files_from_kubernetes() const {
        std::set<std::string> files;
        for (const std::string& record : root->list("/var/lib/dpkg/info")) {
            if (!from_kubernetes(record.substr(0, record.rfind('.')))) continue;
            files.insert("/var/lib/dpkg/info/" + record);
            if (record.substr(record.rfind('.')) != ".list") continue;
            for (const std::string& path : lines(root->read_file("/var/lib/dpkg/info/" + record))) files.insert(path);
        }
        return files;
    }

    static std::map<std::string, std::string> versions(const std::string& status) {
        std::map<std::string, std::string> result;
        std::string name;
        for (const std::string& line : lines(status)) {
            if (line.rfind("Package: ", 0) == 0) name = line.substr(9);
            if (line.rfind("Version: ", 0) == 0) result[name] = line.substr(9);
        }
        return result;
    }

    std::string id;
    fs::path disk, tar;
    std::unique_ptr<Ext4> root;
    Tree other, texts;
};

std::multiset<std::string> sorted_lines(const std::string& text) {
    const auto all = lines(text);
    return {all.begin(), all.end()};
}

/// One line for each path that is only in one tree, or other in it.
std::vector<std::string> differences_of(const Tree& ours, const Tree& theirs) {
    std::vector<std::string> differences;
    const auto tell = [&](const std::string& path, const std::string& here, const std::string& there) {
        std::string line = path;
        differences.push_back(line.append(": ").append(here).append(" | ").append(there));
    };
    for (const auto& [path, what] : ours) {
        const auto found = theirs.find(path);
        if (found == theirs.end()) {
            tell(path, what, "absent");
        } else if (found->second != what) {
            tell(path, what, found->second);
        }
    }
    for (const auto& [path, what] : theirs) {
        if (ours.count(path) == 0) tell(path, "absent", what);
    }
    return differences;
}

TEST_P(Emulated, BaseHasTheSameFilesOwnersModesAndContents) {
    Tree ours = tree_of(*root);
    const std::set<std::string> kubernetes = files_from_kubernetes();
    for (Tree* const tree : {&ours, &other}) {
        for (auto each = tree->begin(); each != tree->end();) {
            const bool skip = is_allowed(each->first) ||
                              (tree == &ours && kubernetes.count(each->first) != 0 && other.count(each->first) == 0);
            each = skip ? tree->erase(each) : std::next(each);
        }
    }
    const std::vector<std::string> differences = differences_of(ours, other);
    EXPECT_THAT(differences, testing::IsEmpty()) << testing::PrintToString(differences);
    const std::uint64_t same = ours.size() - differences.size();
    EXPECT_GT(same, 10000U);
    count("same_as_emulated", same);
}

TEST_P(Emulated, BaseHasTheSamePackagesDiversionsAndTriggers) {
    std::map<std::string, std::string> ours = versions(root->read_file("/var/lib/dpkg/status"));
    for (auto each = ours.begin(); each != ours.end();) each = from_kubernetes(each->first) ? ours.erase(each) : ++each;
    EXPECT_EQ(ours, versions(texts.at("/var/lib/dpkg/status")));
    for (const char* const path : {"/var/lib/dpkg/diversions", "/var/lib/dpkg/triggers/File"}) {
        EXPECT_EQ(sorted_lines(root->read_file(path)), sorted_lines(texts.at(path))) << path;
    }
}

TEST_P(Emulated, BaseHasTheSameInitramfs) {
    Tree ours;
    Tree theirs;
    const auto list = [](const std::string& initramfs, Tree& tree) {
        visit_initramfs(initramfs, [&](const PackedFile& file, const Content& content) {
            const std::string what = S_ISREG(file.mode) && file.hard_link.empty() ? md5(content()) : file.target;
            tree[file.path] = describe(file.mode, file.uid, file.gid, what);
        });
    };
    const std::vector<std::string> boot = root->list("/boot");
    const auto name = std::find_if(boot.begin(), boot.end(),
                                   [](const std::string& each) { return each.rfind("initrd.img-", 0) == 0; });
    ASSERT_NE(name, boot.end());
    list(root->read_file("/boot/" + *name), ours);
    list(texts.at("/boot/" + *name), theirs);
    for (Tree* const tree : {&ours, &theirs}) {
        tree->erase("/etc/ld.so.cache");  // a cache
        // Of another architecture's libc6: the same folders, other comments; and the same program by another way.
        tree->erase("/etc/ld.so.conf.d/aarch64-linux-gnu.conf");
        tree->erase("/usr/lib/ld-linux-aarch64.so.1");
    }
    EXPECT_EQ(ours.count("/usr/sbin/e2fsck"), 1U) << "the root file system is not checked after a power cut";
    EXPECT_GT(ours.size(), 300U);
    const std::vector<std::string> differences = differences_of(ours, theirs);
    EXPECT_THAT(differences, testing::IsEmpty()) << testing::PrintToString(differences);
}

TEST_P(Emulated, BaseHasTheSameFirmwareFiles) {
    const Fat boot(disk, read_partition_table(disk).find(1)->offset);
    std::set<std::string> ours;
    for (const std::string& name : boot.list()) ours.insert(name);
    std::set<std::string> theirs;
    for (const auto& [path, what] : other) {
        // config.txt and cmdline.txt are the node's own: the plan writes them.
        const std::string folder = "/boot/firmware/";
        if (path.rfind(folder, 0) != 0 || what[0] != '1' || path == folder + "config.txt" ||
            path == folder + "cmdline.txt") {
            continue;
        }
        theirs.insert(path.substr(folder.size()));
        if (const auto text = texts.find(path); text != texts.end()) {
            EXPECT_EQ(boot.read_file(path.substr(folder.size())), text->second) << path;
        }
    }
    EXPECT_EQ(ours, theirs);
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Emulated);
INSTANTIATE_TEST_SUITE_P(Long, Emulated,
                         testing::ValuesIn(long_form() ? std::vector<Subject>{subjects().front()}
                                                       : std::vector<Subject>{}),
                         [](const auto&) { return std::string("control_plane"); });

}  // namespace
}  // namespace makina::images
