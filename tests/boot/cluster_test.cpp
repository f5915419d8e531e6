#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "builder/process.hpp"
#include "tests/boot/suite.hpp"
#include "tests/unit/child.hpp"
#include "tests/unit/scratch.hpp"

namespace makina::boot {
namespace {

using Json = nlohmann::json;

/// Nodes of one of the tree's profiles, and what happens to them.
struct Play {
    const char* name;
    const char* profile;
    const char* nodes;
    std::vector<std::string> drills;
};

/// Machines by the handful take minutes.
std::vector<Play> plays() {
    if (!all_asked()) return {};
    return {{"balancers",
             "makina.yaml",
             "lb-1,lb-2",
             {"--kill", "holder", "--replace", "lb-1", "--replace", "lb-2", "--cut", "holder:20"}}};
}

class Cluster : public testing::TestWithParam<Play> {};

TEST_P(Cluster, IsWellAfterEachDrill) {
    if (const std::string reason = why_not(); !reason.empty()) GTEST_SKIP() << reason;
    const Play& play = GetParam();
    const Scratch scratch;
    Command rehearse{{MAKINA_IMAGE, "rehearse", "--json", "--profile",
                      (std::filesystem::path(MAKINA_SOURCE) / "profiles" / play.profile).string(), "--nodes",
                      play.nodes, "--timeout", "1800", "--console", (scratch / "consoles").string()}};
    rehearse.argv.insert(rehearse.argv.end(), play.drills.begin(), play.drills.end());
    std::filesystem::create_directory(scratch / "tmp");
    rehearse.environment["TMPDIR"] = (scratch / "tmp").string();
    const Result rehearsed = run(rehearse);
    EXPECT_EQ(rehearsed.status, 0) << rehearsed.output << rehearsed.errors;
    EXPECT_EQ(names_in(scratch / "tmp"), "") << "something was left behind";

    std::istringstream lines(rehearsed.output);
    Json end;
    for (std::string line; std::getline(lines, line);) {
        const Json event = Json::parse(line, nullptr, false);
        ASSERT_TRUE(event.is_object()) << line;
        const std::string kind = event.value("event", "");
        if (kind == "end") end = event;
        if (kind != "outcome") continue;
        EXPECT_TRUE(event["passed"].get<bool>()) << line;
        EXPECT_EQ(event["several_held"], 0) << line;
        if (event["drill"] == "start") continue;
        count("rehearsed_drills", 1);
        if (!event["moved_after"].is_null()) longest("rehearsed_failover_max_s", event["moved_after"].get<double>());
    }
    ASSERT_TRUE(end.is_object()) << rehearsed.output << rehearsed.errors;
    EXPECT_TRUE(end["passed"].get<bool>());
    count("rehearsed_nodes", end["nodes"].get<int>());
    count("rehearsed_seconds", static_cast<int>(end["seconds"].get<double>()));
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Cluster);
INSTANTIATE_TEST_SUITE_P(Plays, Cluster, testing::ValuesIn(plays()),
                         [](const auto& play) { return std::string(play.param.name); });

}  // namespace
}  // namespace makina::boot
