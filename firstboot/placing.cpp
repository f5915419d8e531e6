#include "firstboot/placing.hpp"

#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/payload.hpp"

namespace makina {
namespace {

const PayloadKind& kind_of(const Bundle& bundle, const Payload& payload) {
    const PayloadKind* const kind = payload_kind(bundle.role, payload.name);
    if (kind == nullptr) throw Error("a " + bundle.role + " has no payload \"" + payload.name + "\"");
    return *kind;
}

Access access_of(const PayloadKind& kind) {
    return {kind.mode, std::string(kind.owner), std::string(kind.owner)};
}

bool is_placed(Host& host, const PayloadKind& kind, const std::string& content) {
    const std::string path(kind.path);
    const auto facts = host.look(path);
    return facts && facts->kind == PathFacts::Kind::regular && facts->access == access_of(kind) &&
           facts->size == content.size() && host.read(path, largest_payload) == content;
}

}  // namespace

std::vector<std::string> unplaced(Host& host, const Bundle& bundle) {
    std::vector<std::string> missing;
    for (const Payload& payload : bundle.payloads) {
        if (!is_placed(host, kind_of(bundle, payload), payload.content)) missing.push_back(payload.name);
    }
    return missing;
}

void place(Host& host, const Bundle& bundle) {
    for (const Payload& payload : bundle.payloads) {
        const PayloadKind& kind = kind_of(bundle, payload);
        if (is_placed(host, kind, payload.content)) continue;
        if (kind.secret) {
            host.replace(std::string(kind.path), payload.content, access_of(kind));
        } else {
            host.write(std::string(kind.path), payload.content, access_of(kind));
        }
    }
}

}  // namespace makina
