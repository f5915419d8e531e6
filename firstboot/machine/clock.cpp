#include "firstboot/machine/clock.hpp"

#include <sys/timex.h>

#include <ctime>

#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

std::int64_t seconds_now() {
    timespec now{};
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) throw_system("asking for the time");
    return now.tv_sec;
}

bool kernel_is_synced() {
    timex asked{};
    const int state = adjtimex(&asked);
    return state >= 0 && state != TIME_ERROR && (asked.status & STA_UNSYNC) == 0;
}

}  // namespace

Moment Clock::moment() const {
    const bool marked = files_.look("/run/systemd/timesync/synchronized").has_value();
    return {seconds_now() + ahead_, marked || (machine_ && kernel_is_synced())};
}

void Clock::set(std::int64_t seconds) {
    const std::int64_t now = seconds_now() + ahead_;
    if (seconds <= now) return;
    if (!machine_) {
        ahead_ += seconds - now;
        return;
    }
    const timespec wanted{seconds, 0};
    if (clock_settime(CLOCK_REALTIME, &wanted) != 0) throw_system("setting the clock");
}

}  // namespace makina
