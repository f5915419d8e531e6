#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <functional>

#include "tests/gateway/border.hpp"
#include "tests/gateway/suite.hpp"
#include "tests/gateway/vrrp.hpp"
#include "tests/unit/figures.hpp"

namespace makina::border {
namespace {

using testing::Optional;

constexpr const char* home_address = "192.168.1.1";
constexpr const char* shared_uplink = "192.168.1.9";
constexpr double longest_silence = 4;

/// Something that takes the shared address from its holder, and how it is mended.
struct Cut {
    std::string name;
    std::function<void(Border&, const std::string&)> happens, is_mended;
};

void kill_keepalived(Border& border, const std::string& gateway) {
    (void)border.gateway(gateway).run({"pkill", "-KILL", "-x", "keepalived"});
}

std::vector<Cut> cuts() {
    const auto nothing = [](Border&, const std::string&) {};
    std::vector<Cut> all = {
        {"the plug is pulled", [](Border& border, const std::string& holder) { border.pull_plug(holder); },
         [](Border& border, const std::string& holder) { border.boot(holder); }},
        {"the uplink's cable is pulled", [](Border& border, const std::string& holder) { border.home_net.cut(holder); },
         [](Border& border, const std::string& holder) { border.home_net.heal(holder); }},
        {"the inside's cable is pulled",
         [](Border& border, const std::string& holder) { border.inside_net.cut(holder); },
         [](Border& border, const std::string& holder) { border.inside_net.heal(holder); }},
        {"keepalived is killed", kill_keepalived, nothing},
        {"keepalived is stopped",
         [](Border& border, const std::string& holder) {
             border.gateway(holder).run_checked({"systemctl", "stop", "keepalived"});
         },
         [](Border& border, const std::string& holder) {
             border.gateway(holder).run_checked({"systemctl", "start", "keepalived"});
         }},
    };
    if (!figures::long_form()) all.pop_back();
    return all;
}

/// Two gateways for all tests, both well at the beginning of each.
class TwoGateways : public testing::Test {
  protected:
    static void SetUpTestSuite() {
        if (!why_not().empty()) return;
        border = std::make_unique<Border>(two_gateways(), "pair");
        at_home = std::make_unique<Server>(border->home, 80);
        in_cluster = std::make_unique<Server>(border->worker_1, 30443, Server::Manner::talks);
    }
    static void TearDownTestSuite() {
        in_cluster.reset();
        at_home.reset();
        border.reset();
    }
    void SetUp() override {
        if (const std::string reason = why_not(); !reason.empty()) GTEST_SKIP() << reason;
        for (const char* const name : names) {
            if (!border->gateway(name).is_on()) border->boot(name);
            for (const char* const unit : {"conntrackd", "keepalived"}) {
                border->gateway(name).run_checked({"systemctl", "start", unit});
            }
        }
        ASSERT_TRUE(lab::becomes_true(15, are_well)) << "nobody is the gateway";
    }
    /// One has the address, both do what they should, and the cluster reaches home.
    [[nodiscard]] static bool are_well() {
        return !border->holder().empty() && ask(border->worker_1, {home_address, 80}) &&
               std::ranges::all_of(names, [](const char* name) {
                   return border->gateway(name).run({"systemctl", "is-active", "keepalived", "conntrackd"}).status == 0;
               });
    }
    /// The other one has the address, and those who ask are answered again.
    static void expect_taken_over(const Prober& prober, const std::string& from, double since) {
        const auto is_over = [&] { return border->holder() == border->other(from) && prober.is_well(since, 5); };
        EXPECT_TRUE(lab::becomes_true(longest_silence + 6, is_over)) << "nobody has taken over from " << from;
    }

