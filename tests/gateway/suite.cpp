#include "tests/gateway/suite.hpp"

#include "builder/process.hpp"
#include "tests/lab/lab.hpp"
#include "tests/unit/clusters.hpp"

namespace makina::border {
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

}  // namespace makina::border
