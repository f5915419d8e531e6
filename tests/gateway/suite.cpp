#include "tests/gateway/suite.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "builder/process.hpp"
#include "tests/lab/lab.hpp"
#include "tests/unit/clusters.hpp"

namespace makina::border {
namespace {

class Figures final : public testing::Environment {
  public:
    void TearDown() override {
        if (failovers.empty()) return;
        std::vector<double> silences;
        double doubled = 0;
        std::size_t kept = 0;
        for (const Failover& failover : failovers) {
            silences.push_back(failover.silence);
            doubled = std::max(doubled, failover.doubled);
            kept += failover.kept ? 1 : 0;
        }
        std::ranges::sort(silences);
        std::printf(
            "figures: {\"gateway_cuts\":%zu,\"gateway_failover_p50_s\":%.2f,\"gateway_failover_max_s\":%.2f,"
            "\"gateway_double_owner_s\":%.3f,\"tcp_kept\":%zu}\n",
            failovers.size(), silences[silences.size() / 2], silences.back(), doubled, kept);
    }
    std::vector<Failover> failovers;
};

Figures* figures() {
    static auto* const figures = new Figures;
    return figures;
}

[[maybe_unused]] const testing::Environment* const registered = testing::AddGlobalTestEnvironment(figures());

}  // namespace

std::string why_not() {
    if (std::string reason = lab::why_not(); !reason.empty()) return reason;
    for (const auto& [program, package] : {std::pair("nft", "nftables"),
                                           {"keepalived", "keepalived"},
                                           {"conntrackd", "conntrackd"},
                                           {"conntrack", "conntrack"},
                                           {"dnsmasq", "dnsmasq-base"},
                                           {"ping", "iputils-ping"},
                                           {"busybox", "busybox"}}) {
        if (!have_program(program)) return std::string("needs ") + program + ": apt install " + package;
    }
    return "";
}

bool all_asked() {
    const char* const all = std::getenv("MAKINA_ALL");
    return all != nullptr && *all != '\0';
}

Profile one_gateway() {
    Profile profile = clusters::pair();
    profile.nodes.push_back(clusters::node("worker-2", Role::worker, "192.168.3.12"));
    Gateway& gateway = profile.gateway;
    gateway.forwards = {{"tcp", 443, clusters::address("192.168.3.11"), 30443},
                        {"udp", 53, clusters::address("192.168.3.11"), 5353},
                        {"tcp", 8443, clusters::address("192.168.3.11"), 30443, parse_subnet("192.168.1.77/32")},
                        {"tcp", 22, clusters::address("192.168.3.1"), 2222}};
    gateway.dns = true;
    gateway.dhcp = true;
    gateway.dhcp_first = clusters::address("192.168.3.100");
    gateway.dhcp_last = clusters::address("192.168.3.150");
    return profile;
}

Profile two_gateways() {
    Profile profile = clusters::two_gateways();
    profile.nodes.push_back(clusters::node("worker-2", Role::worker, "192.168.3.12"));
    return profile;
}

Profile two_plain_gateways() {
    Profile profile = two_gateways();
    Gateway plain;
    plain.vrid = profile.gateway.vrid;
    profile.gateway = plain;
    return profile;
}

void count(const Failover& failover) {
    figures()->failovers.push_back(failover);
}

}  // namespace makina::border
