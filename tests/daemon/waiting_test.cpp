#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "firstboot/journal.hpp"
#include "firstboot/node/node.hpp"
#include "firstboot/run.hpp"
#include "tests/daemon/scene.hpp"

namespace makina {
namespace {

using namespace makina::test;

constexpr std::int64_t seven_days = 7 * a_day;

/// systemctl where every unit that does not run fails to start.
Answer starts_nothing(FakeHost& host, const std::vector<std::string>& argv) {
    const bool active = argv.at(1) == "is-active" && host.has("/run/active/" + argv.back());
    return {active ? 0 : 3, "", ""};
}

TEST(Waiting, SevenDaysWithoutNetworkIsQuiet) {
    for (const std::string& role : roles()) {
        FakeMachine machine = new_machine(role);
        machine.interfaces[0].carrier = false;
        const auto host = host_of(machine, role);
        host->world = nullptr;
        host->stop_at = seven_days;
        EXPECT_EQ(run(*host, {}), Ending::stopped);
        EXPECT_GE(machine.uptime, seven_days);
        // A line an hour, and what was done before.
        EXPECT_LE(host->lines.size(), 200U);
        EXPECT_GE(std::count(host->lines.begin(), host->lines.end(), "network: waiting for the network cable of eth0"),
                  7 * 24 - 4);
        EXPECT_LE(host->changes.size(), 30U) << "the card wears out";
        EXPECT_LT(host->text(std::string(Journal::path)).size(), 4096U);
        EXPECT_EQ(host->statuses.back().state, "waiting");
        EXPECT_EQ(host->statuses.back().stage, "network");
        EXPECT_EQ(host->statuses.back().waiting_for, "the network cable of eth0");
        EXPECT_GT(host->statuses.back().uptime - host->statuses.back().since_uptime, seven_days - 600);
        EXPECT_EQ(host->lights.back(), Light::waiting);
    }
}

TEST(Waiting, SevenDaysOfFaultsIsQuietToo) {
    FakeMachine machine = new_machine("worker");
    const auto host = host_of(machine, "worker");
    std::uint64_t times = 0;
    host->programs["networkctl"] = [&times](FakeHost&, const std::vector<std::string>&) {
        ++times;
        return Answer{1, "", times % 2 == 0 ? "first line\nno bus\n" : "\x1b[31m no link\xff"};
    };
    host->stop_at = seven_days;
    EXPECT_EQ(run(*host, {}), Ending::stopped);
    EXPECT_GT(times, 9000U);
    EXPECT_LE(host->lines.size(), 400U);
    EXPECT_LE(std::count_if(host->changes.begin(), host->changes.end(),
                            [](const std::string& change) {
                                return change.rfind("write ", 0) == 0 && change != "write /var/lib/makina/clock";
                            }),
              20)
        << "the card wears out";
    EXPECT_EQ(host->statuses.back().state, "failed");
    EXPECT_EQ(host->lights.back(), Light::failed);
    EXPECT_THAT(host->lines, testing::Contains("network: networkctl reconfigure eth0: no bus; it is tried again"));
    for (const std::string& line : host->lines) {
        EXPECT_TRUE(std::all_of(line.begin(), line.end(), [](char c) { return c >= ' ' && c <= '~'; })) << line;
    }
}

TEST(Waiting, PausesLongerAtTheSameStageAndShorterAtTheNext) {
    FakeMachine machine = new_machine("load-balancer");
    machine.interfaces[0].carrier = false;
    const auto host = host_of(machine, "load-balancer");
    host->programs["systemctl"] = starts_nothing;
    std::vector<std::int64_t> pauses;
    std::int64_t before = machine.uptime;
    host->world = [&](FakeHost& one) {
        pauses.push_back(one.machine.uptime - before);
        before = one.machine.uptime;
        one.machine.interfaces[0].carrier = pauses.size() >= 8;
        one.machine.moment = {issued + a_day, true};
    };
    RunOptions options;
    options.most_rounds = 10;
    EXPECT_EQ(run(*host, options), Ending::stopped);
    EXPECT_EQ(host->statuses.back().stage, "join");
    EXPECT_EQ(pauses, (std::vector<std::int64_t>{2, 4, 8, 16, 32, 60, 60, 60, 2}));
}

TEST(Waiting, IsOverWhenTheCableComes) {
    FakeMachine machine = new_machine("gateway");
    machine.interfaces[0].carrier = false;
    const auto host = host_of(machine, "gateway");
    const auto world = host->world;
    host->world = [&](FakeHost& one) {
        one.machine.interfaces[0].carrier = one.machine.uptime > 300;
        world(one);
    };
    run_to_end(*host);
    EXPECT_THAT(host->lines, testing::Contains("network: done"));
    EXPECT_EQ(host->states, (std::set<std::string>{"starting", "working", "waiting", "joined"}));
}

TEST(Waiting, GoesBackToTheNetworkWhenItsAddressIsLost) {
    for (const bool joined : {false, true}) {
        const std::string role = joined ? "gateway" : "etcd";
        FakeMachine machine = new_machine(role);
        const auto host = host_of(machine, role);
        if (!joined) host->network = [](FakeHost&, const Request&) { return Response{}; };
        const auto world = host->world;
        host->world = [&](FakeHost& one) {
            world(one);
            // Another card of the node is plugged in, networkd gives the address up, and somebody pulls the card.
            const std::int64_t now = one.machine.uptime;
            if (now < 300 || now > 1500) one.machine.neighbours.clear();
            if (now < 300 || now > 1000 || !one.machine.neighbours.empty()) return;
            one.machine.neighbours["192.168.3.251"] = "dc:a6:32:99:99:99";
            one.machine.interfaces[0].addresses.clear();
        };
        host->stop_at = 3000;
        EXPECT_EQ(run(*host, {}), Ending::stopped);
        EXPECT_THAT(host->lines, testing::Contains("network: waiting for 192.168.3.251 is in use by dc:a6:32:99:99:99: "
                                                   "two cards of the same node?"));
        const auto lost = std::ranges::find_if(host->statuses, [](const Status& status) {
            return status.state == "waiting" && status.stage == "network" && status.uptime > 300;
        });
        ASSERT_NE(lost, host->statuses.end());
        EXPECT_EQ(machine.interfaces[0].addresses, std::vector<std::string>{"192.168.3.251/24"});
        EXPECT_EQ(host->statuses.back().state, joined ? "joined" : "waiting");
        EXPECT_EQ(host->statuses.back().stage, joined ? "" : "join");
        EXPECT_TRUE(std::ranges::all_of(host->statuses.back().steps, [&](const Status::Step& step) {
            return step.done || (!joined && (step.name == "join" || step.name == "seal"));
        }));
    }
}

TEST(Waiting, EndsWhenItIsAskedTo) {
    FakeMachine machine = new_machine("worker");
    const auto host = host_of(machine, "worker");
    host->stop_at = 30;
    EXPECT_EQ(run(*host, {}), Ending::stopped);
    FakeMachine joined = new_machine("gateway");
    run_to_end(*host_of(joined, "gateway"));
    const auto staying = host_of(joined, "gateway");
    staying->stop_at = joined.uptime + 1;
    EXPECT_EQ(run(*staying, {}), Ending::stopped);
    EXPECT_EQ(staying->statuses.back().state, "joined");
}

TEST(Waiting, TellsWhatAPersonHasToDo) {
    const std::vector<std::pair<std::string, std::string>> words = {
        {"worker",
         "an API server of the cluster: 192.168.3.240:9000 (no route to host), 192.168.3.252:6443 (no route to host)"},
        {"load-balancer", "haproxy to run; systemctl status haproxy tells why it does not"},
        {"gateway", "the firewall's rules; systemctl status nftables tells why there are none"}};
    for (const auto& [role, expected] : words) {
        FakeMachine machine = new_machine(role);
        const auto host = host_of(machine, role);
        host->world = nullptr;
        host->programs["systemctl"] = starts_nothing;
        host->network = nullptr;
        RunOptions options;
        options.most_rounds = 5;
        EXPECT_EQ(run(*host, options), Ending::stopped);
        EXPECT_EQ(host->statuses.back().stage, "join");
        EXPECT_EQ(host->statuses.back().waiting_for, expected);
        EXPECT_THAT(host->lines, testing::Contains("join: waiting for " + expected));
    }
}

TEST(Waiting, ALoadBalancerNeedsBothOfItsPrograms) {
    FakeMachine machine = new_machine("load-balancer");
    const auto host = host_of(machine, "load-balancer");
    host->world = nullptr;
    host->put("/run/active/haproxy", "");
    RunOptions options;
    options.most_rounds = 3;
    EXPECT_EQ(run(*host, options), Ending::stopped);
    EXPECT_EQ(host->statuses.back().waiting_for,
              "keepalived to run; systemctl status keepalived tells why it does not");
    EXPECT_FALSE(host->has(kept::joined));
}

/// What a gateway waits for whose image shares an address, hands over connections and answers names.
std::string gateway_waits_for(FakeMachine& machine) {
    const auto host = host_of(machine, "gateway");
    host->world = nullptr;
    host->programs["systemctl"] = starts_nothing;
    RunOptions options;
    options.most_rounds = 3;
    EXPECT_EQ(run(*host, options), Ending::stopped);
    EXPECT_FALSE(host->has(kept::joined));
    return host->statuses.back().waiting_for;
}

TEST(Waiting, AGatewayHasJoinedWhenItReallyIsOne) {
    FakeMachine machine = new_machine("gateway");
    const auto host = host_of(machine, "gateway");
    const std::string units = "/etc/systemd/system/";
    EXPECT_EQ(gateway_waits_for(machine), "the firewall's rules; systemctl status nftables tells why there are none");
    host->put("/run/active/nftables", "");
    host->put("/etc/sysctl.d/90-makina.conf", "kernel.panic = 10\n");
    host->put("/proc/sys/net/ipv4/ip_forward", "0\n");
    EXPECT_EQ(gateway_waits_for(machine), "the kernel to pass packets on, which nftables switches on");
    host->put("/proc/sys/net/ipv4/ip_forward", "1\n");
    host->put(units + "makina-dnsmasq.service", "");
    EXPECT_EQ(gateway_waits_for(machine),
              "makina-dnsmasq to run; systemctl status makina-dnsmasq tells why it does not");
    // Where gateways share an address, only the one that has it answers.
    host->put(units + "keepalived.service.d/makina.conf", "");
    host->put(units + "conntrackd.service.d/makina.conf", "");
    EXPECT_EQ(gateway_waits_for(machine), "conntrackd to run; systemctl status conntrackd tells why it does not");
    host->put("/run/active/conntrackd", "");
    EXPECT_EQ(gateway_waits_for(machine), "keepalived to run; systemctl status keepalived tells why it does not");
    host->put("/run/active/keepalived", "");
    run_to_end(*host);
}

TEST(Waiting, AGatewayStartsWhatNothingHasStarted) {
    FakeMachine machine = new_machine("gateway");
    const auto host = host_of(machine, "gateway");
    host->world = nullptr;
    host->put("/etc/systemd/system/makina-dnsmasq.service", "");
    host->programs["systemctl"] = [](FakeHost& one, const std::vector<std::string>& argv) {
        if (argv.at(1) == "is-active") return Answer{one.has("/run/active/" + argv.at(2)) ? 0 : 3, "", ""};
        one.put("/run/active/" + argv.at(2), "");
        one.put("/proc/sys/net/ipv4/ip_forward", "1\n");
        return Answer{};
    };
    run_to_end(*host);
    EXPECT_THAT(host->changes, testing::Contains("run systemctl restart nftables"));
    EXPECT_THAT(host->changes, testing::Contains("run systemctl start makina-dnsmasq"));
}

TEST(Waiting, AKubeletThatDoesNotRunHasNotJoined) {
    FakeMachine machine = new_machine("worker");
    const auto host = host_of(machine, "worker");
    host->world = nullptr;
    host->programs["systemctl"] = starts_nothing;
    host->put("/etc/kubernetes/kubelet.conf", "kind: Config\n");
    host->put("/var/lib/kubelet/config.yaml", "kind: KubeletConfiguration\n");
    RunOptions options;
    options.most_rounds = 3;
    EXPECT_EQ(run(*host, options), Ending::stopped);
    EXPECT_EQ(host->statuses.back().waiting_for, "kubelet to run; systemctl status kubelet tells why it does not");
    EXPECT_FALSE(host->has(kept::joined));
}

}  // namespace
}  // namespace makina
