#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "builder/process.hpp"
#include "tests/boot/suite.hpp"
#include "tests/unit/child.hpp"
#include "tests/unit/figures.hpp"
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
    const char* question;  ///< asked in every node after each drill
};

/// Three of them, each with the others' word that it is a voting member.
constexpr const char* three_members = R"sh(members=list=$(ETCDCTL_API=3 etcdctl --endpoints https://127.0.0.1:2379 \
    --cacert /etc/etcd/pki/ca.crt --cert /etc/etcd/pki/peer.crt --key /etc/etcd/pki/peer.key member list)
echo "$list"
[ "$(echo "$list" | grep -c ', started, .*, false$')" = 3 ])sh";

/// Machines by the handful take minutes.
std::vector<Play> plays() {
    if (!figures::long_form()) return {};
    return {{"balancers",
             "makina.yaml",
             "lb-1,lb-2",
             {"--kill", "holder", "--replace", "lb-1", "--replace", "lb-2", "--cut", "holder:20"},
             "balancer=systemctl is-active haproxy keepalived"},
            {"etcd", "external-etcd.yaml", "etcd-1,etcd-2,etcd-3", {"--replace", "etcd-2"}, three_members}};
}

class Cluster : public testing::TestWithParam<Play> {};

TEST_P(Cluster, IsWellAfterEachDrill) {
    if (const std::string reason = why_not(); !reason.empty()) GTEST_SKIP() << reason;
    const Play& play = GetParam();
    const Scratch scratch;
    Command rehearse{{MAKINA_IMAGE, "rehearse", "--json", "--profile",
                      (std::filesystem::path(MAKINA_SOURCE) / "profiles" / play.profile).string(), "--nodes",
                      play.nodes, "--timeout", "3000", "--console", (scratch / "consoles").string(), "--question",
                      play.question}};
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
        if (kind == "answer") {
            EXPECT_TRUE(event["good"].get<bool>()) << line;
            figures::count("rehearsed_answers", 1);
        }
        if (kind != "outcome") continue;
        EXPECT_TRUE(event["passed"].get<bool>()) << line;
        EXPECT_EQ(event["several_held"], 0) << line;
        if (event["drill"] == "start") continue;
        figures::count("rehearsed_drills", 1);
        if (!event["moved_after"].is_null())
            figures::largest("rehearsed_failover_max_s", event["moved_after"].get<double>());
    }
    ASSERT_TRUE(end.is_object()) << rehearsed.output << rehearsed.errors;
    EXPECT_TRUE(end["passed"].get<bool>());
    figures::count("rehearsed_nodes", end["nodes"].get<int>());
    figures::count("rehearsed_seconds", static_cast<int>(end["seconds"].get<double>()));
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Cluster);
INSTANTIATE_TEST_SUITE_P(Plays, Cluster, testing::ValuesIn(plays()),
                         [](const auto& play) { return std::string(play.param.name); });

}  // namespace
}  // namespace makina::boot
