#pragma once

#include "firstboot/host.hpp"
#include "firstboot/machine/files.hpp"

namespace makina {

/// The machine's clock; or, for another root, one that agrees with it until it is set.
class Clock {
  public:
    Clock(const Files& files, bool machine) : files_(files), machine_(machine) {}
    /// Synchronised if the kernel says so (adjtimex(2)) or timesyncd has left its mark since power-on:
    /// systemd-timesyncd.service(8), /run/systemd/timesync/synchronized. For another root the mark alone counts.
    [[nodiscard]] Moment moment() const;
    void set(std::int64_t seconds);

  private:
    const Files& files_;
    bool machine_;
    std::int64_t ahead_ = 0;
};

}  // namespace makina
