#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "builder/commands/interruption.hpp"
#include "builder/commands/rehearsal_view.hpp"
#include "builder/commands/rehearse_cluster.hpp"
#include "builder/rehearse/cluster_plan.hpp"
#include "builder/rehearse/monitor.hpp"
#include "builder/rehearse/outside.hpp"
#include "firstboot/bundle/error.hpp"
#include "tests/unit/child.hpp"
#include "tests/unit/clusters.hpp"
#include "tests/unit/plans.hpp"
#include "tests/unit/scratch.hpp"
#include "tests/unit/small_image.hpp"

namespace makina {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const std::vector<std::uint16_t> ports = {1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008};

std::vector<std::string> texts(const std::vector<Address>& addresses) {
    std::vector<std::string> all;
    all.reserve(addresses.size());
    for (const Address address : addresses) all.push_back(to_string(address));
    return all;
}

std::string refusal(const Profile& profile, const ClusterChoice& choice) {
    try {
        (void)plan_cluster(profile, choice, ports);
    } catch (const Error& error) {
        return error.what();
    }
    return "accepted";
}

TEST(ClusterPlan, BootsEveryNodeIfNoneIsNamed) {
    const Profile profile = clusters::pair();
    const ClusterPlan plan = plan_cluster(profile, {}, ports);
    EXPECT_EQ(plan.nodes.size(), profile.nodes.size());
    EXPECT_THAT(plan.played, IsEmpty());
    EXPECT_THAT(plan.outside.stand_ins, IsEmpty());
    EXPECT_EQ(plan_cluster(profile, {{"lb-2", "worker-1"}}, ports).nodes[0].node.name, "lb-2");
}

TEST(ClusterPlan, PlaysTheControlPlanesThatAreNotBooted) {
    const ClusterPlan plan = plan_cluster(clusters::pair(), {{"lb-1", "master-2"}}, ports);
    EXPECT_THAT(plan.played, ElementsAre("master-1", "master-3"));
    ASSERT_EQ(plan.outside.stand_ins.size(), 2U);
    EXPECT_EQ(to_string(plan.outside.stand_ins[1].address), "192.168.3.253");
    EXPECT_EQ(plan.outside.stand_ins[1].port, 6443);
}

TEST(ClusterPlan, WatchesTheSharedAddressOnlyIfSomebodyCanHoldIt) {
    EXPECT_EQ(to_string(*plan_cluster(clusters::pair(), {{"lb-1"}}, ports).shared), "192.168.3.240");
    EXPECT_FALSE(plan_cluster(clusters::pair(), {{"worker-1"}}, ports).shared);
    EXPECT_FALSE(plan_cluster(clusters::single(), {}, ports).shared);
    EXPECT_TRUE(plan_cluster(clusters::static_pods(), {{"master-1"}}, ports).shared);
}

TEST(ClusterPlan, LeadsToEachStatusPageAndToTheSharedAddress) {
    const ClusterPlan plan = plan_cluster(clusters::pair(), {{"lb-1", "lb-2"}}, ports);
    ASSERT_EQ(plan.outside.ways_in.size(), 3U);
    EXPECT_EQ(plan.outside.ways_in[1].local, 1002);
    EXPECT_EQ(to_string(plan.outside.ways_in[1].address), "192.168.3.242");
    EXPECT_EQ(plan.outside.ways_in[1].port, 6480);
    EXPECT_EQ(to_string(plan.outside.ways_in[2].address), "192.168.3.240");
    EXPECT_EQ(plan.outside.ways_in[2].port, 9000);
}

TEST(ClusterPlan, TakesThePlaceOfAGatewayThatIsNotBooted) {
    // The router is also a name server in this profile; QEMU's router answers names at one address only.
    const ClusterPlan without = plan_cluster(clusters::pair(), {{"lb-1"}}, ports);
    EXPECT_EQ(to_string(without.outside.name_server), "192.168.3.1");
    EXPECT_EQ(to_string(without.outside.router), "192.168.3.254");
    Profile other = clusters::pair();
    other.network.dns = {clusters::address("9.9.9.9")};
    EXPECT_EQ(to_string(plan_cluster(other, {{"lb-1"}}, ports).outside.router), "192.168.3.1");
    const ClusterPlan with = plan_cluster(other, {{"lb-1", "gateway-1"}}, ports);
    EXPECT_EQ(to_string(with.outside.router), "192.168.3.254");
    EXPECT_EQ(to_string(with.outside.name_server), "192.168.3.250");
}

TEST(ClusterPlan, FindsAddressesThatNobodyHas) {
    Profile profile = clusters::pair();
    EXPECT_THAT(texts(free_addresses(profile, 3)), ElementsAre("192.168.3.254", "192.168.3.250", "192.168.3.249"));
    profile.gateway.dhcp = true;
    profile.gateway.dhcp_first = clusters::address("192.168.3.243");
    profile.gateway.dhcp_last = clusters::address("192.168.3.254");
    EXPECT_THAT(texts(free_addresses(profile, 1)), ElementsAre("192.168.3.239"));
    profile.network.subnet = parse_subnet("192.168.3.240/31").value();
    EXPECT_EQ(refusal(profile, {}),
              "network.subnet 192.168.3.240/31 has no two addresses left for the rehearsal's router");
}

TEST(ClusterPlan, GivesAGatewayACardOnEachSide) {
    Profile profile = clusters::pair();
    const BoardPlan board = plan_cluster(profile, {{"gateway-1"}, 0, 0, true}, ports).nodes[0].board;
    EXPECT_EQ(board.switched, 1U) << "eth1 is towards the cluster";
    ASSERT_EQ(board.cards.size(), 2U);
    EXPECT_TRUE(board.cards[0].internet);
    EXPECT_FALSE(board.cards[1].internet);
    EXPECT_NE(board.cards[0].mac, board.cards[1].mac);
    std::swap(profile.gateway.uplink, profile.gateway.inside);
    plans::node_of(profile, "gateway-1").inside_mac = "dc:a6:32:01:02:03";
    const BoardPlan swapped = plan_cluster(profile, {{"gateway-1"}}, ports).nodes[0].board;
    EXPECT_EQ(swapped.switched, 0U);
    EXPECT_EQ(swapped.cards[0].mac, "dc:a6:32:01:02:03");
    EXPECT_FALSE(swapped.cards[1].internet);
}

TEST(ClusterPlan, GivesANodeTheCardThatItIsBoundToAndFreesItFromItsBoard) {
    Profile profile = clusters::pair();
    profile.nodes[3].mac = "dc:a6:32:01:02:03";
    profile.nodes[3].serial = "10000000abcdef01";
    const ClusterPlan plan = plan_cluster(profile, {{"lb-1"}}, ports);
    EXPECT_EQ(plan.nodes[0].board.cards[0].mac, "dc:a6:32:01:02:03");
    EXPECT_EQ(plan.nodes[0].node.serial, "");
    EXPECT_THAT(plan.warnings,
                ElementsAre("lb-1 is bound to the board 10000000abcdef01: a card that is built for the rehearsal is "
                            "not"));
}

TEST(ClusterPlan, GivesEachRoleWhatItNeedsUnlessMoreIsSaid) {
    const Profile profile = clusters::pair();
    EXPECT_EQ(plan_cluster(profile, {{"lb-1"}}, ports).nodes[0].board.processors, 1U);
    EXPECT_EQ(plan_cluster(profile, {{"master-1"}}, ports).nodes[0].board.processors, 2U);
    EXPECT_EQ(plan_cluster(profile, {{"lb-1"}}, ports).nodes[0].board.memory_mib, 512U);
    EXPECT_EQ(plan_cluster(profile, {{"master-1"}}, ports).nodes[0].board.memory_mib, 2048U);
    EXPECT_EQ(plan_cluster(profile, {{"lb-1"}, 3000}, ports).nodes[0].board.memory_mib, 3000U);
}

TEST(ClusterPlan, RefusesWhatCannotBeEmulated) {
    Profile profile = clusters::pair();
    profile.path = "home.yaml";
    EXPECT_EQ(refusal(profile, {{"lb-9"}}), "home.yaml has no node \"lb-9\"");
    EXPECT_EQ(refusal(profile, {{"lb-1", "lb-1"}}), "lb-1 is named twice");
    profile.nodes[3].architecture = Architecture::amd64;
    EXPECT_EQ(refusal(profile, {{"lb-1"}}), "lb-1 is for amd64: only arm64 nodes can be rehearsed yet");
}

TEST(Outside, IsARouterWithoutAMachine) {
    OutsidePlan plan;
    plan.subnet = parse_subnet("192.168.3.7/24").value();
    plan.router = clusters::address("192.168.3.1");
    plan.name_server = clusters::address("192.168.3.254");
    plan.ways_in = {{1001, clusters::address("192.168.3.241"), 6480}};
    plan.stand_ins = {{clusters::address("192.168.3.251"), 6443}};
    plan.stand_in = "/a,b stand-in";
    const std::vector<std::string> arguments = outside_arguments(plan, 7);
    EXPECT_THAT(arguments,
                testing::Contains("user,id=outside,ipv6=off,net=192.168.3.0/24,host=192.168.3.1,dns=192.168.3.254,"
                                  "restrict=on,hostfwd=tcp:127.0.0.1:1001-192.168.3.241:6480,"
                                  "guestfwd=tcp:192.168.3.251:6443-cmd:/a,,b stand-in"));
    EXPECT_THAT(arguments, testing::Contains("socket,id=cable,fd=7"));
    plan.internet = true;
    EXPECT_THAT(outside_arguments(plan, 7), testing::Contains(HasSubstr("restrict=off")));
}

TEST(Outside, FindsPortsThatAreFreeAndDifferent) {
    std::vector<std::uint16_t> found = free_ports(50);
    std::sort(found.begin(), found.end());
    EXPECT_EQ(std::adjacent_find(found.begin(), found.end()), found.end());
    EXPECT_NE(found.front(), 0);
}

TEST(Monitor, PullsTheCableOfACard) {
    EXPECT_EQ(cable_command("net1", false), R"({"execute":"set_link","arguments":{"name":"net1","up":false}})");
    EXPECT_TRUE(nlohmann::json::accept(cable_command("net0", true)));
}

TEST(Outcome, SaysHowTheAddressMovedAndWhatIsWrong) {
    Outcome outcome;
    outcome.seconds = 165.53;
    EXPECT_EQ(to_text(outcome, "10.0.0.1"), "start: passed after 165.5 s");
    outcome.drill = Drill{DrillKind::kill, "lb-1"};
    outcome.held_before = {"lb-1"};
    outcome.held_after = {"lb-2"};
    outcome.moved = 4.26;
    outcome.several = 1;
    EXPECT_EQ(to_text(outcome, "10.0.0.1"),
              "kill lb-1: passed after 165.5 s, 10.0.0.1 moved from lb-1 to lb-2 in 4.3 s, held by more than one for "
              "1.0 s");
    outcome.moved.reset();
    outcome.several = 0;
    outcome.held_after = outcome.held_before;
    outcome.nobody = 150;
    EXPECT_EQ(to_text(outcome, "10.0.0.1"),
              "kill lb-1: passed after 165.5 s, 10.0.0.1 came back to lb-1, held by nobody for 150.0 s");
    outcome.nobody = 0;
    outcome.objections = {"one", "two"};
    EXPECT_EQ(to_text(outcome, "10.0.0.1"),
              "kill lb-1: did not pass, judged after 165.5 s, 10.0.0.1 stayed with lb-1\n    one\n    two");
}

TEST(Interruption, IsAskedForInsteadOfEndingUs) {
    const std::string ended = in_child([] {
        Interruption interruption;
        std::string seen = interruption.within(0) ? "early " : "";
        for (const int signal : {SIGINT, SIGTERM, SIGHUP}) (void)kill(getpid(), signal);
        seen += interruption.within(10) ? "heard" : "not heard";
        return seen + (interruption.within(0) ? ", and still" : "");
    });
    EXPECT_EQ(ended, "heard, and still");
}

/// Stands for both QEMUs: with -M none it serves every node's status page at the ports that are to be forwarded, else
/// it is a machine that boots at once.
constexpr const char* emulator = R"py(#!/usr/bin/env python3
import http.server, os, re, sys, threading
words = ' '.join(sys.argv)
if '-M none' in words:
    page = b'{"state":"joined","stage":"","epoch":1,"uptime":9,"since_uptime":4}'
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(page)
        def log_message(self, *words): pass
    for port in re.findall(r'127\.0\.0\.1:(\d+)-', words):
        threading.Thread(target=http.server.HTTPServer(('127.0.0.1', int(port)), Page).serve_forever, daemon=True).start()
else:
    print('[    0.000000] Booting Linux on physical CPU 0x0', flush=True)
    if os.path.exists(os.environ['MAKINA_TEST_PANIC']):
        print('Kernel panic - not syncing: \x1b[31mno init found', flush=True)
    else:
        print('[  OK  ] Reached target multi-user.target', flush=True)
threading.Event().wait(100)
)py";

