#include "firstboot/node/memory.hpp"

#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/lines.hpp"
#include "firstboot/node/node.hpp"

namespace makina {

Access private_access() {
    return {0600, "root", "root"};
}

std::optional<std::uint64_t> remembered_number(Host& host, const char* path) {
    const auto text = host.read(path, 64);
    if (!text) return std::nullopt;
    const std::string_view line = *text;
    std::uint64_t number = 0;
    if (!line.ends_with('\n') || !read_number(line.substr(0, line.size() - 1), number)) {
        throw Error(std::string(path) + " is damaged: it is no number; remove it");
    }
    return number;
}

void remember_number(Host& host, const char* path, std::uint64_t number) {
    host.write(path, std::to_string(number) + "\n", private_access());
}

Trust card_trust(Host& host) {
    const std::string path(Trust::path);
    const auto text = host.read(path, Trust::largest);
    if (!text) throw Error(path + " is missing: this is no card that makina-image has written");
    return during(path, [&] { return decode_trust(*text); });
}

std::optional<Trust> newer_trust(Host& host, const Trust& card) {
    const auto facts = host.look(kept::trust);
    if (!facts || facts->kind != PathFacts::Kind::regular || facts->size > Trust::largest) return std::nullopt;
    const auto text = host.read(kept::trust, Trust::largest);
    if (!text) return std::nullopt;
    try {
        Trust trust = decode_trust(*text);
        const bool same = trust.cluster_id == card.cluster_id && trust.node == card.node && trust.role == card.role;
        return same ? std::optional(std::move(trust)) : std::nullopt;
    } catch (const Untrusted&) {
        return std::nullopt;
    }
}

std::optional<Bundle> done_mark(Host& host) {
    const auto facts = host.look(kept::joined);
    if (!facts || facts->kind != PathFacts::Kind::regular || facts->size > Bundle::largest) return std::nullopt;
    const auto text = host.read(kept::joined, Bundle::largest);
    if (!text) return std::nullopt;
    try {
        return decode_bundle(*text);
    } catch (const Untrusted&) {
        return std::nullopt;
    }
}

std::optional<std::string> own_bundle(Host& host) {
    const auto facts = host.look(kept::bundle);
    if (!facts) return std::nullopt;
    const std::string path = kept::bundle;
    if (facts->kind != PathFacts::Kind::regular) throw Untrusted(path + " is no regular file");
    if (facts->access != private_access()) throw Untrusted(path + " is not root's alone (0600, root:root)");
    if (facts->size > Bundle::largest) throw Untrusted(path + " is larger than a bundle can be");
    return host.read(path, Bundle::largest);
}

std::int64_t floor_of(Host& host, const Bundle& bundle) {
    const auto built = host.look(kept::clock_epoch);
    std::uint64_t known = 0;
    try {
        // A time server that was wrong once must not hold the clock there against one that is right.
        if (!host.moment().synced) known = remembered_number(host, kept::clock).value_or(0);
    } catch (const Error&) {
        // Written anew as soon as the time is known; until then the other two hold.
    }
    return clock_floor(built ? built->modified : 0, bundle.issued, static_cast<std::int64_t>(known));
}

}  // namespace makina
