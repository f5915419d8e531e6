#pragma once

#include <string>

#include "firstboot/host.hpp"
#include "firstboot/since.hpp"
#include "firstboot/stage.hpp"

namespace makina {

/// Before kubeadm makes certificates: they end a year after they were made, by the clock that the node has. A card from
/// the drawer has the day on which its bundle was issued, until a time server sets it.
class ClockWait {
  public:
    /// Seconds, from the first look on; there are networks without a time server.
    static constexpr std::int64_t patience = 300;

    /// A time server may answer while others are waited for.
    void look(Host& host) { (void)unset_.seconds(!host.moment().synced, host.uptime()); }
    /// Done as soon as the clock is synchronised, or if it was not for as long as that, which is then said.
    [[nodiscard]] Outcome ask(Host& host);
    /// What follows from a clock that nobody had set; empty if somebody had.
    [[nodiscard]] const std::string& notice() const { return notice_; }

  private:
    Since unset_;
    std::string notice_;
};

}  // namespace makina