/// A profile of three workers, whose images are there, and an emulator that boots at once.
class ClusterRehearsalTest : public ::testing::Test {
  protected:
    void SetUp() override {
        if (!have_program("python3")) GTEST_SKIP() << "python3 is not installed";
        const auto program = scratch.write("bin/qemu-system-aarch64", emulator);
        std::filesystem::permissions(program, std::filesystem::perms::owner_all);
        setenv("PATH", (program.parent_path().string() + ":" + path_before).c_str(), 1);
        setenv("MAKINA_TEST_PANIC", (scratch / "panic").c_str(), 1);
        std::filesystem::create_directory(scratch / "tmp");
        std::filesystem::create_directory(scratch / "images");
        small_image::make(scratch / "images/worker-1.img", "worker");
        for (const char* const other : {"images/worker-2.img", "images/worker-3.img"}) {
            std::filesystem::copy_file(scratch / "images/worker-1.img", scratch / other);
        }
        options.build.profile = std::filesystem::path(MAKINA_SOURCE) / "profiles/makina.yaml";
        options.images = scratch / "images";
        options.choice.nodes = {"worker-1", "worker-2", "worker-3"};
        options.steady = 0;
        options.settle = 1;
        options.interval = 0.1;
    }
    void TearDown() override {
        setenv("PATH", path_before.c_str(), 1);
        unsetenv("MAKINA_TEST_PANIC");
    }
    int shown(bool live = false) {
        std::ostringstream stream;
        const int code = rehearse_cluster(options, stream, live);
        out = stream.str();
        return code;
    }