    static constexpr std::array names = {"gateway-1", "gateway-2"};
    static inline std::unique_ptr<Border> border;
    static inline std::unique_ptr<Server> at_home, in_cluster;
};

TEST_F(TwoGateways, AreOneForBothSides) {
    EXPECT_THAT(ask(border->worker_1, {home_address, 80}), Optional(std::string(shared_uplink)));
    EXPECT_THAT(ask(border->home, {shared_uplink, 443}), Optional(std::string(home_address)));
    EXPECT_THAT(ask(border->worker_2, {shared_uplink, 443}), testing::Ne(std::nullopt));
    // Each is there under its own address, and only as far as the profile says.
    for (const auto& [name, uplink] : {std::pair("gateway-1", "192.168.1.21"), {"gateway-2", "192.168.1.22"}}) {
        const Server ssh(border->gateway(name), 22);
        EXPECT_TRUE(ask(border->home, {uplink, 22})) << name;
        EXPECT_EQ(ask(border->home, {uplink, 6480}, 0.3), std::nullopt) << name;
    }
    EXPECT_TRUE(border->stays(border->holder(), 2));
}

TEST_F(TwoGateways, ListenToEachOtherOnly) {
    const std::string holder = border->holder();
    const lab::Machine& backup = border->gateway(border->other(holder));
    const std::map<std::string, std::string> addresses = {{"gateway-1", "192.168.3.2"}, {"gateway-2", "192.168.3.3"}};
    std::thread stranger([&] {
        for (int i = 0; i < 8; ++i) {
            send_vrrp(border->worker_2, addresses.at(backup.name()));
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
        }
    });
    EXPECT_EQ(heard_vrrp(backup, 1.2), std::set<std::string>{addresses.at(holder)});
    stranger.join();
    // The file is not secret, and has no secret.
    EXPECT_EQ(backup.run({"grep", "-i", "auth", "/etc/keepalived/keepalived.conf"}).status, 1);
}

TEST_F(TwoGateways, TakeOverWithinFourSecondsAndKeepWhatIsOpen) {
    const Prober prober(border->worker_2, {home_address, 80});
    const auto outward = std::make_unique<Transfer>(border->worker_1, Place{home_address, 80}, Server::Manner::repeats);
    const auto inward = std::make_unique<Transfer>(border->home, Place{shared_uplink, 443}, Server::Manner::talks);
    const int rounds = figures::long_form() ? 10 : 1;
    for (int round = 0; round < rounds; ++round) {
        for (const Cut& cut : cuts()) {
            SCOPED_TRACE(cut.name);
            ASSERT_TRUE(lab::becomes_true(10, are_well));
            ASSERT_TRUE(outward->goes_on(5) && inward->goes_on(5));
            const std::string holder = border->holder();
            const double begin = lab::steady_seconds();
            cut.happens(*border, holder);
            expect_taken_over(prober, holder, begin);
            const double silence = prober.longest_silence(begin);
            EXPECT_LE(silence, longest_silence);
            const bool kept = outward->goes_on(8) && inward->goes_on(8);
            EXPECT_TRUE(kept) << outward->is_broken() << inward->is_broken();
            cut.is_mended(*border, holder);
            EXPECT_TRUE(border->stays(border->other(holder), 1.5)) << "it went back";
            figures::count("gateway_cuts");
            figures::count("tcp_kept", kept ? 1 : 0);
            figures::measure("gateway_failover", silence, "p50");
            figures::largest("gateway_double_owner_s", border->double_seconds(begin));
        }
    }
}

TEST_F(TwoGateways, AlwaysHaveAHolderWhoAlsoAnswersNames) {
    const auto answers_names = [&] {
        const std::vector<std::string> question = {"timeout", "1", "busybox", "nslookup", "worker-2", "192.168.3.1"};
        return border->worker_1.run(question).output.find("192.168.3.12") != std::string::npos;
    };
    const auto serves = [&](const std::string& name) {
        return border->gateway(name).run({"systemctl", "is-active", "makina-dnsmasq"}).status == 0;
    };
    const auto serves_alone = [&] {
        const std::string holder = border->holder();
        return !holder.empty() && serves(holder) && !serves(border->other(holder));
    };
    EXPECT_TRUE(lab::becomes_true(5, [&] { return serves_alone() && answers_names(); }));
    // Home has gone; the cluster has not.
    for (const char* const name : names) border->home_net.cut(name);
    ASSERT_TRUE(lab::becomes_true(6, [&] { return border->stays(border->holder(), 2); })) << "nobody is the gateway";
    EXPECT_TRUE(answers_names());
    // One reaches home again, and it is the other one.
    const std::string chosen = border->other(border->holder());
    border->home_net.heal(chosen);
    EXPECT_TRUE(lab::becomes_true(15, [&] { return border->holder() == chosen; }));
    EXPECT_TRUE(lab::becomes_true(3, [&] { return serves_alone() && answers_names(); }));
    border->home_net.heal(border->other(chosen));
    // What somebody else has taken away comes back.
    border->gateway(chosen).run_checked({"ip", "address", "delete", "192.168.1.9/32", "dev", "eth0"});
    border->home.run_checked({"ip", "neighbour", "flush", "all"});
    EXPECT_TRUE(lab::becomes_true(4, [&] { return ask(border->home, {shared_uplink, 443}).has_value(); }));
    border->gateway(chosen).run_checked({"ip", "address", "delete", "192.168.3.1/32", "dev", "eth1"});
    EXPECT_TRUE(lab::becomes_true(4, [&] { return border->stays(border->holder(), 1); }));
}

TEST(TwoPlainGateways, EachPassOnUnderTheirOwnAddress) {
    if (const std::string reason = why_not(); !reason.empty()) GTEST_SKIP() << reason;
    Border border(two_plain_gateways(), "plain");
    const Server at_home(border.home, 80);
    for (const char* const name : {"gateway-1", "gateway-2"}) border.boot(name);
    const std::map<std::string, std::string> uplinks = {{"gateway-1", "192.168.1.21"}, {"gateway-2", "192.168.1.22"}};
    const auto passed_on_by = [&](const std::string& name) {
        return !name.empty() && ask(border.worker_1, {home_address, 80}) == uplinks.at(name);
    };
    ASSERT_TRUE(lab::becomes_true(10, [&] { return passed_on_by(border.holder()); }));
    const Prober prober(border.worker_2, {home_address, 80});
    const std::string holder = border.holder();
    const double begin = lab::steady_seconds();
    border.pull_plug(holder);
    EXPECT_TRUE(lab::becomes_true(longest_silence, [&] { return passed_on_by(border.other(holder)); }));
    EXPECT_TRUE(lab::becomes_true(1, [&] { return prober.is_well(begin, 5); }));
    EXPECT_LE(prober.longest_silence(begin), longest_silence);
}

/// What takes longer than it tells, for the long form.
struct Story {
    std::string name;
    void (*tell)(Border& border);
};

void lose_each_other(Border& border) {
    // A part of the network has failed in which both still serve somebody.
    for (const std::string isolated : {"on", "off"}) {
        for (const char* const name : {"gateway-1", "gateway-2"}) {
            border.inside_net.run({"bridge", "link", "set", "dev", name, "isolated", isolated});
        }
        const std::size_t expected = isolated == "on" ? 2 : 1;
        EXPECT_TRUE(lab::becomes_true(4, [&] { return border.holders().size() == expected; })) << isolated;
    }
    EXPECT_TRUE(border.stays(border.holder(), 3));
    EXPECT_TRUE(ask(border.worker_1, {home_address, 80}));
}

void lose_home_behind_a_live_cable(Border& border) {
    for (const std::string ignores_pings : {"0", "1"}) {
        border.home.run_checked({"sysctl", "--quiet", "--write", "net.ipv4.icmp_echo_ignore_all=" + ignores_pings});
        EXPECT_TRUE(border.stays(border.holder(), 5)) << "a router that answers no pings is there all the same";
        const std::string holder = border.holder();
        border.home_net.run({"ip", "link", "set", holder, "nomaster"});
        EXPECT_TRUE(lab::becomes_true(20, [&] { return border.holder() == border.other(holder); }));
        border.home_net.run({"ip", "link", "set", holder, "master", "bridge"});
        EXPECT_TRUE(border.stays(border.other(holder), 9));
    }
    border.home.run_checked({"sysctl", "--quiet", "--write", "net.ipv4.icmp_echo_ignore_all=0"});
}

void come_before_the_network(Border& border) {
    border.pull_plug("gateway-2");
    ASSERT_TRUE(lab::becomes_true(4, [&] { return border.holder() == "gateway-1"; }));
    border.boot("gateway-2", Border::Order::network_last);
    EXPECT_TRUE(border.stays("gateway-1", 4));
    border.pull_plug("gateway-1");
    EXPECT_TRUE(lab::becomes_true(4, [&] { return border.holder() == "gateway-2"; }));
    EXPECT_TRUE(lab::becomes_true(4, [&] { return ask(border.worker_1, {home_address, 80}).has_value(); }));
}

void lose_a_card(Border& border) {
    for (const bool at_once : {true, false}) {
        const std::string holder = border.holder();
        border.take_out_card(holder);
        if (at_once) border.put_in_card(holder);
        EXPECT_TRUE(lab::becomes_true(4, [&] { return border.holder() == border.other(holder); }));
        if (!at_once) border.put_in_card(holder);
        EXPECT_TRUE(border.stays(border.other(holder), 9));
        border.pull_plug(border.other(holder));
        EXPECT_TRUE(lab::becomes_true(4, [&] { return border.holder() == holder; })) << "it waits for its old card";
        border.boot(border.other(holder));
        EXPECT_TRUE(border.stays(holder, 6));
    }
}

void lose_each_others_connections(Border& border) {
    // That open connections go on elsewhere is conntrackd's doing: a node that goes on talking is not understood.
    for (const char* const name : {"gateway-1", "gateway-2"}) {
        border.gateway(name).run_checked({"systemctl", "stop", "conntrackd"});
    }
    const Prober prober(border.worker_2, {home_address, 80});
    const Transfer inward(border.home, {shared_uplink, 443}, Server::Manner::talks);
    ASSERT_TRUE(inward.goes_on(2));
    const double begin = lab::steady_seconds();
    border.pull_plug(border.holder());
    EXPECT_TRUE(lab::becomes_true(longest_silence + 6, [&] { return prober.is_well(begin, 5); }));
    EXPECT_LE(prober.longest_silence(begin), longest_silence);
    EXPECT_FALSE(inward.goes_on(3));
}

std::vector<Story> stories() {
    if (!figures::long_form()) return {};
    return {{"TheyLoseEachOther", lose_each_other},
            {"HomeIsGoneBehindALiveCable", lose_home_behind_a_live_cable},
            {"TheyComeBeforeTheNetwork", come_before_the_network},
            {"TheyLoseACard", lose_a_card},
            {"TheyLoseEachOthersConnections", lose_each_others_connections}};
}

class TwoGatewaysWhen : public TwoGateways, public testing::WithParamInterface<Story> {};

TEST_P(TwoGatewaysWhen, AreOneInTheEnd) {
    GetParam().tell(*border);
}

INSTANTIATE_TEST_SUITE_P(Long, TwoGatewaysWhen, testing::ValuesIn(stories()),
                         [](const auto& one) { return one.param.name; });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(TwoGatewaysWhen);

}  // namespace
}  // namespace makina::border
