#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "firstboot/bundle/digest.hpp"
#include "tests/images/suite.hpp"
#include "tests/unit/scratch.hpp"

// What happens when things go wrong around a build, and without the rights of root.
namespace makina::images {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

const Subject master = {"control-plane", "master-1", "makina.yaml"};

std::vector<std::string> names_in(const fs::path& folder) {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
    return names;
}

/// A cache with the master's base alone, which a test may spoil. Gives the base's disk image.
fs::path copy_cache(const fs::path& folder) {
    (void)card(master);
    const Result plan = makina(build_arguments(master, "unused", {"--dry-run", "--json"}));
    const std::string id = event(plan.output, "plan")["base"];
    fs::create_directories(folder / "bases");
    (void)run_checked({{"cp", "-a", (cache() / "requests").string(), (folder / "requests").string()}});
    (void)run_checked(
        {{"cp", "-a", "--sparse=always", (cache() / "bases" / id).string(), (folder / "bases" / id).string()}});
    return folder / "bases" / id / "disk.img";
}

/// Runs a small script as root of its own mount namespace; $1 is a folder, what follows are its further words.
Result in_mount_namespace(const std::string& script, const fs::path& folder, std::vector<std::string> words) {
    std::vector<std::string> argv = {"unshare", "--mount"};
    if (geteuid() != 0) argv.emplace_back("--map-root-user");
    argv.insert(argv.end(), {"sh", "-c", script, "sh", folder.string()});
    words.insert(words.begin(), MAKINA_IMAGE);
    argv.insert(argv.end(), words.begin(), words.end());
    return run({argv});
}

bool can_mount() {
    const Scratch scratch;
    return in_mount_namespace("mount -t tmpfs -o size=1m none \"$1\"", scratch.path(), {}).status == 0;
}

TEST(Offline, WithAnEmptyCacheIsAFaultThatSaysWhatToDo) {
    const Scratch scratch;
    const Result built = makina({"build", "--role", "master-1", "--offline", "--cache", (scratch / "cache").string(),
                                 "--output", (scratch / "card.img").string()});
    EXPECT_EQ(built.status, 1);
    EXPECT_EQ(built.errors,
              "base: Kubernetes is left to the node: no base with it is cached, and with --offline its archive is not "
              "asked\nmakina-image: building master-1: preparing the base for control-plane: no base for this is "
              "cached in " +
                  (scratch / "cache").string() + ": build it once without --offline, with the network up\n");
    EXPECT_FALSE(fs::exists(scratch / "card.img"));
    EXPECT_THAT(names_in(scratch / "cache" / "bases"), IsEmpty());
}

TEST(Offline, WithACachedBaseBuilds) {
    const std::string known = bare_card(master).event["sha256"];
    const Scratch scratch;
    // The network is really gone, if it can be taken away.
    std::vector<std::string> argv =
        build_arguments(master, scratch / "card.img", {"--offline", "--json", "--no-bundle"});
    argv.insert(argv.begin(), MAKINA_IMAGE);
    const std::vector<std::string> alone = {"unshare", "--map-root-user", "--net"};
    std::vector<std::string> test = alone;
    test.emplace_back("true");
    if (run({test}).status == 0) argv.insert(argv.begin(), alone.begin(), alone.end());
    const Result built = run({argv});
    EXPECT_EQ(built.status, 0) << built.errors;
    EXPECT_EQ(event(built.output, "image").value("sha256", ""), known);
}

TEST(CachedBase, ThatIsTruncatedIsNotUsed) {
    const Scratch scratch;
    const fs::path disk = copy_cache(scratch / "cache");
    std::vector<std::string> arguments = {
        "build",     "--profile", profile(master.profile).string(), "--role",   "master-1",
        "--offline", "--cache",   (scratch / "cache").string(),     "--output", (scratch / "card.img").string()};
    ASSERT_EQ(makina(arguments).status, 0) << "the copied cache does not serve";
    fs::remove(scratch / "card.img");
    fs::resize_file(disk, fs::file_size(disk) - 4096);
    const Result built = makina(arguments);
    EXPECT_EQ(built.status, 1);
    EXPECT_THAT(built.errors, HasSubstr("no base for this is cached in " + (scratch / "cache").string()));
    EXPECT_FALSE(fs::exists(scratch / "card.img"));
}

TEST(Output, BelowAFileIsAFaultThatNamesIt) {
    (void)card(master);
    const Scratch scratch;
    const std::string file = scratch.write("file", "text").string();
    const Result built = makina(build_arguments(master, file + "/out/card.img"));
    EXPECT_EQ(built.status, 1);
    EXPECT_THAT(built.errors, HasSubstr("makina-image: building master-1: making the folder " + file + "/out: "));
    EXPECT_EQ(slurp(file), "text");
    EXPECT_THAT(names_in(scratch.path()), testing::ElementsAre("file"));
}

TEST(Output, ThatCannotBeWrittenIsAFaultThatNamesIt) {
    if (!can_mount()) GTEST_SKIP() << "no read-only file system can be mounted here: needs root or user namespaces";
    (void)card(master);
    const Scratch scratch;
    const Result built = in_mount_namespace("mount -t tmpfs -o ro none \"$1\" && shift && exec \"$@\"", scratch.path(),
                                            build_arguments(master, scratch / "card.img"));
    EXPECT_EQ(built.status, 1);
    EXPECT_THAT(built.errors, HasSubstr("makina-image: building master-1: making " + (scratch / "card.img").string() +
                                        ".part: read-only file system"));
    EXPECT_THAT(names_in(scratch.path()), IsEmpty());
}

class FullDisk : public testing::TestWithParam<std::string> {};

TEST_P(FullDisk, IsAFaultAndLeavesNothing) {
    if (!can_mount()) GTEST_SKIP() << "no small disk can be mounted here: needs root or user namespaces";
    (void)card(master);
    const Scratch scratch;
    // What is left is listed inside, where the small disk is seen.
    const Result built = in_mount_namespace(
        "disk=$1; shift; mount -t tmpfs -o size=100m none \"$disk\" || exit 99; \"$@\"; status=$?; "
        "ls -A \"$disk\" >&2; exit $status",
        scratch.path(), build_arguments(master, scratch.path(), {"--compress", GetParam()}));
    EXPECT_EQ(built.status, 1) << built.errors;
    // The last line: nothing is listed behind it.
    const std::string part = (scratch / "master-1.img").string() + (GetParam() == "none" ? ".part" : ".zst.raw.part");
    ASSERT_NE(built.errors.find("makina-image: "), std::string::npos) << built.errors;
    EXPECT_EQ(built.errors.substr(built.errors.find("makina-image: ")),
              "makina-image: building master-1: " + part + ": writing the image: no space left on device\n");
    EXPECT_EQ(built.output, "");
}

INSTANTIATE_TEST_SUITE_P(With, FullDisk, testing::Values("none", "zstd"), [](const auto& kind) { return kind.param; });

/// Not in the short form: it needs the bases of all roles.
class SmallDisk : public testing::TestWithParam<std::string> {};

TEST_P(SmallDisk, TellsWhichImagesAreThereAndWhichAreMissing) {
    if (!can_mount()) GTEST_SKIP() << "no small disk can be mounted here: needs root or user namespaces";
    const Scratch scratch;
    std::vector<std::string> all = build_arguments(master, scratch.path(), {"--no-checksum"});
    const auto role = std::find(all.begin(), all.end(), "--role");
    ASSERT_NE(role, all.end());
    *role = "--all";
    all.erase(role + 1);
    // One image fits, two do not.
    const Result built = in_mount_namespace(
        "disk=$1; shift; mount -t tmpfs -o size=" + GetParam() + " none \"$disk\" || exit 99; exec \"$@\"",
        scratch.path(), all);
    EXPECT_EQ(built.status, 1) << built.errors;
    EXPECT_THAT(built.output, HasSubstr("image   " + (scratch / "gateway-1.img").string() + "\n"));
    EXPECT_THAT(built.errors,
                HasSubstr("makina-image: building lb-1: " + (scratch / "lb-1.img").string() +
                          ".part: writing the image: no space left on device; no image was written of lb-1, lb-2, "
                          "master-1, master-2, master-3, worker-1, worker-2 and worker-3\n"));
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(SmallDisk);
INSTANTIATE_TEST_SUITE_P(Of, SmallDisk,
                         testing::ValuesIn(long_form() ? std::vector<std::string>{"1000m"}
                                                       : std::vector<std::string>{}));

TEST(Killed, AtAnyMomentLeavesNothingUnderTheFinalName) {
    const std::string known = bare_card(master).event["sha256"];
    const Scratch scratch;
    const fs::path file = scratch / "card.img";
    std::vector<std::string> build = build_arguments(master, file, {"--no-bundle"});
    build.insert(build.begin(), MAKINA_IMAGE);
    const auto started = std::chrono::steady_clock::now();
    ASSERT_EQ(run({build}).status, 0);
    const std::chrono::duration<double> whole = std::chrono::steady_clock::now() - started;
    constexpr int moments = 10;
    std::uint64_t killed = 0;
    for (int i = 0; i < moments; ++i) {
        fs::remove(file);
        std::vector<std::string> argv = {"timeout", "--signal=KILL",
                                         std::to_string(whole.count() * (i + 0.5) / moments)};
        argv.insert(argv.end(), build.begin(), build.end());
        const Result result = run({argv, {{"TMPDIR", scratch.path().string()}}});
        if (result.status == 137) ++killed;
        // A kill after the last rename leaves the finished card.
        EXPECT_TRUE(!fs::exists(file) || sha256_of_file(file) == known) << "half a card, killed at moment " << i;
    }
    EXPECT_GT(killed, 0U) << "every build ended before it was killed";
    count("kills", killed);
    ASSERT_EQ(run({build}).status, 0);
    EXPECT_EQ(sha256_of_file(file), known);
    EXPECT_FALSE(fs::exists(file.string() + ".part"));
}

TEST(Unprivileged, BuildGivesTheSameBytes) {
    const std::string known = bare_card(master).event["sha256"];
    const Scratch scratch;
    // Everything that the build reads is a copy which its user owns: programs, the project's folders, keys, the cache.
    const fs::path home = scratch / "project";
    fs::create_directories(home);
    fs::create_directories(scratch / "tmp");
    for (const char* const folder : {"overlays", "profiles"}) {
        (void)run_checked({{"cp", "-a", (fs::path(MAKINA_SOURCE) / folder).string(), home.string()}});
    }
    fs::copy_file(MAKINA_IMAGE, home / "makina-image");
    fs::create_directories(home / "build/device/bin");
    fs::copy_file(fs::path(MAKINA_SOURCE) / "build/device/bin/makina-firstboot",
                  home / "build/device/bin/makina-firstboot");
    fs::create_directories(scratch / "config/makina");
    (void)run_checked({{"cp", "-a", keys_of(master).string(), (scratch / "config/makina").string()}});
    (void)copy_cache(scratch / "cache");
    std::vector<std::string> argv;
    if (geteuid() == 0) {
        (void)run_checked({{"chown", "-R", "65534:65534", scratch.path().string()}});
        argv = {"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", "--bounding-set=-all"};
    }
    const fs::path file = scratch / "out" / "card.img";
    argv.insert(argv.end(), {(home / "makina-image").string(), "build", "--role", "master-1", "--json", "--no-bundle",
                             "--cache", (scratch / "cache").string(), "--output", file.string()});
    const Result built = run({argv,
                              {{"MAKINA_HOME", home.string()},
                               {"HOME", scratch.path().string()},
                               {"XDG_CONFIG_HOME", (scratch / "config").string()},
                               {"TMPDIR", (scratch / "tmp").string()}},
                              scratch.path()});
    ASSERT_EQ(built.status, 0) << built.errors;
    EXPECT_EQ(event(built.output, "image").value("sha256", ""), known);
    struct stat status {};
    ASSERT_EQ(stat(file.c_str(), &status), 0);
    EXPECT_NE(status.st_uid, 0U);
    EXPECT_EQ(status.st_mode, static_cast<mode_t>(S_IFREG | 0600));
    EXPECT_THAT(names_in(scratch / "tmp"), IsEmpty());
    EXPECT_EQ(sha256_of_file(file), known);
}

}  // namespace
}  // namespace makina::images
