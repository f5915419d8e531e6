#include "builder/rehearse/monitor.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

constexpr int patience_ms = 10'000;

}  // namespace

Monitor::Monitor() {
    std::array<int, 2> ends{};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) throw_system("making a pair of sockets");
    ours_ = Descriptor(ends[0]);
    other_ = Descriptor(ends[1]);
}

void Monitor::tell(const std::string& command) {
    // Until this is said QEMU takes no other word, and it takes it once.
    if (!greeted_) exchange(R"({"execute":"qmp_capabilities"})");
    greeted_ = true;
    exchange(command);
}

/// What has come. Greeting, answers and events are one object a line.
std::string Monitor::heard(const std::string& command) const {
    pollfd waiting{ours_.get(), POLLIN, 0};
    const int ready = poll(&waiting, 1, patience_ms);
    if (ready < 0 && errno == EINTR) return {};
    std::array<char, 4096> buffer{};
    const ssize_t count = ready > 0 ? recv(ours_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT) : 0;
    if (count <= 0) throw Error("QEMU does not answer to " + command);
    return {buffer.data(), static_cast<std::size_t>(count)};
}

void Monitor::exchange(const std::string& command) {
    const std::string line = command + "\n";
    if (send(ours_.get(), line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size())) {
        throw_system("telling QEMU " + command);
    }
    std::string answer;
    for (;;) {
        answer += heard(command);
        if (answer.find("{\"error\"") != std::string::npos) throw Error("QEMU refuses " + command + ": " + answer);
        const auto at = answer.find("{\"return\"");
        if (at != std::string::npos && answer.find('\n', at) != std::string::npos) return;
    }
}

std::string cable_command(const std::string& card, bool plugged) {
    return R"({"execute":"set_link","arguments":{"name":")" + card + R"(","up":)" + (plugged ? "true" : "false") + "}}";
}

}  // namespace makina