    Scratch scratch;
    ClusterRehearsalOptions options;
    std::string out;
    std::string path_before = std::getenv("PATH");
};

TEST_F(ClusterRehearsalTest, ShowsHowNodesJoinAndPasses) {
    options.console = scratch / "consoles";
    EXPECT_EQ(shown(), 0) << out;
    EXPECT_THAT(out, HasSubstr(" s: worker-2 joined\n"));
    EXPECT_THAT(out, HasSubstr("\nstart: passed after "));
    EXPECT_THAT(out, HasSubstr("\nmakina: 3 nodes, "));
    EXPECT_THAT(out,
                HasSubstr("not booted: master-1, master-2, master-3; a stand-in said for them that all is well\n"));
    EXPECT_THAT(slurp(scratch / "consoles/worker-3.log"), HasSubstr("Booting Linux"));
}

TEST_F(ClusterRehearsalTest, DoesWhatIsSaidInOrder) {
    options.drills = {
        {DrillKind::kill, "worker-2"}, {DrillKind::restart, "worker-1", 1}, {DrillKind::kill, "worker-3"}};
    EXPECT_EQ(shown(), 0) << out;
    const auto first = out.find(" s: drill 1 of 3: kill worker-2\n");
    const auto second = out.find(" s: drill 2 of 3: restart worker-1 for 1 s\n");
    const auto third = out.find(" s: drill 3 of 3: kill worker-3\n");
    ASSERT_NE(third, std::string::npos) << out;
    EXPECT_LT(first, second);
    EXPECT_LT(second, third);
    EXPECT_THAT(out, HasSubstr(" s: worker-2 not reached: off\n"));
    EXPECT_THAT(out, HasSubstr(" nodes, 3 of 3 drills passed, "));
}

