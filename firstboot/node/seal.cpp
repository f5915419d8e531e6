#include "firstboot/bundle/payload.hpp"
#include "firstboot/node/memory.hpp"
#include "firstboot/node/node.hpp"

namespace makina {

Outcome ask_seal(Host& host, const Bundle& bundle) {
    if (done_mark(host) != without_payloads(bundle)) return {false, "the done-mark"};
    if (host.look(kept::bundle)) return {false, "the bundle to be wiped"};
    return {true};
}

// Whether the card has been told which blocks are free cannot be asked: the stage is one that acts again.
Outcome do_seal(Host& host, const Bundle& bundle) {
    const Bundle mark = without_payloads(bundle);
    // What a power cut has left of keys that were replaced.
    for (const PayloadKind& kind : payload_kinds()) {
        if (kind.role == bundle.role && kind.secret) host.clear_beside(std::string(kind.path));
    }
    // Durable before the bundle goes: a power cut in between finds at least one of them.
    if (done_mark(host) != mark) host.write(kept::joined, encode(mark), private_access());
    host.wipe(kept::bundle);
    host.trim();
    return ask_seal(host, bundle);
}

}  // namespace makina
