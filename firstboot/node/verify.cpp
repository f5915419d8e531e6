#include <algorithm>

#include "firstboot/bundle/error.hpp"
#include "firstboot/node/board.hpp"
#include "firstboot/node/deliveries.hpp"
#include "firstboot/node/memory.hpp"
#include "firstboot/node/node.hpp"
#include "firstboot/utc.hpp"

namespace makina {
namespace {

/// The mark, if it is this card's.
std::optional<Bundle> own_mark(Host& host) {
    const Trust card = card_trust(host);
    auto mark = done_mark(host);
    if (mark && (mark->cluster_id != card.cluster_id || mark->node != card.node || mark->role != card.role)) {
        mark.reset();
    }
    return mark;
}

/// What was left of sealing up when the power went.
Identity sealed_up(Host& host, const Bundle& mark) {
    if (host.look(kept::bundle)) {
        host.wipe(kept::bundle);
        host.trim();
    }
    return {mark, true};
}

/// The bundle is genuine; now whether it may be used, and now. An empty answer: yes.
Outcome admitted(Host& host, const Opened& opened) {
    const Bundle& bundle = opened.bundle;
    const auto seen = remembered_number(host, kept::epoch);
    if (const std::string objection = epoch_objection(seen, bundle.epoch); !objection.empty()) {
        throw Untrusted(std::string(kept::bundle) + ": " + objection);
    }
    if (const std::int64_t floor = floor_of(host, bundle); host.moment().now < floor) host.set_clock(floor);
    const Moment moment = host.moment();
    switch (judge(opened, moment)) {
        case Validity::valid:
            break;
        case Validity::not_yet:
            return {false, "the clock: it says " + utc(moment.now) + ", and the bundle is valid from " +
                               utc(std::max(bundle.issued, opened.not_before))};
        case Validity::expired:
            throw Untrusted("the bundle expired on " + utc(std::min(bundle.expires, opened.not_after)) +
                            "; hand over a new one, made with makina-image bundle create");
    }
    // In the wrong machine nothing is touched.
    if (const std::string objection = board_objection(host, bundle); !objection.empty()) return {false, objection};
    if (seen != bundle.epoch) remember_number(host, kept::epoch, bundle.epoch);
    return {true};
}

Verification verified(Host& host) {
    const auto mark = own_mark(host);
    Opened opened;
    try {
        const auto own = own_bundle(host);
        if (!own && mark) return {{true}, Identity{*mark, true}};
        if (!own) {
            return {{false, "a bundle: none on this card; put makina.bundle on the boot partition or a USB stick"}, {}};
        }
        opened = open_own(host, *own);
    } catch (const Untrusted&) {
        // Half wiped, if nothing newer than the mark was ever accepted.
        if (!mark || remembered_number(host, kept::epoch).value_or(0) > mark->epoch) throw;
        return {{true}, sealed_up(host, *mark)};
    }
    if (mark && mark->epoch >= opened.bundle.epoch) return {{true}, sealed_up(host, *mark)};
    const Outcome outcome = admitted(host, opened);
    return {outcome, Identity{opened.bundle, false}};
}

}  // namespace

Verification verify(Host& host) {
    take_deliveries(host);
    Verification verification = verified(host);
    verification.outcome.notice = notice_of(judged_deliveries(host));
    return verification;
}

Handover look_for_delivery(Host& host) {
    const std::vector<Judged> found = judged_deliveries(host);
    const auto any = [&](const auto& rule) { return std::any_of(found.begin(), found.end(), rule); };
    const bool ready = any([](const Judged& one) { return one.verdict != Judged::Verdict::refuse; });
    const bool newer = any([](const Judged& one) { return one.verdict == Judged::Verdict::take; });
    return {ready, newer, notice_of(found)};
}

std::string way_out(Host& host) {
    try {
        (void)card_trust(host);
    } catch (const Error&) {
        return "a new card: this one does not say any more whom it believes";
    }
    return "another bundle (makina-image bundle create): put makina.bundle on a USB stick or the boot partition";
}

}  // namespace makina
