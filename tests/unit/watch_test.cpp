#include "builder/watch/watch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <tuple>

#include "builder/commands/watch.hpp"
#include "tests/unit/clusters.hpp"
#include "tests/unit/http_server.hpp"
#include "tests/unit/keyrings.hpp"
#include "tests/unit/scratch.hpp"

namespace makina {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

using std::chrono::milliseconds;

std::uint16_t port_of(const HttpServer& server) {
    const std::string url = server.url("");
    return static_cast<std::uint16_t>(std::stoul(url.substr(url.rfind(':') + 1)));
}

std::string status_of(const std::string& node, const std::string& state) {
    return R"({"node":")" + node + R"(","state":")" + state +
           R"(","stage":"network","waiting_for":"the network cable of eth0","epoch":3,"since_uptime":10,"uptime":70,)" +
           R"("last_error":""})";
}

/// A socket on the loopback that accepts nobody, and a port that nobody listens at once it is gone.
class Silent {
  public:
    Silent() : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        auto* const plain = reinterpret_cast<sockaddr*>(&address);
        if (bind(socket_.get(), plain, size) != 0 || listen(socket_.get(), 8) != 0 ||
            getsockname(socket_.get(), plain, &size) != 0) {
            throw std::runtime_error("no socket on the loopback");
        }
        port_ = ntohs(address.sin_port);
    }
    [[nodiscard]] std::uint16_t port() const { return port_; }

  private:
    Descriptor socket_;
    std::uint16_t port_ = 0;
};

const Address here = clusters::address("127.0.0.1");

