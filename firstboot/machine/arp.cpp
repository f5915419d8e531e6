#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/if_ether.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/handle.hpp"
#include "firstboot/machine/network.hpp"
#include "firstboot/machine/supervisor.hpp"

namespace makina {
namespace {

// RFC 5227 gives 1 to 2 s between probes and 2 s after them; a wired net of one room answers in milliseconds, and
// networkd asks by the book besides.
constexpr int probes = 3;
constexpr std::int64_t spacing = 200;  // milliseconds
constexpr std::int64_t listening = 600;

using Mac = std::array<unsigned char, ETH_ALEN>;

Mac bytes_of(const std::string& mac) {
    Mac bytes{};
    for (std::size_t at = 0; at < bytes.size(); ++at) {
        bytes[at] = static_cast<unsigned char>(std::stoul(mac.substr(at * 3, 2), nullptr, 16));
    }
    return bytes;
}

ether_arp probe_packet(const Mac& ours, const in_addr& address) {
    ether_arp packet{};
    packet.ea_hdr.ar_hrd = htons(ARPHRD_ETHER);
    packet.ea_hdr.ar_pro = htons(ETHERTYPE_IP);
    packet.ea_hdr.ar_hln = ETH_ALEN;
    packet.ea_hdr.ar_pln = sizeof address;
    packet.ea_hdr.ar_op = htons(ARPOP_REQUEST);
    std::copy(ours.begin(), ours.end(), packet.arp_sha);
    // The sender's address stays 0.0.0.0: nobody's cache learns from a probe.
    std::memcpy(packet.arp_tpa, &address, sizeof address);
    return packet;
}

/// Who has the address or is about to take it (RFC 5227, 2.1.1): a packet from it, or another's probe for it.
bool is_conflict(const ether_arp& packet, const in_addr& address) {
    constexpr std::array<unsigned char, 4> nobody{};
    if (packet.ea_hdr.ar_pro != htons(ETHERTYPE_IP) || packet.ea_hdr.ar_hln != ETH_ALEN) return false;
    if (std::memcmp(packet.arp_spa, &address, sizeof address) == 0) return true;
    return packet.ea_hdr.ar_op == htons(ARPOP_REQUEST) &&
           std::memcmp(packet.arp_spa, nobody.data(), nobody.size()) == 0 &&
           std::memcmp(packet.arp_tpa, &address, sizeof address) == 0;
}

std::vector<std::string> own_macs() {
    std::vector<std::string> macs;
    for (const Interface& interface : wired_interfaces(false)) macs.push_back(interface.mac);
    return macs;
}

Descriptor arp_socket(const std::string& interface, sockaddr_ll& where) {
    where.sll_family = AF_PACKET;
    where.sll_protocol = htons(ETH_P_ARP);
    where.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
    if (where.sll_ifindex == 0) throw Error("no network interface " + interface);
    // Made for no protocol, so that nothing arrives from other interfaces before it is bound to this one.
    Descriptor socket(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket || bind(socket.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where) != 0) {
        throw_system("listening for ARP on " + interface);
    }
    return socket;
}

/// The next packet that says that somebody else has the address, of those that have arrived.
std::optional<std::string> heard(int socket, const in_addr& address, const std::vector<std::string>& ours) {
    ether_arp packet{};
    sockaddr_ll from{};
    for (;;) {
        socklen_t size = sizeof from;
        const ssize_t count = recvfrom(socket, &packet, sizeof packet, 0, reinterpret_cast<sockaddr*>(&from), &size);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return std::nullopt;
        if (count < static_cast<ssize_t>(sizeof packet) || from.sll_pkttype == PACKET_OUTGOING) continue;
        const std::string mac = mac_text(packet.arp_sha);
        // A cable that loops back, or a second interface of ours on the same net, is not another machine.
        if (std::find(ours.begin(), ours.end(), mac) != ours.end()) continue;
        if (is_conflict(packet, address)) return mac;
    }
}

}  // namespace

std::optional<std::string> probe_address(const std::string& interface, const std::string& address) {
    in_addr wanted{};
    if (inet_pton(AF_INET, address.c_str(), &wanted) != 1) throw Error("no IPv4 address: " + address);
    const std::vector<Interface> all = wired_interfaces(false);
    const auto ours = std::find_if(all.begin(), all.end(), [&](const Interface& one) { return one.name == interface; });
    if (ours == all.end()) throw Error("no network interface " + interface);
    sockaddr_ll where{};
    const Descriptor socket = arp_socket(interface, where);
    where.sll_halen = ETH_ALEN;
    std::fill_n(where.sll_addr, ETH_ALEN, static_cast<unsigned char>(0xff));
    const ether_arp packet = probe_packet(bytes_of(ours->mac), wanted);

    const std::vector<std::string> macs = own_macs();
    const std::int64_t start = steady_milliseconds();
    for (int sent = 0;;) {
        const std::int64_t passed = steady_milliseconds() - start;
        if (passed >= listening) return std::nullopt;
        if (sent < probes && passed >= sent * spacing) {
            if (sendto(socket.get(), &packet, sizeof packet, 0, reinterpret_cast<const sockaddr*>(&where),
                       sizeof where) < 0) {
                throw_system("asking for " + address + " on " + interface);
            }
            ++sent;
        }
        const std::int64_t next = sent < probes ? sent * spacing : listening;
        pollfd waiting{socket.get(), POLLIN, 0};
        const auto patience = std::max<std::int64_t>(next - passed, 0);
        if (poll(&waiting, 1, static_cast<int>(patience)) < 0 && errno != EINTR) throw_system("listening for ARP");
        if (auto other = heard(socket.get(), wanted, macs)) return other;
    }
}

}  // namespace makina