TEST_F(ClusterRehearsalTest, TellsProgramsEverythingALineEach) {
    options.drills = {{DrillKind::kill, "worker-2"}};
    options.json = true;
    EXPECT_EQ(shown(), 0) << out;
    std::map<std::string, nlohmann::json> last;
    std::istringstream lines(out);
    for (std::string line; std::getline(lines, line);) {
        const auto event = nlohmann::json::parse(line);
        EXPECT_TRUE(event.contains("seconds")) << line;
        last[event.at("event").get<std::string>()] = event;
    }
    EXPECT_EQ(last["drill"]["node"], "worker-2");
    EXPECT_EQ(last["outcome"]["drill"], "kill");
    EXPECT_EQ(last["outcome"]["passed"], true);
    EXPECT_EQ(last["node"]["node"], "worker-2");
    EXPECT_EQ(last["node"]["state"], "off");
    EXPECT_EQ(last["end"]["passed"], true);
    EXPECT_EQ(last["end"]["nodes"], 3);
    EXPECT_EQ(last["end"]["drills_passed"], 1);
}

TEST_F(ClusterRehearsalTest, OnATerminalIsATable) {
    EXPECT_EQ(shown(true), 0) << out;
    EXPECT_THAT(out, HasSubstr("\x1b[H\x1b[Jmakina in emulation, "));
    EXPECT_THAT(out, HasSubstr(" s: 3 of 3 nodes have joined\n\nNODE "));
}

