#include "firstboot/machine/supervisor.hpp"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

constexpr std::int64_t tick_every = 10'000;

}  // namespace

std::int64_t steady_milliseconds() {
    timespec now{};
    if (clock_gettime(CLOCK_BOOTTIME, &now) != 0) throw_system("asking for the time since power-on");
    return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

void notify(const std::string& lines) {
    const char* const name = std::getenv("NOTIFY_SOCKET");
    sockaddr_un address{};
    const std::size_t size = name == nullptr ? 0 : std::strlen(name);
    if (size < 2 || size >= sizeof address.sun_path) return;
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name, size);
    // A name that begins with @ stands for a socket in the abstract name space: unix(7).
    if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
    const Descriptor socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + size);
    // A manager that does not listen is no reason to end.
    (void)sendto(socket.get(), lines.data(), lines.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address),
                 length);
}

Supervisor::Supervisor() {
    sigset_t mask{};
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    if (pthread_sigmask(SIG_BLOCK, &mask, &before_) != 0) throw Error("taking signals failed");
    signals_ = Descriptor(signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!signals_) throw_system("taking signals");
    // TLS writes to sockets that the other side may have closed (SSL_write has no MSG_NOSIGNAL).
    before_pipe_ = std::signal(SIGPIPE, SIG_IGN);
}

Supervisor::~Supervisor() {
    notify("STOPPING=1");
    // One that has come meanwhile has been obeyed.
    signalfd_siginfo taken{};
    while (read(signals_.get(), &taken, sizeof taken) > 0) {
    }
    (void)pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    (void)std::signal(SIGPIPE, before_pipe_);
}

bool Supervisor::wait(std::int64_t milliseconds) {
    const std::int64_t end = steady_milliseconds() + milliseconds;
    while (!stopped_) {
        tick();
        const std::int64_t left = end - steady_milliseconds();
        pollfd waiting{signals_.get(), POLLIN, 0};
        const int ready = poll(&waiting, 1, static_cast<int>(std::clamp<std::int64_t>(left, 0, tick_every)));
        if (ready < 0 && errno != EINTR) throw_system("waiting");
        // The signal is left unread, so that whoever asks later hears of it too.
        if (ready > 0) stopped_ = true;
        if (left <= 0) break;
    }
    return !stopped_;
}

void Supervisor::tick() {
    const std::int64_t now = steady_milliseconds();
    if (ticked_ != 0 && now - ticked_ < tick_every) return;
    ticked_ = now;
    notify("WATCHDOG=1");
}

}  // namespace makina
