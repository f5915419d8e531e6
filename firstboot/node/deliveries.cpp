#include "firstboot/node/deliveries.hpp"

#include <algorithm>
#include <optional>

#include "firstboot/bundle/error.hpp"
#include "firstboot/node/memory.hpp"
#include "firstboot/node/node.hpp"
#include "firstboot/utc.hpp"

namespace makina {
namespace {

/// What a delivery is compared with.
struct Standing {
    Trust trust;
    std::optional<std::uint64_t> seen;  ///< the highest epoch that the node knows of
    std::optional<std::uint64_t> has;   ///< the epoch of what it has: its own bundle, or the done-mark
    std::optional<std::string> own;     ///< sealed
    std::optional<Bundle> mark;
};

void raise(std::optional<std::uint64_t>& highest, std::uint64_t epoch) {
    highest = std::max(highest.value_or(0), epoch);
}

Standing standing_of(Host& host) {
    const Trust card = card_trust(host);
    Standing standing{newer_trust(host, card).value_or(card), remembered_number(host, kept::epoch), {}, {}, {}};
    standing.mark = done_mark(host);
    if (standing.mark) raise(standing.has, standing.mark->epoch);
    try {
        standing.own = own_bundle(host);
        if (standing.own) raise(standing.has, open_own(host, *standing.own).bundle.epoch);
    } catch (const Untrusted&) {
        // Whatever lies there, a genuine bundle that is handed over may take its place.
    }
    if (standing.has) raise(standing.seen, *standing.has);
    return standing;
}

/// True for the own bundle, and for one that a power cut left half wiped: each byte is the bundle's or zero.
bool is_remnant(const std::string& bytes, const std::optional<std::string>& own) {
    if (bytes.empty()) return false;
    if (bytes.find_first_not_of('\0') == std::string::npos) return true;
    return own && own->size() == bytes.size() &&
           std::equal(bytes.begin(), bytes.end(), own->begin(), [](char a, char b) { return a == b || a == '\0'; });
}

/// The clock as it will be once the bundle is the node's own and has raised it.
Moment raised(Host& host, const Bundle& bundle) {
    Moment moment = host.moment();
    moment.now = std::max(moment.now, floor_of(host, bundle));
    return moment;
}

std::string objection_to(Host& host, const Opened& opened, const Standing& standing) {
    const Bundle& bundle = opened.bundle;
    if (std::string objection = epoch_objection(standing.seen, bundle.epoch); !objection.empty()) {
        return objection;
    }
    if (standing.has && bundle.epoch <= *standing.has) {
        return "epoch " + std::to_string(bundle.epoch) + " is not newer than " + std::to_string(*standing.has) +
               ", which this node has";
    }
    switch (judge(opened, raised(host, bundle))) {
        case Validity::valid:
            return {};
        case Validity::not_yet:
            return "it is not valid yet: it was issued on " + utc(bundle.issued);
        case Validity::expired:
            return "it expired on " + utc(std::min(bundle.expires, opened.not_after));
    }
    return {};
}

Judged judged(Host& host, const Delivery& delivery, const Standing& standing) {
    using Verdict = Judged::Verdict;
    if (delivery.bytes.empty()) return {Verdict::refuse, delivery, "it is empty, too large or cannot be read", 0};
    if (is_remnant(delivery.bytes, standing.own)) return {Verdict::wipe, delivery, {}, 0};
    try {
        const Opened opened = host.open_bundle(delivery.bytes, standing.trust);
        if (standing.mark && *standing.mark == without_payloads(opened.bundle)) {
            return {Verdict::wipe, delivery, {}, 0};
        }
        const std::string objection = objection_to(host, opened, standing);
        return {objection.empty() ? Verdict::take : Verdict::refuse, delivery, objection, opened.bundle.epoch};
    } catch (const Untrusted& untrusted) {
        return {Verdict::refuse, delivery, untrusted.what(), 0};
    }
}

}  // namespace

std::vector<Judged> judged_deliveries(Host& host) {
    std::vector<Judged> found;
    const std::vector<Delivery> deliveries = host.deliveries();
    if (deliveries.empty()) return found;
    const Standing standing = standing_of(host);
    for (const Delivery& delivery : deliveries) found.push_back(judged(host, delivery, standing));
    return found;
}

std::string notice_of(const std::vector<Judged>& deliveries) {
    std::string notice;
    for (const Judged& one : deliveries) {
        if (one.verdict != Judged::Verdict::refuse) continue;
        notice += (notice.empty() ? "" : "; ") + one.delivery.place + " is refused: " + one.reason;
    }
    return notice;
}

void take_deliveries(Host& host) {
    // What a power cut has left of one whose place another has taken.
    host.clear_beside(kept::bundle);
    const std::vector<Judged> found = judged_deliveries(host);
    const Judged* newest = nullptr;
    for (const Judged& one : found) {
        if (one.verdict == Judged::Verdict::wipe) host.wipe_delivery(one.delivery);
        const bool better = newest == nullptr || one.epoch > newest->epoch;
        if (one.verdict == Judged::Verdict::take && better) newest = &one;
    }
    if (newest == nullptr) return;
    host.replace(kept::bundle, newest->delivery.bytes, private_access());
    host.wipe_delivery(newest->delivery);
    remember_number(host, kept::epoch, newest->epoch);
}

Opened open_own(Host& host, const std::string& sealed) {
    const Trust card = card_trust(host);
    const std::optional<Trust> newer = newer_trust(host, card);
    if (!newer) return host.open_bundle(sealed, card);
    try {
        return host.open_bundle(sealed, *newer);
    } catch (const Untrusted&) {
        Opened opened = host.open_bundle(sealed, card);
        const auto& payloads = opened.bundle.payloads;
        const bool brought = std::any_of(payloads.begin(), payloads.end(), [&](const Payload& payload) {
            return payload.name == "trust" && payload.content == encode(*newer);
        });
        if (!brought) throw;
        return opened;
    }
}

}  // namespace makina
