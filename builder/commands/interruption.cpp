#include "builder/commands/interruption.hpp"

#include <poll.h>
#include <pthread.h>
#include <sys/signalfd.h>

#include <algorithm>

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

}  // namespace makina
