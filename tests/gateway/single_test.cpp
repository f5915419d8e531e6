#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "tests/gateway/border.hpp"
#include "tests/gateway/suite.hpp"

namespace makina::border {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::Optional;

constexpr const char* gateway_1 = "gateway-1";
constexpr const char* home_address = "192.168.1.1";
constexpr const char* uplink_address = "192.168.1.21";
constexpr const char* inside_address = "192.168.3.1";

/// One gateway for all tests, with servers at home and in the cluster. Home knows the way to the cluster, and may not
/// use it. Each test leaves things as it found them.
class OneGateway : public testing::Test {
  protected:
    static void SetUpTestSuite() {
        if (!why_not().empty()) return;
        border = std::make_unique<Border>(one_gateway(), "single");
        border->boot(gateway_1);
        border->home.give("eth0", "192.168.1.77/24");
        border->home.run_checked({"ip", "route", "add", "192.168.3.0/24", "via", uplink_address});
        at_home = std::make_unique<Server>(border->home, 80);
        in_cluster = std::make_unique<Server>(border->worker_1, 30443);
    }
    static void TearDownTestSuite() {
        in_cluster.reset();
        at_home.reset();
        border.reset();
    }
    void SetUp() override {
        if (const std::string reason = why_not(); !reason.empty()) GTEST_SKIP() << reason;
    }
    [[nodiscard]] static lab::Machine& gateway() { return border->gateway(gateway_1); }
    [[nodiscard]] static bool cluster_reaches_home() { return ask(border->worker_1, {home_address, 80}).has_value(); }
    static void spoil_rules() {
        gateway().run_checked({"sed", "-i.good", "s/policy drop/policy drip/", "/etc/nftables.conf"});
    }
    static void mend_rules() { gateway().run_checked({"mv", "/etc/nftables.conf.good", "/etc/nftables.conf"}); }

