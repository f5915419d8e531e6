#include "tests/gateway/traffic.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <list>
#include <map>

#include "firstboot/bundle/error.hpp"
#include "tests/gateway/visit.hpp"

namespace makina::border {
namespace {

constexpr std::size_t largest_line = 64;

std::chrono::milliseconds milliseconds(int count) {
    return std::chrono::milliseconds(count);
}

sockaddr_in6 everywhere(std::uint16_t port) {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(port);
    return address;
}

/// An address of either kind as IPv6 has it.
sockaddr_in6 address_of(const Place& place) {
    sockaddr_in6 address = everywhere(place.port);
    const bool mapped = place.address.find(':') == std::string::npos;
    const std::string text = (mapped ? "::ffff:" : "") + place.address;
    if (::inet_pton(AF_INET6, text.c_str(), &address.sin6_addr) != 1) throw Error(text + " is no address");
    return address;
}

std::string name_of(const sockaddr_in6& address) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    ::inet_ntop(AF_INET6, &address.sin6_addr, text.data(), text.size());
    const std::string name = text.data();
    return name.rfind("::ffff:", 0) == 0 ? name.substr(7) : name;
}

Descriptor socket_of(int kind) {
    Descriptor socket(::socket(AF_INET6, kind | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) throw_system("making a socket");
    const int no = 0;
    (void)::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    return socket;
}

Descriptor bound(int kind, const sockaddr_in6& address) {
    Descriptor socket = socket_of(kind);
    const int yes = 1;
    (void)::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) throw_system("bind");
    return socket;
}

Descriptor listening(const lab::Machine& machine, std::uint16_t port) {
    const Visit visit(machine.network());
    Descriptor socket = bound(SOCK_STREAM, everywhere(port));
    if (::listen(socket.get(), 64) != 0) throw_system("listen");
    return socket;
}

/// Begins to connect; this thread is in the client's network.
Descriptor begin_to_connect(const Place& to, const std::string& source = "") {
    Descriptor socket = source.empty() ? socket_of(SOCK_STREAM) : bound(SOCK_STREAM, address_of({source, 0}));
    const sockaddr_in6 address = address_of(to);
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
        errno != EINPROGRESS) {
        socket.reset();  // no route: as good as no answer
    }
    return socket;
}

bool wait_for(const Descriptor& socket, short events, double seconds) {
    pollfd one{socket.get(), events, 0};
    return ::poll(&one, 1, static_cast<int>(seconds * 1000)) == 1 && (one.revents & events) != 0;
}

/// The line that a server begins with; it is short enough to come at once.
std::optional<std::string> greeting(const Descriptor& socket, double seconds) {
    if (!socket || !wait_for(socket, POLLIN, seconds)) return std::nullopt;
    std::array<char, largest_line> bytes{};
    // No more than the line: what follows is not ours to take.
    const ssize_t seen = ::recv(socket.get(), bytes.data(), bytes.size(), MSG_PEEK);
    if (seen <= 0) return std::nullopt;
    const std::string text(bytes.data(), static_cast<std::size_t>(seen));
    const std::size_t end = text.find('\n');
    if (end == std::string::npos) return std::nullopt;
    (void)::recv(socket.get(), bytes.data(), end + 1, 0);
    return text.substr(0, end);
}

/// The stream that one who talks sends: the same for everybody, so that every byte can be checked.
char talk_at(std::uint64_t place) {
    return static_cast<char>('a' + place * 7 % 26);
}

std::string talk(std::uint64_t begin, std::size_t size) {
    std::string text(size, '\0');
    for (std::size_t i = 0; i < size; ++i) text[i] = talk_at(begin + i);
    return text;
}

/// What a server knows of one client.
struct Client {
    Descriptor socket;
    std::uint64_t sent = 0;
};

/// False if the client has gone.
bool attend(Client& client, Server::Manner manner) {
    std::array<char, 4096> bytes{};
    const ssize_t count = ::recv(client.socket.get(), bytes.data(), bytes.size(), 0);
    if (count == 0 || (count < 0 && errno != EAGAIN)) return false;
    const bool repeats = manner == Server::Manner::repeats;
    const std::string more =
        repeats ? std::string(bytes.data(), count > 0 ? static_cast<std::size_t>(count) : 0) : talk(client.sent, 512);
    const ssize_t sent = ::send(client.socket.get(), more.data(), more.size(), MSG_NOSIGNAL);
    if (sent > 0) client.sent += static_cast<std::uint64_t>(sent);
    return sent >= 0 || errno == EAGAIN;
}

}  // namespace

Server::Server(const lab::Machine& machine, std::uint16_t port, Manner manner)
    : socket_(listening(machine, port)), thread_([this, manner] { serve(manner); }) {}

Server::~Server() {
    ending_ = true;
    thread_.join();
}

void Server::serve(Manner manner) {
    std::list<Client> clients;
    while (!ending_) {
        std::vector<pollfd> waiting = {{socket_.get(), POLLIN, 0}};
        for (const Client& client : clients) waiting.push_back({client.socket.get(), POLLIN, 0});
        (void)::poll(waiting.data(), waiting.size(), 20);
        sockaddr_in6 peer{};
        socklen_t size = sizeof peer;
        Descriptor fresh(
            ::accept4(socket_.get(), reinterpret_cast<sockaddr*>(&peer), &size, SOCK_CLOEXEC | SOCK_NONBLOCK));
        std::erase_if(clients, [&](Client& client) { return !attend(client, manner); });
        if (!fresh) continue;
        ++clients_;
        const std::string line = name_of(peer) + "\n";
        (void)::send(fresh.get(), line.data(), line.size(), MSG_NOSIGNAL);
        clients.push_back({std::move(fresh)});
    }
}