TEST(Watch, AsksAllNodesAndKeepsTheirOrder) {
    const HttpServer first({{"/status.json", {.body = "{\"a\":1}"}}});
    const HttpServer second({{"/status.json", {.body = "{\"b\":2}"}}});
    const HttpServer other({{"/", {.body = "a router's page"}}});
    const std::uint16_t nobody = Silent().port();
    const auto replies = ask_nodes(
        {{"a", here, port_of(first)}, {"b", here, nobody}, {"c", here, port_of(other)}, {"d", here, port_of(second)}},
        milliseconds(30'000));
    ASSERT_EQ(replies.size(), 4U);
    EXPECT_EQ(replies[0].document, "{\"a\":1}");
    EXPECT_EQ(replies[0].fault, "");
    EXPECT_EQ(replies[1].fault, "connection refused");
    EXPECT_EQ(replies[2].fault, "what answers is not makina-firstboot");
    EXPECT_EQ(replies[3].document, "{\"b\":2}");
    EXPECT_THAT(first.asked(), ElementsAre("/status.json"));
}

TEST(Watch, DoesNotWaitForOneThatSaysNothing) {
    const HttpServer lively({{"/status.json", {.body = "{}"}}});
    const Silent silent;
    const auto replies = ask_nodes({{"a", here, silent.port()}, {"b", here, port_of(lively)}}, milliseconds(300));
    EXPECT_EQ(replies.at(0).fault, "no answer within 1 s");
    EXPECT_EQ(replies.at(1).document, "{}");
}

TEST(Watch, RefusesAnAnswerWithoutEnd) {
    const HttpServer endless({{"/status.json", {.body = std::string(100'000, 'x')}}});
    EXPECT_EQ(ask_nodes({{"a", here, port_of(endless)}}, milliseconds(30'000)).at(0).fault, "too long an answer");
}

TEST(Watch, ATableShowsWhatEachWaitsForAndFitsTheTerminal) {
    const std::vector<WatchedNode> nodes = {
        {"master-1", "control-plane", true, "waiting", "network", "the network cable of eth0", 3, 60},
        {"worker-1", "worker", false, "connection refused", "", "", 0, std::nullopt},
        {"lb-1", "load-balancer", true, "joined", "", "", 12, 7300}};
    EXPECT_EQ(to_table(nodes, 200, false),
              "NODE      ROLE           STATE               STAGE    FOR   EPOCH  WAITING FOR\n"
              "master-1  control-plane  waiting             network  60 s  3      the network cable of eth0\n"
              "worker-1  worker         connection refused\n"
              "lb-1      load-balancer  joined                       2 h   12\n");
    const std::string styled = to_table(nodes, 40, true);
    EXPECT_THAT(styled, HasSubstr("\x1b[90mworker-1  worker         connection r...\x1b[0m\n"));
    EXPECT_THAT(styled, HasSubstr("\x1b[32mlb-1"));
}

TEST(Watch, NothingThatANodeSaysReachesTheTerminal) {
    const WatchedNode node{"a", "worker", true, "wai\x1bting", "st\nage", "\x9b[31m red", 1, 0};
    EXPECT_THAT(to_table({node}, 200, false), HasSubstr("a     worker  wai?ting  st?age  0 s  1      ?[31m red\n"));
    EXPECT_EQ(to_line(node), "a wai?ting at st?age: ?[31m red");
}

/// A profile of nodes on the loopback, each daemon at a port of its own.
class WatchCommand : public ::testing::Test {
  protected:
    Profile profile_;
    WatchOptions options_;
    void SetUp() override {
        profile_.name = "home";
        options_.once = true;
    }
    void add(const std::string& name, std::uint16_t port) {
        Node node;
        node.name = name;
        node.role = Role::worker;
        node.address = here;
        profile_.nodes.push_back(node);
        options_.ports[name] = port;
    }
    std::string shown(int expected, bool live = false) {
        std::ostringstream out;
        EXPECT_EQ(watch(profile_, options_, out, live), expected);
        return out.str();
    }
};

TEST_F(WatchCommand, InAPipeIsALineForEachNode) {
    const HttpServer waiting({{"/status.json", {.body = status_of("worker-1", "waiting")}}});
    add("worker-1", port_of(waiting));
    add("worker-2", Silent().port());
    EXPECT_EQ(shown(1),
              "worker-1 waiting at network: the network cable of eth0\n"
              "worker-2 not reached: connection refused\n");
}

TEST_F(WatchCommand, OnATerminalIsATable) {
    const HttpServer waiting({{"/status.json", {.body = status_of("worker-1", "waiting")}}});
    add("worker-1", port_of(waiting));
    const std::string table = shown(1, true);
    EXPECT_THAT(table, StartsWith("home: 0 of 1 nodes have joined\n\nNODE "));
    EXPECT_THAT(table, HasSubstr("worker-1  worker  waiting  network  60 s  3 "));
    // Once is for reading later: the screen is left as it is.
    EXPECT_THAT(table, Not(HasSubstr("\x1b[H")));
}

TEST_F(WatchCommand, ForProgramsIsAnObjectALine) {
    const HttpServer joined({{"/status.json", {.body = status_of("worker-1", "joined")}}});
    add("worker-1", port_of(joined));
    options_.json = true;
    const auto line = nlohmann::json::parse(shown(0));
    EXPECT_EQ(line.at("node"), "worker-1");
    EXPECT_EQ(line.at("reached"), true);
    EXPECT_EQ(line.at("status").at("epoch"), 3);
    add("worker-2", Silent().port());
    EXPECT_THAT(shown(1),
                HasSubstr(R"({"node":"worker-2","role":"worker","reached":false,"fault":"connection refused",)"
                          R"("status":null})"));
}

TEST_F(WatchCommand, NotesWhoHasTakenABundleThatWasHandedOver) {
    const Scratch scratch;
    options_.keys = scratch / "keys";
    std::string id;
    {
        Keys keys = keyrings::fresh(options_.keys);
        id = keys.cluster_id();
        (void)keys.issue(keyrings::recipient("worker-1", "worker"), true, keyrings::now, keyrings::year, "card");
        keys.rotate_signer(keyrings::now);
        (void)keys.issue(keyrings::recipient("worker-1", "worker"), false, keyrings::now, keyrings::year, "stick");
    }
    const auto left_behind = [&] { return Keys(options_.keys, "makina", "").left_behind().size(); };
    for (const auto& [cluster, state, epoch, left] :
         {std::tuple(id, "joined", "1", 1U), std::tuple(id, "working", "2", 1U),
          std::tuple(std::string(32, 'a'), "joined", "2", 1U), std::tuple(id, "joined", "2", 0U)}) {
        const std::string body = R"({"node":"worker-1","state":")" + std::string(state) + R"(","epoch":)" + epoch +
                                 R"(,"cluster_id":")" + cluster + "\"}";
        const HttpServer node({{"/status.json", {.body = body}}});
        profile_.nodes.clear();
        add("worker-1", port_of(node));
        (void)shown(state == std::string("joined") ? 0 : 1);
        EXPECT_EQ(left_behind(), left) << body;
    }
}

TEST_F(WatchCommand, SaysWhyANodeIsRefusedAndWhatItNeeds) {
    const HttpServer refused({{"/status.json",
                               {.body = R"({"node":"","state":"refused","stage":"verify","waiting_for":"another )"
                                        R"(bundle","last_error":"its signer is revoked"})"}}});
    add("worker-1", port_of(refused));
    EXPECT_EQ(shown(1), "worker-1 refused at verify: its signer is revoked; it needs another bundle\n");
}

TEST_F(WatchCommand, SucceedsOnlyIfAllHaveJoined) {
    const HttpServer joined({{"/status.json", {.body = status_of("worker-1", "joined")}}});
    const HttpServer waiting({{"/status.json", {.body = status_of("worker-2", "waiting")}}});
    add("worker-1", port_of(joined));
    (void)shown(0);
    add("worker-2", port_of(waiting));
    (void)shown(1);
}

TEST_F(WatchCommand, ANodeUnderAnothersAddressIsNotTakenForIt) {
    const HttpServer wrong({{"/status.json", {.body = status_of("worker-9", "joined")}}});
    add("worker-1", port_of(wrong));
    EXPECT_EQ(shown(1), "worker-1 not reached: another node answers: worker-9\n");
}

TEST_F(WatchCommand, WhatIsNoStatusIsNoFaultOfOurs) {
    for (const char* const body : {"", "[]", "{", "\"joined\"", "{\"node\":1,\"state\":[],\"epoch\":\"x\"}", "\xff"}) {
        const HttpServer odd({{"/status.json", {.body = body}}});
        profile_.nodes.clear();
        add("worker-1", port_of(odd));
        EXPECT_THAT(shown(1), StartsWith("worker-1 ")) << body;
    }
}

/// An output that has had enough after some lines.
class FullAfter : public std::stringbuf {
  public:
    explicit FullAfter(int flushes) : flushes_(flushes) {}

  protected:
    int sync() override { return --flushes_ > 0 ? 0 : -1; }

  private:
    int flushes_;
};

TEST_F(WatchCommand, GoesOnUntilItsReaderIsGoneAndRepeatsNothing) {
    const HttpServer waiting({{"/status.json", {.body = status_of("worker-1", "waiting")}}});
    add("worker-1", port_of(waiting));
    options_.once = false;
    options_.interval = 0.01;
    FullAfter buffer(5);
    std::ostream out(&buffer);
    EXPECT_EQ(watch(profile_, options_, out, false), 0);
    EXPECT_EQ(waiting.asked().size(), 5U);
    EXPECT_EQ(buffer.str(), "worker-1 waiting at network: the network cable of eth0\n");
}

}  // namespace
}  // namespace makina