    static inline std::unique_ptr<Border> border;
    static inline std::unique_ptr<Server> at_home, in_cluster;
};

TEST_F(OneGateway, LetsTheClusterOutUnderItsOwnAddress) {
    EXPECT_THAT(ask(border->worker_1, {home_address, 80}), Optional(std::string(uplink_address)));
    EXPECT_THAT(ask(border->worker_2, {home_address, 80}), Optional(std::string(uplink_address)));
    // ICMP too, and its answers.
    EXPECT_EQ(border->worker_1.run({"ping", "-c", "1", "-W", "1", home_address}).status, 0);
}

TEST_F(OneGateway, LetsNobodyIn) {
    const Server status(gateway(), 6480), ssh(gateway(), 22);
    const Server on_worker(border->worker_1, 22);
    const std::uint64_t before = in_cluster->clients();
    for (const Place& place : {Place{"192.168.3.11", 30443}, Place{"192.168.3.11", 22}, Place{inside_address, 6480},
                               Place{uplink_address, 6480}, Place{inside_address, 22}, Place{uplink_address, 30443}}) {
        EXPECT_EQ(ask(border->home, place, 0.3), std::nullopt) << place.address << " " << place.port;
    }
    EXPECT_NE(border->home.run({"ping", "-c", "1", "-W", "1", "192.168.3.11"}).status, 0);
    // Nor with an address of the cluster, which would pass for one of its own.
    border->home.run_checked({"ip", "address", "add", "192.168.3.200/32", "dev", "lo"});
    UdpServer names(border->worker_1, 5353);
    EXPECT_EQ(say(border->home, {uplink_address, 53}, "spoofed", "192.168.3.200", names), std::nullopt);
    EXPECT_THAT(say(border->home, {uplink_address, 53}, "hello", "", names),
                Optional(std::string("192.168.1.1 hello")));
    EXPECT_EQ(in_cluster->clients(), before);
    EXPECT_EQ(on_worker.clients() + status.clients() + ssh.clients(), 0U);
    border->home.run_checked({"ip", "address", "delete", "192.168.3.200/32", "dev", "lo"});
    // The gateway itself answers the cluster.
    EXPECT_TRUE(ask(border->worker_1, {inside_address, 6480}));
}

TEST_F(OneGateway, PassesOnWhatTheProfileForwardsAndOnlyThat) {
    // The node sees who asks.
    EXPECT_THAT(ask(border->home, {uplink_address, 443}), Optional(std::string(home_address)));
    const Server own(gateway(), 2222);
    EXPECT_THAT(ask(border->home, {uplink_address, 22}), Optional(std::string(home_address)));
    EXPECT_THAT(ask(border->home, {uplink_address, 8443}, 1, "192.168.1.77"), Optional(std::string("192.168.1.77")));
    EXPECT_EQ(ask(border->home, {uplink_address, 8443}, 0.3, home_address), std::nullopt);
    EXPECT_EQ(ask(border->home, {uplink_address, 444}, 0.3), std::nullopt);
    // What only passes by is not caught on the way.
    EXPECT_EQ(ask(border->home, {"192.168.3.12", 443}, 0.3), std::nullopt);
}

TEST_F(OneGateway, LeadsToTheSamePlaceFromInside) {
    EXPECT_THAT(ask(border->worker_2, {uplink_address, 443}), Optional(std::string(inside_address)));
    EXPECT_THAT(ask(border->worker_1, {uplink_address, 443}), Optional(std::string(inside_address)));
}

TEST_F(OneGateway, TellsTheClusterHowLargePacketsMayBe) {
    // Behind home's router is a line for small packets only; it says so, and the gateway must pass that on.
    lab::Machine internet("internet", lab::workshop() / "single-internet");
    internet.power_on();
    const lab::Switch line;
    internet.plug(line, "eth0");
    border->home.plug(line, "eth1", "home-line");
    internet.give("eth0", "203.0.113.2/24");
    border->home.give("eth1", "203.0.113.1/24");
    border->home.run_checked({"ip", "link", "set", "eth1", "mtu", "1200"});
    border->home.run_checked({"sysctl", "--quiet", "--write", "net.ipv4.ip_forward=1"});
    internet.run_checked({"ip", "route", "add", "default", "via", "203.0.113.1"});
    const Server server(internet, 80);
    const Result large =
        border->worker_1.run({"ping", "-c", "3", "-i", "0.2", "-W", "1", "-M", "do", "-s", "1400", "203.0.113.2"});
    EXPECT_THAT(large.output + large.errors, HasSubstr("1200"));
    EXPECT_THAT(border->worker_1.run_checked({"ip", "route", "get", "203.0.113.2"}), HasSubstr("mtu 1200"));
    EXPECT_TRUE(Transfer(border->worker_1, {"203.0.113.2", 80}, Server::Manner::repeats).goes_on(2));
}

TEST_F(OneGateway, KeepsIPv6OutsideAlsoIfItIsPassedOn) {
    gateway().run_checked({"sysctl", "--quiet", "--write", "net.ipv6.conf.all.forwarding=1"});
    gateway().run_checked({"ip", "address", "add", "fd00:1::21/64", "dev", "eth0", "nodad"});
    gateway().run_checked({"ip", "address", "add", "fd00:3::1/64", "dev", "eth1", "nodad"});
    border->home.run_checked({"ip", "address", "add", "fd00:1::1/64", "dev", "eth0", "nodad"});
    border->home.run_checked({"ip", "route", "add", "fd00:3::/64", "via", "fd00:1::21"});
    border->worker_1.run_checked({"ip", "address", "add", "fd00:3::11/64", "dev", "eth0", "nodad"});
    border->worker_1.run_checked({"ip", "route", "add", "fd00:1::/64", "via", "fd00:3::1"});
    EXPECT_EQ(ask(border->worker_1, {"fd00:1::1", 80}, 0.3), std::nullopt);
    EXPECT_EQ(ask(border->home, {"fd00:3::11", 30443}, 0.3), std::nullopt);
    EXPECT_TRUE(cluster_reaches_home());
    for (lab::Machine* const machine : {&border->home, &border->worker_1, &gateway()}) {
        machine->run_checked({"ip", "-6", "address", "flush", "scope", "global"});
    }
}

TEST_F(OneGateway, ReplacesItsRulesAllAtOnceAndNoOthers) {
    gateway().run_checked({"nft", "add", "table", "inet", "somebody"});
    const Transfer open(border->worker_1, {home_address, 80}, Server::Manner::repeats);
    gateway().run_checked({"systemctl", "reload", "nftables"});
    EXPECT_TRUE(open.goes_on(3));
    EXPECT_THAT(gateway().run_checked({"nft", "list", "tables"}), HasSubstr("table inet somebody\n"));
    // A mistake in the file changes nothing.
    const std::string before = gateway().run_checked({"nft", "list", "ruleset"});
    spoil_rules();
    EXPECT_NE(gateway().run({"systemctl", "reload", "nftables"}).status, 0);
    EXPECT_EQ(gateway().run_checked({"nft", "list", "ruleset"}), before);
    EXPECT_TRUE(open.goes_on(3));
    mend_rules();
}

TEST_F(OneGateway, PassesNothingOnWithoutItsRules) {
    const auto is_closed = [&] { return !cluster_reaches_home() && !ask(border->home, {"192.168.3.11", 30443}, 0.3); };
    gateway().run_checked({"systemctl", "stop", "nftables"});
    EXPECT_TRUE(is_closed());
    gateway().run_checked({"systemctl", "start", "nftables"});
    EXPECT_TRUE(cluster_reaches_home());
    // A node whose rules do not load.
    spoil_rules();
    border->pull_plug(gateway_1);
    border->boot(gateway_1);
    EXPECT_TRUE(is_closed());
    mend_rules();
    gateway().run_checked({"systemctl", "start", "nftables"});
    EXPECT_TRUE(cluster_reaches_home());
}

TEST_F(OneGateway, GivesAddressesAndNamesOnTheInsideOnly) {
    lab::Machine guest("guest", lab::workshop() / "single-guest");
    guest.install("/lease", "#!/bin/sh\n[ \"$1\" != bound ] || echo $ip $subnet $router $dns > /tmp/$interface\n",
                  0755);
    guest.power_on();
    guest.plug(border->home_net, "eth0");
    guest.plug(border->inside_net, "eth1");
    // dnsmasq asks the network for three seconds whether an address is free, before it gives it away.
    const auto asks = [&](const std::string& interface) {
        return guest.run(
            {"busybox", "udhcpc", "-i", interface, "-n", "-q", "-f", "-t", "3", "-T", "2", "-s", "/lease"});
    };
    auto at_home_too = std::async(std::launch::async, asks, "eth0");
    const Result inside = asks("eth1");
    EXPECT_NE(at_home_too.get().status, 0) << "an address was given away to home";
    ASSERT_EQ(inside.status, 0) << inside.errors;
    EXPECT_THAT(guest.run_checked({"cat", "/tmp/eth1"}),
                testing::MatchesRegex("192\\.168\\.3\\.1[0-5][0-9] 255\\.255\\.255\\.0 192\\.168\\.3\\.1 "
                                      "192\\.168\\.3\\.1\n"));
    EXPECT_THAT(border->worker_1.run({"busybox", "nslookup", "worker-2", inside_address}).output,
                HasSubstr("192.168.3.12"));
    for (const std::string address : {uplink_address, inside_address}) {
        EXPECT_THAT(border->home.run({"timeout", "1", "busybox", "nslookup", "worker-2", address}).output,
                    Not(HasSubstr("192.168.3.12")));
    }
}

}  // namespace
}  // namespace makina::border
