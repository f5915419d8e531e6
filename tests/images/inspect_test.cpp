#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/images/suite.hpp"
#include "tests/unit/scratch.hpp"

// What `inspect` and `diff` tell of real cards.
namespace makina::images {
namespace {

const Subject first = {"control-plane", "master-1", "makina.yaml"};
const Subject second = {"control-plane", "master-2", "makina.yaml"};

TEST(Inspect, SaysForWhichNodeACardIsAndThatEveryFileIsAsWritten) {
    for (const Subject& subject : subjects()) {
        const Result told = makina({"inspect", "--json", card(subject).path.string()});
        ASSERT_EQ(told.status, 0) << told.errors;
        const Json report = Json::parse(told.output);
        EXPECT_EQ(report["manifest"]["node"], subject.node);
        EXPECT_EQ(report["manifest"]["role"], subject.role);
        EXPECT_EQ(report["size"], card(subject).event["size"]);
        ASSERT_EQ(report["partitions"].size(), 2U);
        EXPECT_EQ(report["partitions"][0]["file_system"], "fat");
        EXPECT_EQ(report["partitions"][1]["file_system"], "ext4");
        EXPECT_GT(report["files"].size(), 30U);
        for (const Json& file : report["files"]) {
            EXPECT_EQ(file["condition"], "as written") << file.dump();
            count("files_as_written", 1);
        }
    }
}

TEST(Inspect, PrintsAFileOfEitherPartition) {
    const std::string image = card(first).path.string();
    const Result hostname = makina({"inspect", "--cat", "/etc/hostname", image});
    EXPECT_EQ(hostname.status, 0);
    EXPECT_EQ(hostname.output, "master-1\n");
    EXPECT_THAT(makina({"inspect", "--cat", "/boot/firmware/cmdline.txt", image}).output,
                testing::HasSubstr("root=PARTUUID="));
    const Result absent = makina({"inspect", "--cat", "/etc/absent", image});
    EXPECT_EQ(absent.status, 1);
    EXPECT_THAT(absent.errors, testing::HasSubstr("/etc/absent"));
}

std::set<std::string> paths_of(const std::string& json) {
    std::set<std::string> paths;
    for (const Json& difference : Json::parse(json)) paths.insert(difference["path"]);
    return paths;
}

TEST(Diff, OfTwoControlPlanesNamesOnlyWhatIsANodesOwn) {
    const Result told = makina({"diff", "--json", card(first).path.string(), card(second).path.string()});
    EXPECT_EQ(told.status, 1) << told.errors;
    const std::set<std::string> own = {"/etc/hostname", "/etc/kubernetes/makina/init.yaml",
                                       "/etc/kubernetes/makina/join.yaml", "/etc/default/kubelet",
                                       "/etc/systemd/network/10-makina.network"};
    std::set<std::string> expected = own;
    expected.insert({"/usr/lib/makina/manifest", "/usr/lib/makina/trust", "/var/lib/makina/bundle"});
    EXPECT_EQ(paths_of(told.output), expected);

    // The same from the plans alone. `diff` has the base from the usual cache.
    const Scratch scratch;
    fs::create_directory_symlink(fs::absolute(cache()), scratch / "makina");
    const Result planned = makina({"diff", "--json", "--role", "master-1", "--role", "master-2"},
                                  {{"XDG_CACHE_HOME", scratch.path().string()}});
    EXPECT_EQ(planned.status, 1) << planned.errors;
    EXPECT_EQ(paths_of(planned.output), own);
}

TEST(Diff, OfACardAndItselfIsEmpty) {
    const std::string image = card(first).path.string();
    const Result told = makina({"diff", image, image});
    EXPECT_EQ(told.status, 0) << told.errors;
    EXPECT_EQ(told.output, "");
}

}  // namespace
}  // namespace makina::images
