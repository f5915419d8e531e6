#include "firstboot/node/take_address.hpp"

#include <fnmatch.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "firstboot/bundle/error.hpp"
#include "firstboot/text.hpp"

namespace makina {
namespace {

constexpr std::size_t largest = std::size_t{64} << 10;
/// Tenths of a second. The two ends of a cable agree on their speed within about 4 seconds.
constexpr int for_a_cable = 100;
constexpr int for_networkd = 300;  // milliseconds are enough for it, but not for an emulated one
constexpr int for_others = 10;

/// The value of the file's first line with this key; empty if there is none.
std::string value_of(std::string_view text, std::string_view key) {
    for (const std::string_view line : lines_of(text)) {
        if (line.starts_with(key)) return std::string(line.substr(key.size()));
    }
    return {};
}

/// The settings, but for the line that tells networkd to ask for itself.
std::string without_asking(std::string_view text) {
    std::string settings;
    for (const std::string_view line : lines_of(text)) {
        if (!line.starts_with("DuplicateAddressDetection=")) settings += std::string(line) + "\n";
    }
    return settings;
}

bool has_address(const Interface& interface, const std::string& address) {
    return std::ranges::find(interface.addresses, address) != interface.addresses.end();
}

/// The first interface with one of these names (patterns as in a shell) and a cable; waits for it.
std::optional<Interface> plugged(Host& host, const std::string& names) {
    for (int tenths = 0; tenths < for_a_cable; ++tenths) {
        for (const Interface& one : host.interfaces()) {
            const auto is_meant = [&](std::string_view pattern) {
                return fnmatch(std::string(pattern).c_str(), one.name.c_str(), 0) == 0;
            };
            if (one.carrier && std::ranges::any_of(words_of(names), is_meant)) return one;
        }
        host.pause();
    }
    return std::nullopt;
}

void reload_networkd(Host& host) {
    if (host.reload("systemd-networkd.service")) return;
    const Answer answer = host.run({"networkctl", "reload"}, 20);
    if (answer.status != 0) throw Error("networkctl reload: " + last_line(answer.errors));
}

bool appears(Host& host, const std::string& interface, const std::string& address) {
    for (int tenths = 0; tenths < for_networkd; ++tenths) {
        for (const Interface& one : host.interfaces()) {
            if (one.name == interface && has_address(one, address)) return true;
        }
        host.pause();
    }
    return false;
}

}  // namespace

void take_address(Host& host, const std::string& file) {
    const std::string text = host.read(file, largest).value_or("");
    const std::string names = value_of(text, "Name=");
    const std::string address = value_of(text, "Address=");
    if (names.empty() || address.empty()) throw Error(file + " names no interface or no address");

    const auto interface = plugged(host, names);
    if (!interface) return host.say("no network cable; systemd-networkd asks for " + address + " when there is one");
    if (has_address(*interface, address)) return;
    const std::string alone = address.substr(0, address.find('/'));
    if (const auto other = host.probe(interface->name, alone)) {
        return host.say(alone + " is in use by " + *other + ": it is not taken");
    }
    host.write(asked_settings, without_asking(text), {});
    reload_networkd(host);
    if (!appears(host, interface->name, address)) throw Error("systemd-networkd does not take " + address);
    host.say(address + " is on " + interface->name);
    // Who waits for the network looks whether it is there, and networkd will say that it is not while it asks again.
    for (int tenths = 0; tenths < for_others; ++tenths) host.pause();
}

}  // namespace makina