TEST_F(ClusterRehearsalTest, EndsAtAPanicAndShowsTheConsole) {
    (void)scratch.write("panic", "");
    EXPECT_EQ(shown(), 1);
    // Two boot at the same time, and either may be the first to fail.
    const bool second = out.find(" worker-1 failed") == std::string::npos;
    const std::string first = second ? "worker-2" : "worker-1";
    EXPECT_THAT(out, HasSubstr("    " + first + ": the boot failed: Kernel panic - not syncing: no init found\n"));
    EXPECT_THAT(out, HasSubstr(" s: the last lines of " + first + "'s console:\n    [    0.000000] Booting Linux"));
    EXPECT_THAT(out, Not(HasSubstr("\x1b")));
    EXPECT_THAT(out, HasSubstr(" s: did not pass\n"));
}

TEST_F(ClusterRehearsalTest, RefusesBeforeAnythingIsBuilt) {
    const auto refused = [&] {
        try {
            return std::to_string(shown());
        } catch (const Mistake& mistake) {
            return std::string(mistake.what());
        }
    };
    options.drills = {{DrillKind::kill, "worker-9"}};
    EXPECT_EQ(refused(), "--kill worker-9: it is not among the nodes that are booted: worker-1, worker-2, worker-3");
    options.choice.nodes = {"worker-1", "wroker-2"};
    EXPECT_THAT(refused(), HasSubstr("has no node \"wroker-2\", did you mean \"worker-2\"?"));
}

TEST_F(ClusterRehearsalTest, CtrlCEndsEveryEmulatorAndLeavesNothing) {
    const auto started = std::chrono::steady_clock::now();
    // The group of the command gets the signal, as it does from a terminal.
    const Result ended = run({{"timeout", "--signal=INT", "4", MAKINA_IMAGE, "rehearse", "--profile",
                               options.build.profile.string(), "--nodes", "worker-1,worker-2", "--images",
                               options.images.string(), "--settle", "3000", "--cut", "worker-1:3000"},
                              {{"TMPDIR", (scratch / "tmp").string()}}});
    EXPECT_EQ(ended.status, 124) << "timeout(1) had to send the signal: " << ended.output;
    EXPECT_THAT(ended.errors, HasSubstr("makina-image: interrupted: every emulator is ended\n"));
    EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::seconds(30));
    EXPECT_EQ(names_in(scratch / "tmp"), "");
    EXPECT_NE(run({{"pgrep", "-f", (scratch / "bin/qemu-system-aarch64").string()}}).status, 0);
}

}  // namespace
}  // namespace makina
