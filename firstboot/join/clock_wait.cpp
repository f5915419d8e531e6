#include "firstboot/join/clock_wait.hpp"

#include "firstboot/utc.hpp"

namespace makina {

Outcome ClockWait::ask(Host& host) {
    const Moment moment = host.moment();
    const std::int64_t left = patience - unset_.seconds(!moment.synced, host.uptime());
    if (moment.synced) {
        notice_.clear();
        return {true};
    }
    if (left > 0)
        return {false, "the clock to be synchronised, " + std::to_string(left) + " seconds more at most", {}, 5};
    if (notice_.empty()) {
        notice_ = "no time server had set the clock when kubeadm began, it said " + utc(moment.now) +
                  ": the certificates that kubeadm makes here end a year after that; kubeadm certs renew all makes "
                  "new ones";
        host.say("note: " + notice_);
    }
    return {true};
}

}  // namespace makina
