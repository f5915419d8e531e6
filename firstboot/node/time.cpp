#include "firstboot/bundle/error.hpp"
#include "firstboot/node/memory.hpp"
#include "firstboot/node/node.hpp"
#include "firstboot/utc.hpp"

namespace makina {
namespace {

/// The card wears out with every write.
constexpr std::int64_t an_hour = 3600;
/// Seconds for which time servers have to contradict what is remembered, before they are believed.
constexpr std::int64_t long_enough = 600;

/// Whether the time is worth to be remembered: a time server has set it, it is another one than what is remembered,
/// and it is not beyond the bundle's end, so that a wrong time server cannot move the floor past that for ever.
bool should_remember(Host& host, const Bundle& bundle, const Moment& moment) {
    if (!moment.synced || moment.now > bundle.expires) return false;
    try {
        const auto known = remembered_number(host, kept::clock);
        return !known || moment.now - static_cast<std::int64_t>(*known) >= an_hour;
    } catch (const Error&) {
        return true;
    }
}

/// What is remembered is later than a time server says it is now.
bool is_contradicted(Host& host, const Moment& moment) {
    if (!moment.synced) return false;
    try {
        const auto known = remembered_number(host, kept::clock);
        return known && static_cast<std::int64_t>(*known) - moment.now > an_hour;
    } catch (const Error&) {
        return false;
    }
}

}  // namespace

Outcome ask_time(Host& host, const Bundle& bundle) {
    const Moment moment = host.moment();
    const std::int64_t floor = floor_of(host, bundle);
    if (moment.now < floor) return {false, "the clock, which says " + utc(moment.now) + ", to reach " + utc(floor)};
    if (should_remember(host, bundle, moment)) return {false, "the time to be remembered"};
    return {true};
}

Outcome do_time(Host& host, const Bundle& bundle) {
    const std::int64_t floor = floor_of(host, bundle);
    if (host.moment().now < floor) host.set_clock(floor);
    const Moment moment = host.moment();
    if (should_remember(host, bundle, moment)) {
        remember_number(host, kept::clock, static_cast<std::uint64_t>(moment.now));
    }
    return ask_time(host, bundle);
}

void Doubt::look(Host& host) {
    const Moment moment = host.moment();
    const std::int64_t uptime = host.uptime();
    if (contradicted_.seconds(is_contradicted(host, moment), uptime) < long_enough) return;
    remember_number(host, kept::clock, static_cast<std::uint64_t>(moment.now));
    (void)contradicted_.seconds(false, uptime);
}

}  // namespace makina
