#include <algorithm>
#include <optional>
#include <vector>

#include "firstboot/bundle/error.hpp"
#include "firstboot/node/node.hpp"
#include "firstboot/text.hpp"

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

/// What hinders this interface from having the address; empty if nothing does. Another machine is asked for only before
/// the address is there: networkd listens as long as it is (RFC 5227, 2.4), and takes it away if it must.
std::string hindrance(Host& host, const Interface& interface, const Bundle& bundle) {
    if (!interface.carrier) return "the network cable of " + interface.name;
    if (has_address(interface, bundle)) return {};
    const std::string address = without_length(bundle.address);
    const auto other = host.probe(interface.name, address);
    return other ? address + " is in use by " + *other + ": two cards of the same node?" : std::string();
}

/// What systemd-networkd is about with an interface, from the link's file as networkctl reads it (systemd's
/// sd-network).
struct Managed {
    bool configuring = false;
    std::string file;  ///< its settings
};

Managed managed(Host& host, const Interface& interface) {
    constexpr std::size_t largest = std::size_t{64} << 10;
    const auto index = host.read("/sys/class/net/" + interface.name + "/ifindex", 4096);  // sysfs says a page each
    if (!index) return {};
    Managed found;
    const std::string number = index->substr(0, index->find('\n'));
    const std::string state = host.read("/run/systemd/netif/links/" + number, largest).value_or("");
    for (const std::string_view line : lines_of(state)) {
        constexpr std::string_view file = "NETWORK_FILE=";
        if (line == "ADMIN_STATE=configuring") found.configuring = true;
        if (line.starts_with(file)) found.file = line.substr(file.size());
    }
    return found;
}

/// True if networkd's settings have the address. A person may have given the node another one.
bool gives(Host& host, const std::string& file, const std::string& address) {
    const std::string text = host.read(file, std::size_t{64} << 10).value_or("");
    const std::vector<std::string_view> lines = lines_of(text);
    return std::ranges::find(lines, "Address=" + address) != lines.end();
}

void networkctl(Host& host, std::vector<std::string> words) {
    words.insert(words.begin(), "networkctl");
    const Answer answer = host.run(words, 60);
    if (answer.status == 0) return;
    std::string command;
    for (const std::string& word : words) command += word + " ";
    command.back() = ':';
    throw Error(command + " " + last_line(answer.errors));
}

/// Sees to it that networkd is about to give the interface its address; what still hinders it, for people.
std::string begin(Host& host, const Interface& interface, const Bundle& bundle) {
    // Being told to begin again makes networkd ask the network from the start, for 4 to 7 seconds. One that is still at
    // it after a minute is not coming to an end.
    constexpr std::int64_t patience = 60;
    std::string missing = "the address " + bundle.address + " on " + interface.name;
    const Managed state = managed(host, interface);
    if (!state.file.empty() && !gives(host, state.file, bundle.address)) {
        // It reads its files anew; where they say the same as before, nothing changes.
        networkctl(host, {"reload"});
        return missing + ", which " + state.file + " does not give";
    }
    if (!state.configuring || host.uptime() > patience) networkctl(host, {"reconfigure", interface.name});
    return missing;
}

std::string no_interface(const Bundle& bundle) {
    return bundle.interface.empty() ? "a wired network interface" : "the network interface " + bundle.interface;
}

}  // namespace

Outcome ask_network(Host& host, const Bundle& bundle) {
    const auto interface = chosen(host, bundle);
    if (!interface) return {false, no_interface(bundle)};
    if (!interface->carrier) return {false, "the network cable of " + interface->name};
    if (!has_address(*interface, bundle)) return {false, "the address " + bundle.address + " on " + interface->name};
    return {true};
}

Outcome do_network(Host& host, const Bundle& bundle) {
    const auto interface = chosen(host, bundle);
    if (!interface) return {false, no_interface(bundle)};
    const std::string reason = hindrance(host, *interface, bundle);
    if (!reason.empty()) return {false, reason};
    if (has_address(*interface, bundle)) return {true};
    const std::string missing = begin(host, *interface, bundle);
    const Outcome outcome = ask_network(host, bundle);
    return outcome.done ? outcome : Outcome{false, missing};
}

}  // namespace makina