std::optional<std::string> ask(const lab::Machine& from, const Place& to, double seconds, const std::string& source) {
    const Visit visit(from.network());
    return greeting(begin_to_connect(to, source), seconds);
}

UdpServer::UdpServer(const lab::Machine& machine, std::uint16_t port) {
    const Visit visit(machine.network());
    socket_ = bound(SOCK_DGRAM, everywhere(port));
}

std::optional<std::string> UdpServer::hear(double seconds) {
    if (!wait_for(socket_, POLLIN, seconds)) return std::nullopt;
    std::array<char, largest_line> bytes{};
    sockaddr_in6 peer{};
    socklen_t size = sizeof peer;
    const ssize_t count =
        ::recvfrom(socket_.get(), bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&peer), &size);
    if (count < 0) return std::nullopt;
    (void)::sendto(socket_.get(), bytes.data(), static_cast<std::size_t>(count), 0,
                   reinterpret_cast<const sockaddr*>(&peer), size);
    return name_of(peer) + " " + std::string(bytes.data(), static_cast<std::size_t>(count));
}

std::optional<std::string> say(const lab::Machine& from, const Place& to, const std::string& word,
                               const std::string& source, UdpServer& server) {
    const Visit visit(from.network());
    const Descriptor socket = bound(SOCK_DGRAM, source.empty() ? everywhere(0) : address_of({source, 0}));
    const sockaddr_in6 address = address_of(to);
    (void)::sendto(socket.get(), word.data(), word.size(), 0, reinterpret_cast<const sockaddr*>(&address),
                   sizeof address);
    auto heard = server.hear(0.3);
    if (!heard || !wait_for(socket, POLLIN, 0.3)) return std::nullopt;
    std::array<char, largest_line> bytes{};
    const ssize_t count = ::recv(socket.get(), bytes.data(), bytes.size(), 0);
    if (count < 0 || std::string(bytes.data(), static_cast<std::size_t>(count)) != word) return std::nullopt;
    return heard;
}

Prober::Prober(const lab::Machine& from, Place to)
    : thread_([this, network = from.network(), to = std::move(to)] { probe(network, to); }) {}

Prober::~Prober() {
    ending_ = true;
    thread_.join();
}

void Prober::probe(const lab::fs::path& network, const Place& to) {
    constexpr double pause = 0.05;
    constexpr double patience = 0.3;  // less than TCP's, so that each answer is of one packet there and one back
    const Visit visit(network);
    std::map<double, Descriptor> open;
    while (!ending_) {
        const double now = lab::steady_seconds();
        open.emplace(now, begin_to_connect(to));
        std::this_thread::sleep_until(std::chrono::steady_clock::now() + milliseconds(static_cast<int>(pause * 1000)));
        const std::lock_guard lock(mutex_);
        std::erase_if(open, [&](auto& attempt) {
            const bool answered = greeting(attempt.second, 0).has_value();
            const bool ended = answered || attempt.first + patience < now;
            if (ended) attempts_.push_back({attempt.first, lab::steady_seconds(), answered});
            return ended;
        });
    }
}

double Prober::longest_silence(double begin) const {
    std::vector<double> answered = {begin, lab::steady_seconds()};
    {
        const std::lock_guard lock(mutex_);
        for (const Attempt& attempt : attempts_) {
            if (attempt.answered && attempt.ended > begin) answered.push_back(attempt.ended);
        }
    }
    std::ranges::sort(answered);
    double longest = 0;
    for (std::size_t i = 1; i < answered.size(); ++i) longest = std::max(longest, answered[i] - answered[i - 1]);
    return longest;
}

bool Prober::is_well(double begin, std::size_t count) const {
    const std::lock_guard lock(mutex_);
    if (attempts_.size() < count) return false;
    return std::all_of(attempts_.end() - static_cast<std::ptrdiff_t>(count), attempts_.end(),
                       [&](const Attempt& attempt) { return attempt.answered && attempt.begun > begin; });
}

Transfer::Transfer(const lab::Machine& from, const Place& to, Server::Manner manner) {
    const Visit visit(from.network());
    socket_ = begin_to_connect(to);
    if (!greeting(socket_, 3)) throw Error("no answer from " + to.address + ":" + std::to_string(to.port));
    thread_ = std::thread([this, manner] { use(manner); });
}

Transfer::~Transfer() {
    ending_ = true;
    if (thread_.joinable()) thread_.join();
}

void Transfer::use(Server::Manner manner) {
    std::uint64_t sent = 0;
    while (!ending_ && !broken_) {
        if (manner == Server::Manner::repeats && sent == bytes_) {
            const std::string more = talk(sent, 512);
            const ssize_t count = ::send(socket_.get(), more.data(), more.size(), MSG_NOSIGNAL);
            if (count > 0) sent += static_cast<std::uint64_t>(count);
            if (count < 0 && errno != EAGAIN) broken_ = true;
        }
        (void)wait_for(socket_, POLLIN, 0.1);
        std::array<char, 4096> bytes{};
        const ssize_t count = ::recv(socket_.get(), bytes.data(), bytes.size(), 0);
        if (count == 0 || (count < 0 && errno != EAGAIN)) broken_ = true;
        for (ssize_t i = 0; i < count; ++i) {
            if (bytes.at(static_cast<std::size_t>(i)) != talk_at(bytes_++)) broken_ = true;
        }
        std::this_thread::sleep_for(milliseconds(10));
    }
}

bool Transfer::goes_on(double seconds) const {
    const std::uint64_t before = bytes_;
    return lab::becomes_true(seconds, [&] { return bytes_ > before || broken_; }) && !broken_;
}

}  // namespace makina::border
