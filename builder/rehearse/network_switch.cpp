#include "builder/rehearse/network_switch.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

/// Larger than any frame of a card that joins no frames together.
constexpr std::size_t longest_frame = 16384;
/// As many frames of one port before the others have their turn.
constexpr int turn = 64;

}  // namespace

NetworkSwitch::NetworkSwitch(std::size_t ports, std::optional<Address> watched, std::function<double()> clock)
    : clock_(std::move(clock)), ports_(ports), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!wake_) throw_system("making an event");
    if (watched) watch_.emplace(*watched);
    thread_ = std::thread([this] { serve(); });
}

NetworkSwitch::~NetworkSwitch() {
    {
        const std::scoped_lock lock(mutex_);
        stopping_ = true;
    }
    wake();
    thread_.join();
}

void NetworkSwitch::wake() const {
    // An event that is full already wakes as well.
    (void)eventfd_write(wake_.get(), 1);
}

Descriptor NetworkSwitch::plug(std::size_t port) {
    std::array<int, 2> ends{};
    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends.data()) != 0) throw_system("making a cable");
    Descriptor ours(ends[0]);
    Descriptor other(ends[1]);
    {
        const std::scoped_lock lock(mutex_);
        ports_.at(port) = {std::move(ours), false};
        table_.forget(port);
    }
    wake();
    return other;
}

void NetworkSwitch::unplug(std::size_t port) {
    {
        const std::scoped_lock lock(mutex_);
        ports_.at(port) = {};
        table_.forget(port);
    }
    wake();
}

void NetworkSwitch::cut(std::size_t port, bool is_cut) {
    const std::scoped_lock lock(mutex_);
    ports_.at(port).is_cut = is_cut;
    table_.forget(port);
}

std::vector<Holding> NetworkSwitch::holdings() const {
    const std::scoped_lock lock(mutex_);
    return watch_ ? watch_->holdings() : std::vector<Holding>();
}

void NetworkSwitch::send(std::size_t to, std::string_view frame) const {
    const Port& port = ports_[to];
    if (!port.cable || port.is_cut) return;
    // What does not fit is lost, and so is what nobody reads any more.
    (void)::send(port.cable.get(), frame.data(), frame.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

void NetworkSwitch::ask(double now) {
    const std::string question = watch_->question(now);
    for (std::size_t port = 0; port < ports_.size(); ++port) send(port, question);
}

void NetworkSwitch::take_frames(std::size_t from) {
    std::array<char, longest_frame> buffer{};
    for (int frames = 0; frames < turn; ++frames) {
        const ssize_t count = recv(ports_[from].cable.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (count < 0) return;
        const std::string_view frame(buffer.data(), static_cast<std::size_t>(count));
        if (ports_[from].is_cut || (watch_ && watch_->hear(from, frame, clock_()))) continue;
        for (const std::size_t to : table_.ways(from, frame, ports_.size())) send(to, frame);
    }
}

void NetworkSwitch::serve() {
    double asked = clock_();
    for (;;) {
        std::vector<pollfd> waiting = {{wake_.get(), POLLIN, 0}};
        {
            const std::scoped_lock lock(mutex_);
            if (stopping_) return;
            for (const Port& port : ports_) waiting.push_back({port.cable.get(), POLLIN, 0});
        }
        if (poll(waiting.data(), waiting.size(), 100) < 0 && errno != EINTR) return;
        const std::scoped_lock lock(mutex_);
        eventfd_t count = 0;
        (void)eventfd_read(wake_.get(), &count);
        for (std::size_t port = 0; port < ports_.size(); ++port) {
            // A cable may have been changed since; its frames come with the next round.
            const bool same = waiting[port + 1].fd == ports_[port].cable.get();
            if (waiting[port + 1].revents != 0 && same && ports_[port].cable) take_frames(port);
        }
        if (const double now = clock_(); watch_ && now - asked >= AddressWatch::interval) {
            asked = now;
            ask(now);
        }
    }
}

}  // namespace makina
