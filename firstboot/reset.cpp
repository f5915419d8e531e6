#include "firstboot/bundle/error.hpp"
#include "firstboot/journal.hpp"
#include "firstboot/node/node.hpp"
#include "firstboot/run.hpp"

namespace makina {
namespace {

/// What a member of a cluster has, and what would be lost with it.
struct Trace {
    const char* path;
    const char* what;
};

constexpr Trace traces[] = {
    {"/var/lib/etcd/member", "an etcd member's data"},
    {"/var/lib/etcd/default/member", "an etcd member's data"},
    {"/var/lib/kubelet/pki/kubelet-client-current.pem", "a kubelet's identity"},
    {"/etc/kubernetes/kubelet.conf", "a kubelet's identity"},
};

}  // namespace

void reset(Host& host) {
    for (const Trace& trace : traces) {
        if (!host.look(trace.path)) continue;
        throw Error(std::string("this node is part of a cluster: ") + trace.path + " is " + trace.what +
                    "; nothing was changed");
    }
    const std::string journal(Journal::path);
    host.remove(journal);
    host.remove(journal + ".bad");
    host.remove(kept::clock);
    // Without its bundle the mark is all that says who the node is. The epoch stays: it keeps old bundles away.
    if (host.look(kept::bundle)) host.remove(kept::joined);
}

}  // namespace makina
