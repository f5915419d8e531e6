#pragma once

#include <csignal>
#include <functional>
#include <thread>

#include "firstboot/bundle/handle.hpp"

namespace makina {

/// While it lives, Ctrl-C (SIGINT), SIGTERM and SIGHUP do not end the program: they are asked for. Made before any
/// thread is. Programs that we start are ended by them as ever.
class Interruption {
  public:
    /// Throws Error.
    Interruption();
    Interruption(const Interruption&) = delete;
    Interruption& operator=(const Interruption&) = delete;
    ~Interruption();

    /// Waits so long for one; true if there was one, and from then on.
    [[nodiscard]] bool within(double seconds);

  private:
    sigset_t signals_{}, before_{};
    Descriptor descriptor_;
    bool seen_ = false;
};

/// While it lives, Ctrl-C (SIGINT), SIGTERM and SIGHUP end the program as ever, but only after `clear`, which a thread
/// of its own calls. Made before any other thread is. Programs that we start are ended by them as ever.
class ClearedEnd {
  public:
    /// Throws Error.
    explicit ClearedEnd(std::function<void()> clear);
    ClearedEnd(const ClearedEnd&) = delete;
    ClearedEnd& operator=(const ClearedEnd&) = delete;
    ~ClearedEnd();

  private:
    void wait() const;

    std::function<void()> clear_;
    sigset_t signals_{}, before_{};
    Descriptor arrived_, over_;
    std::thread thread_;
};

}  // namespace makina
