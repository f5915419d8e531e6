#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <filesystem>

#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/handle.hpp"
#include "firstboot/machine/network.hpp"

namespace makina {
namespace {

bool in_sysfs(const std::string& interface, const char* what) {
    std::error_code none;
    return std::filesystem::exists("/sys/class/net/" + interface + "/" + what, none);
}

std::string text_of(const sockaddr_in& address, const sockaddr_in& mask) {
    std::array<char, INET_ADDRSTRLEN> text{};
    if (inet_ntop(AF_INET, &address.sin_addr, text.data(), text.size()) == nullptr) return "";
    return std::string(text.data()) + "/" + std::to_string(std::popcount(mask.sin_addr.s_addr));
}

template <typename Address>
Address copied(const sockaddr* from) {
    Address address{};
    std::memcpy(&address, from, sizeof address);
    return address;
}

std::string without_prefix(const std::string& address) {
    return address.substr(0, address.find('/'));
}

}  // namespace

std::vector<std::string> page_addresses(const std::string& own, const std::vector<Interface>& interfaces) {
    if (!own.empty()) return {without_prefix(own)};
    std::vector<std::string> addresses;
    for (const Interface& interface : interfaces) {
        for (const std::string& address : interface.addresses) addresses.push_back(without_prefix(address));
    }
    return addresses;
}

std::string mac_text(const unsigned char* bytes) {
    constexpr const char* digits = "0123456789abcdef";
    std::string text;
    for (int at = 0; at < 6; ++at) {
        if (at > 0) text += ':';
        text += digits[bytes[at] >> 4U];
        text += digits[bytes[at] & 15U];
    }
    return text;
}

std::vector<Interface> wired_interfaces(bool hardware_only) {
    ifaddrs* first = nullptr;
    if (getifaddrs(&first) != 0) throw_system("asking for network interfaces");
    const Handle<ifaddrs, freeifaddrs> all(first);
    std::vector<Interface> found;
    for (const ifaddrs* entry = first; entry != nullptr; entry = entry->ifa_next) {
        if (entry->ifa_addr == nullptr || entry->ifa_addr->sa_family != AF_PACKET) continue;
        const auto link = copied<sockaddr_ll>(entry->ifa_addr);
        if (link.sll_hatype != ARPHRD_ETHER || link.sll_halen != 6) continue;
        const std::string name = entry->ifa_name;
        if (hardware_only && (!in_sysfs(name, "device") || in_sysfs(name, "phy80211"))) continue;
        constexpr unsigned up = IFF_UP | IFF_RUNNING;
        found.push_back({name, mac_text(link.sll_addr), (entry->ifa_flags & up) == up, {}});
    }
    for (const ifaddrs* entry = first; entry != nullptr; entry = entry->ifa_next) {
        if (entry->ifa_addr == nullptr || entry->ifa_addr->sa_family != AF_INET || entry->ifa_netmask == nullptr) {
            continue;
        }
        const auto owner = std::find_if(found.begin(), found.end(), [&](const Interface& interface) {
            // The name of an address may carry a label: "eth0:1".
            const std::string name = entry->ifa_name;
            return name.substr(0, name.find(':')) == interface.name;
        });
        if (owner == found.end()) continue;
        owner->addresses.push_back(
            text_of(copied<sockaddr_in>(entry->ifa_addr), copied<sockaddr_in>(entry->ifa_netmask)));
    }
    return found;
}

}  // namespace makina
