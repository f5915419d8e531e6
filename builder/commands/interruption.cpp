#include "builder/commands/interruption.hpp"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "firstboot/bundle/error.hpp"

namespace makina {

Interruption::Interruption() {
    sigemptyset(&signals_);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals_, signal);
    descriptor_ = Descriptor(signalfd(-1, &signals_, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!descriptor_ || pthread_sigmask(SIG_BLOCK, &signals_, &before_) != 0) throw_system("waiting for signals");
}

Interruption::~Interruption() {
    // One that has come was heard; without this it would end us now.
    (void)within(0);
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

bool Interruption::within(double seconds) {
    pollfd waiting{descriptor_.get(), POLLIN, 0};
    const int milliseconds = static_cast<int>(std::max(seconds, 0.0) * 1000);
    if (!seen_ && poll(&waiting, 1, milliseconds) <= 0) return false;
    signalfd_siginfo information{};
    while (read(descriptor_.get(), &information, sizeof information) > 0) {
    }
    seen_ = true;
    return true;
}

ClearedEnd::ClearedEnd(std::function<void()> clear) : clear_(std::move(clear)) {
    sigemptyset(&signals_);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
        // nohup has one ignored; a signal that is held back would be heard all the same.
        struct sigaction now {};
        if (sigaction(signal, nullptr, &now) == 0 && now.sa_handler != SIG_IGN) sigaddset(&signals_, signal);
    }
    arrived_ = Descriptor(signalfd(-1, &signals_, SFD_CLOEXEC));
    over_ = Descriptor(eventfd(0, EFD_CLOEXEC));
    if (!arrived_ || !over_ || pthread_sigmask(SIG_BLOCK, &signals_, &before_) != 0)
        throw_system("waiting for signals");
    thread_ = std::thread([this] { wait(); });
}

ClearedEnd::~ClearedEnd() {
    (void)!eventfd_write(over_.get(), 1);
    thread_.join();
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

void ClearedEnd::wait() const {
    std::array<pollfd, 2> waiting = {pollfd{arrived_.get(), POLLIN, 0}, pollfd{over_.get(), POLLIN, 0}};
    while (poll(waiting.data(), waiting.size(), -1) < 0) {
    }
    signalfd_siginfo information{};
    if (waiting[0].revents == 0 || read(arrived_.get(), &information, sizeof information) != sizeof information) return;
    clear_();
    // Whoever waits for us sees that it was a signal.
    const int number = static_cast<int>(information.ssi_signo);
    (void)std::signal(number, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &signals_, nullptr);
    (void)raise(number);
}

}  // namespace makina
