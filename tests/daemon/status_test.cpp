#include "firstboot/status.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "firstboot/run.hpp"
#include "tests/daemon/scene.hpp"

namespace makina {
namespace {

using namespace makina::test;
using testing::HasSubstr;
using testing::Not;
using Json = nlohmann::json;

bool is_ascii(const std::string& text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c == '\n' || (c >= ' ' && c <= '~'); });
}

Status full() {
    Status status;
    status.version = "0.1.0";
    status.cluster = "lab";
    status.cluster_id = "00112233445566778899aabbccddeeff";
    status.node = "worker-1";
    status.role = "worker";
    status.card = "ffeeddccbbaa99887766554433221100";
    status.address = "192.168.3.251/24";
    status.epoch = 18446744073709551615U;
    status.expires = issued;
    status.state = "waiting";
    status.stage = "network";
    status.waiting_for = "the network cable of eth0";
    status.last_error = "network: networkctl: no bus";
    status.notice = "a notice";
    status.since = issued - 300;
    status.since_uptime = 700;
    status.now = issued;
    status.uptime = 1000;
    status.steps = {{"verify", true}, {"network", false}};
    return status;
}

TEST(Status, IsOneJsonObjectWithEveryMember) {
    const std::string text = to_json(full());
    EXPECT_TRUE(is_ascii(text));
    const Json json = Json::parse(text);
    EXPECT_EQ(json.size(), 20U);
    EXPECT_EQ(json["version"], "0.1.0");
    EXPECT_EQ(json["cluster"], "lab");
    EXPECT_EQ(json["cluster_id"], "00112233445566778899aabbccddeeff");
    EXPECT_EQ(json["node"], "worker-1");
    EXPECT_EQ(json["role"], "worker");
    EXPECT_EQ(json["card"], "ffeeddccbbaa99887766554433221100");
    EXPECT_EQ(json["address"], "192.168.3.251/24");
    EXPECT_EQ(json["epoch"], 18446744073709551615U);
    EXPECT_EQ(json["expires"], issued);
    EXPECT_EQ(json["state"], "waiting");
    EXPECT_EQ(json["stage"], "network");
    EXPECT_EQ(json["waiting_for"], "the network cable of eth0");
    EXPECT_EQ(json["last_error"], "network: networkctl: no bus");
    EXPECT_EQ(json["notice"], "a notice");
    EXPECT_EQ(json["since"], issued - 300);
    EXPECT_EQ(json["since_uptime"], 700);
    EXPECT_EQ(json["now"], issued);
    EXPECT_EQ(json["uptime"], 1000);
    EXPECT_EQ(json["clock_synced"], false);
    EXPECT_EQ(json["steps"], Json::parse(R"([{"name":"verify","done":true},{"name":"network","done":false}])"));
}

TEST(Status, EscapesEveryByte) {
    for (int value = 0; value < 256; ++value) {
        Status status = full();
        status.waiting_for = std::string("a") + static_cast<char>(value) + "b";
        const std::string json = to_json(status);
        EXPECT_TRUE(is_ascii(json)) << value;
        const std::string read = Json::parse(json)["waiting_for"];
        if (value < 128) {
            EXPECT_EQ(read, status.waiting_for);
        } else {
            EXPECT_EQ(read,
                      "a\xef\xbf\xbd"
                      "b");
        }
        EXPECT_TRUE(is_ascii(to_html(status))) << value;
    }
}

TEST(Status, IsAPageWithoutScriptsThatAsksForItselfAgain) {
    Status status = full();
    status.node = "<script>alert('1')</script>";
    status.state = "waiting\" onload=\"x";
    status.stage = "&<b>";
    status.waiting_for = "</td><img src=x>";
    status.last_error = "\"><script>";
    status.notice = "\x1b[31m'";
    status.steps = {{"<i>", false}};
    const std::string page = to_html(status);
    EXPECT_TRUE(is_ascii(page));
    EXPECT_THAT(page, Not(HasSubstr("<script")));
    EXPECT_THAT(page, Not(HasSubstr("<img")));
    EXPECT_THAT(page, Not(HasSubstr("<i>")));
    EXPECT_THAT(page, Not(HasSubstr("\" onload")));
    EXPECT_THAT(page, HasSubstr("http-equiv=\"refresh\""));
    EXPECT_THAT(page, HasSubstr("name=\"viewport\""));
    EXPECT_LT(page.size(), 4096U);
}

TEST(Status, PageTellsWhatAPersonWantsToKnow) {
    const std::string page = to_html(full());
    for (const char* const text : {"worker-1", "waiting", "at network", "since 5 min", "the network cable of eth0",
                                   "network: networkctl: no bus", "a notice", "192.168.3.251/24",
                                   "2026-09-21 14:13:20 UTC, not set by a time server yet", "verify: done"}) {
        EXPECT_THAT(page, HasSubstr(text));
    }
    EXPECT_THAT(to_html(Status{}), HasSubstr("a MAKINA node"));
}

TEST(Status, HoldsNoSecretAtAnyTime) {
    for (const std::string& role : roles()) {
        FakeMachine machine = new_machine(role);
        const auto host = host_of(machine, role);
        run_to_end(*host);
        for (const Status& status : host->statuses) {
            EXPECT_THAT(to_json(status), Not(HasSubstr("secret of")));
            EXPECT_THAT(to_html(status), Not(HasSubstr("secret of")));
        }
        for (const std::string& line : host->lines) EXPECT_THAT(line, Not(HasSubstr("secret of")));
        EXPECT_THAT(host->text("/var/lib/makina/journal"), Not(HasSubstr("secret of")));
    }
}

TEST(Status, FollowsTheRun) {
    FakeMachine machine = new_machine("gateway");
    const auto host = host_of(machine, "gateway");
    run_to_end(*host);
    const Status& last = host->statuses.back();
    EXPECT_EQ(host->statuses.front().state, "starting");
    EXPECT_EQ(host->statuses.front().node, "");
    EXPECT_EQ(last.state, "joined");
    EXPECT_EQ(last.node, "gateway-1");
    EXPECT_EQ(last.epoch, 1U);
    EXPECT_EQ(last.waiting_for, "");
    EXPECT_EQ(last.version, "0.1.0");
    ASSERT_EQ(last.steps.size(), 10U);
    for (const Status::Step& step : last.steps) EXPECT_TRUE(step.done) << step.name;
    EXPECT_EQ(host->lights.front(), Light::working);
    EXPECT_EQ(host->lights.back(), Light::joined);
    // The second time it is joined from the beginning.
    const auto again = host_of(machine, "gateway");
    run_to_end(*again);
    for (const Status::Step& step : again->statuses.back().steps) EXPECT_TRUE(step.done) << step.name;
}

TEST(Status, KeepsTheLastErrorWhenItIsOver) {
    FakeMachine machine = new_machine("gateway");
    const auto host = host_of(machine, "gateway");
    host->accident = Accident{Accident::Kind::fail_before, 4, false, "input/output error"};
    run_to_end(*host);
    EXPECT_EQ(host->statuses.back().state, "joined");
    EXPECT_EQ(host->statuses.back().last_error, "identity: write /etc/hostname: input/output error");
}

}  // namespace
}  // namespace makina
