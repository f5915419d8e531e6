#include "tests/gateway/vrrp.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>

#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/handle.hpp"
#include "tests/gateway/visit.hpp"

namespace makina::border {
namespace {

constexpr int vrrp = 112;  // RFC 5798

Descriptor vrrp_socket() {
    Descriptor socket(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, vrrp));
    if (!socket) throw_system("making a raw socket");
    return socket;
}

}  // namespace

std::set<std::string> heard_vrrp(const lab::Machine& machine, double seconds) {
    const Visit visit(machine.network());
    const Descriptor socket = vrrp_socket();
    std::set<std::string> senders;
    for (const double end = lab::steady_seconds() + seconds; lab::steady_seconds() < end;) {
        pollfd one{socket.get(), POLLIN, 0};
        if (::poll(&one, 1, 50) != 1) continue;
        std::array<char, 256> bytes{};
        sockaddr_in peer{};
        socklen_t size = sizeof peer;
        if (::recvfrom(socket.get(), bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&peer), &size) < 0) {
            continue;
        }
        std::array<char, INET_ADDRSTRLEN> name{};
        senders.insert(::inet_ntop(AF_INET, &peer.sin_addr, name.data(), name.size()));
    }
    return senders;
}

void send_vrrp(const lab::Machine& from, const std::string& to) {
    const Visit visit(from.network());
    const Descriptor socket = vrrp_socket();
    sockaddr_in address{};
    address.sin_family = AF_INET;
    ::inet_pton(AF_INET, to.c_str(), &address.sin_addr);
    const std::array<char, 16> nonsense{};
    if (::sendto(socket.get(), nonsense.data(), nonsense.size(), 0, reinterpret_cast<const sockaddr*>(&address),
                 sizeof address) < 0) {
        throw_system("sending to " + to);
    }
}

}  // namespace makina::border
