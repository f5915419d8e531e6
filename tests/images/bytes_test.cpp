#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "builder/disk/disk.hpp"
#include "firstboot/bundle/digest.hpp"
#include "tests/images/suite.hpp"
#include "tests/unit/scratch.hpp"

// Same inputs, same bytes.
namespace makina::images {
namespace {

const Subject master = {"control-plane", "master-1", "makina.yaml"};

std::string built_sha256(const fs::path& file, const std::map<std::string, std::string>& environment) {
    const Result built = makina(build_arguments(master, file, {"--json", "--no-bundle"}), environment);
    EXPECT_EQ(built.status, 0) << built.errors;
    return event(built.output, "image").value("sha256", "");
}

TEST(SameInputs, GiveTheSameBytesInTwoFolders) {
    const Scratch one;
    const Scratch other;
    // Neither where it is written, nor the time zone, language or folder for temporary files is an input.
    const std::string first = built_sha256(one / "a.img", {{"TZ", "Asia/Tokyo"}, {"TMPDIR", one.path().string()}});
    const std::string second = built_sha256(other / "b.img", {{"LC_ALL", "C"}, {"TMPDIR", other.path().string()}});
    EXPECT_EQ(first, second);
    EXPECT_EQ(first, bare_card(master).event["sha256"]);
    EXPECT_EQ(sha256_of_file(one / "a.img"), first);
    EXPECT_EQ(sha256_of_file(other / "b.img"), first);
}

TEST(SameInputs, TakeTheirTimeFromSourceDateEpoch) {
    const Scratch scratch;
    const std::string epoch = "1700000000";
    const std::string dated = built_sha256(scratch / "dated.img", {{"SOURCE_DATE_EPOCH", epoch}});
    EXPECT_NE(dated, bare_card(master).event["sha256"]);
    EXPECT_EQ(built_sha256(scratch / "again.img", {{"SOURCE_DATE_EPOCH", epoch}}), dated);

    const PartitionTable table = read_partition_table(scratch / "dated.img");
    const Ext4 root(scratch / "dated.img", table.find(2)->offset, false);
    for (const char* const path : {"/etc/hostname", "/usr/lib/clock-epoch", "/usr/lib/makina/manifest"}) {
        EXPECT_EQ(root.stat(path).value_or(Stat{}).mtime, 1700000000) << path;
    }
    const Ext4 undated(bare_card(master).path, table.find(2)->offset, false);
    EXPECT_GT(undated.stat("/etc/hostname").value_or(Stat{}).mtime, 1700000000);
    // What the base holds is not ours to date.
    EXPECT_EQ(root.stat("/usr/bin/dpkg")->mtime, undated.stat("/usr/bin/dpkg")->mtime);
}

TEST(SameInputs, TakeTheTimeOfTheBaseIfNoneIsGiven) {
    const Scratch scratch;
    const Result plan = makina(build_arguments(master, scratch / "x.img", {"--dry-run", "--json"}));
    const std::string built = std::to_string(event(plan.output, "plan")["built"].get<std::int64_t>());
    EXPECT_EQ(built_sha256(scratch / "x.img", {{"SOURCE_DATE_EPOCH", built}}), bare_card(master).event["sha256"]);
}

/// The long form's cold bases: the packages are fetched once, everything else is made anew.
class ColdBase : public testing::TestWithParam<std::string> {
  protected:
    [[nodiscard]] fs::path cold(const std::string& name) const {
        fs::path folder = scratch / name;
        for (const auto& entry : fs::recursive_directory_iterator(cache() / "apt")) {
            if (entry.path().extension() != ".deb") continue;
            const fs::path copy = folder / fs::relative(entry.path(), cache());
            fs::create_directories(copy.parent_path());
            fs::copy_file(entry.path(), copy);
        }
        return folder;
    }
    Scratch scratch;
};

TEST_P(ColdBase, IsTheSameBytesInTwoCaches) {
    (void)card(master);
    std::vector<std::string> found;
    for (const char* const name : {"one", "two"}) {
        const Result built =
            makina({"build", "--role", "master-1", "--json", "--no-bundle", "--cache", cold(name).string(), "--output",
                    (scratch / (std::string(name) + ".img")).string()});
        ASSERT_EQ(built.status, 0) << built.errors;
        found.push_back(event(built.output, "image")["sha256"]);
    }
    EXPECT_EQ(found[0], found[1])
        << makina({"diff", (scratch / "one.img").string(), (scratch / "two.img").string()}).output;
    count("cold_bases", 2);
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ColdBase);
INSTANTIATE_TEST_SUITE_P(Long, ColdBase,
                         testing::ValuesIn(long_form() ? std::vector<std::string>{"packages"}
                                                       : std::vector<std::string>{}));

}  // namespace
}  // namespace makina::images
