#pragma once

#include <csignal>
#include <cstdint>
#include <string>

#include "firstboot/bundle/handle.hpp"

namespace makina {

/// Sends the service manager a message, as sd_notify(3) describes the protocol: a datagram of lines "NAME=value" to
/// the socket that $NOTIFY_SOCKET names. Without one nothing happens.
void notify(const std::string& lines);

/// Who may end the daemon and who looks whether it lives: takes SIGTERM and SIGINT while it lives, ignores SIGPIPE, and
/// answers the service manager's watchdog.
class Supervisor {
  public:
    /// Throws Error if signals cannot be taken. Make it before any thread: they inherit which signals are blocked.
    Supervisor();
    Supervisor(const Supervisor&) = delete;
    Supervisor& operator=(const Supervisor&) = delete;
    ~Supervisor();

    /// True if the daemon has been asked to end.
    [[nodiscard]] bool stopped() { return !wait(0); }
    /// Waits for milliseconds, or until the daemon is asked to end: then false, at once and ever after.
    [[nodiscard]] bool wait(std::int64_t milliseconds);
    /// Tells the watchdog that we live, at most every ten seconds.
    void tick();

  private:
    sigset_t before_{};
    void (*before_pipe_)(int) = nullptr;
    Descriptor signals_;
    bool stopped_ = false;
    std::int64_t ticked_ = 0;
};

/// Milliseconds from a clock that never jumps and goes on while the machine sleeps.
[[nodiscard]] std::int64_t steady_milliseconds();

}  // namespace makina
