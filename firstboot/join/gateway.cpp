#include "firstboot/join/gateway.hpp"

#include <string>
#include <vector>

#include "firstboot/join/unit.hpp"

namespace makina {
namespace {

constexpr std::size_t a_line = 4096;

/// The kernel has the chain that lets nothing through but what it names; the image's rules are loaded as a whole.
bool has_rules(Host& host) {
    const Answer answer = host.run({"nft", "list", "chain", "inet", "makina", "forward"}, 30);
    const auto says = [&](const char* words) { return answer.output.find(words) != std::string::npos; };
    return answer.status == 0 && says("hook forward") && says("policy drop");
}

bool forwards(Host& host) {
    return host.read("/proc/sys/net/ipv4/ip_forward", a_line) == "1\n";
}

/// What else runs, by what the image has for it.
std::vector<std::string> units(Host& host) {
    std::vector<std::string> names;
    const bool shared = host.look("/etc/systemd/system/keepalived.service.d/makina.conf").has_value();
    if (host.look("/etc/systemd/system/conntrackd.service.d/makina.conf")) names.emplace_back("conntrackd");
    if (shared) names.emplace_back("keepalived");
    // With a shared address, keepalived says where it runs.
    if (!shared && host.look("/etc/systemd/system/makina-dnsmasq.service")) names.emplace_back("makina-dnsmasq");
    return names;
}

}  // namespace

Outcome ask_gateway(Host& host, const Bundle&) {
    if (!has_rules(host)) return {false, "the firewall's rules; systemctl status nftables tells why there are none"};
    if (!forwards(host)) return {false, "the kernel to pass packets on, which nftables switches on"};
    for (const std::string& unit : units(host)) {
        Outcome outcome = running(host, unit);
        if (!outcome.done) return outcome;
    }
    return {true};
}

Outcome do_gateway(Host& host, const Bundle& bundle) {
    if (!has_rules(host) || !forwards(host)) (void)host.run({"systemctl", "restart", "nftables"}, 60);
    for (const std::string& unit : units(host)) {
        if (!running(host, unit).done) (void)host.run({"systemctl", "start", unit}, 60);
    }
    return ask_gateway(host, bundle);
}

}  // namespace makina
