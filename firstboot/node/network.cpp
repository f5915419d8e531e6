#include <algorithm>
#include <optional>

#include "firstboot/bundle/error.hpp"
#include "firstboot/node/node.hpp"
#include "firstboot/node/text.hpp"

namespace makina {
namespace {

/// The named interface; without a name the first wired one with a cable, else the first wired one.
std::optional<Interface> chosen(Host& host, const Bundle& bundle) {
    std::vector<Interface> all = host.interfaces();
    std::erase_if(all, [&](const Interface& one) {
        return bundle.interface.empty() ? one.name.rfind("wl", 0) == 0 : one.name != bundle.interface;
    });
    if (all.empty()) return std::nullopt;
    const auto plugged = std::find_if(all.begin(), all.end(), [](const Interface& one) { return one.carrier; });
    return plugged == all.end() ? all.front() : *plugged;
}

bool has_address(const Interface& interface, const Bundle& bundle) {
    return std::find(interface.addresses.begin(), interface.addresses.end(), bundle.address) !=
           interface.addresses.end();
}

std::string without_length(const std::string& address) {
    return address.substr(0, address.find('/'));
}

/// What hinders this interface from having the address; empty if nothing does. Asked also when it has it: the other
/// card of the same node may have been faster, or slower.
std::string hindrance(Host& host, const Interface& interface, const Bundle& bundle) {
    if (!interface.carrier) return "the network cable of " + interface.name;
    const std::string address = without_length(bundle.address);
    const auto other = host.probe(interface.name, address);
    return other ? address + " is in use by " + *other + ": two cards of the same node?" : std::string();
}

/// True while systemd-networkd is about to give the interface its address: it asks the network for some seconds who has
/// it (RFC 5227), and being told to begin again makes it ask from the start. The word is ADMIN_STATE in the link's
/// file, as networkctl reads it (systemd's sd-network). One that is still at it after a minute is not coming to an end.
bool is_configuring(Host& host, const Interface& interface) {
    constexpr std::int64_t patience = 60;
    const auto index = host.read("/sys/class/net/" + interface.name + "/ifindex", 4096);  // sysfs says a page each
    if (!index || host.uptime() > patience) return false;
    const std::string number = index->substr(0, index->find('\n'));
    const auto state = host.read("/run/systemd/netif/links/" + number, 64 << 10);
    return state && state->find("ADMIN_STATE=configuring\n") != std::string::npos;
}

std::string no_interface(const Bundle& bundle) {
    return bundle.interface.empty() ? "a wired network interface" : "the network interface " + bundle.interface;
}

}  // namespace

Outcome ask_network(Host& host, const Bundle& bundle) {
    const auto interface = chosen(host, bundle);
    if (!interface) return {false, no_interface(bundle)};
    if (!interface->carrier || has_address(*interface, bundle)) {
        const std::string reason = hindrance(host, *interface, bundle);
        return {reason.empty(), reason};
    }
    return {false, "the address " + bundle.address + " on " + interface->name};
}

Outcome do_network(Host& host, const Bundle& bundle) {
    const auto interface = chosen(host, bundle);
    if (!interface) return {false, no_interface(bundle)};
    const std::string reason = hindrance(host, *interface, bundle);
    if (!reason.empty()) return {false, reason};
    if (!has_address(*interface, bundle) && !is_configuring(host, *interface)) {
        const Answer answer = host.run({"networkctl", "reconfigure", interface->name}, 60);
        if (answer.status != 0)
            throw Error("networkctl reconfigure " + interface->name + ": " + last_line(answer.errors));
    }
    return ask_network(host, bundle);
}

}  // namespace makina
