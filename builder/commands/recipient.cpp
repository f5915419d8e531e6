#include "builder/commands/recipient.hpp"

#include <algorithm>

#include "builder/commands/cluster.hpp"
#include "builder/pki/push.hpp"
#include "builder/plan.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

bool is_offline(Pki pki) {
    switch (pki) {
        case Pki::online:
            return false;
        case Pki::offline:
            return true;
    }
    throw Error("an unknown way to keep authorities");
}

template <typename T>
void add_once(std::vector<T>& list, const T& value) {
    if (std::find(list.begin(), list.end(), value) == list.end()) list.push_back(value);
}

/// The names that kubeadm puts into the API server's certificate itself (kubernetes/kubernetes
/// cmd/kubeadm/app/util/pkiutil: GetAPIServerAltNames), and those that the plan gives it as certSANs.
void name_api_server(Recipient& recipient, const Profile& profile, const Node& node) {
    recipient.api_names = {"kubernetes", "kubernetes.default", "kubernetes.default.svc",
                           "kubernetes.default.svc." + profile.network.domain, "kubernetes-api"};
    add_once(recipient.api_names, node.name);
    const Address service{profile.network.services.first().value + 1};
    recipient.api_addresses = {to_string(service)};
    add_once(recipient.api_addresses, to_string(node.address));
    add_once(recipient.api_addresses, to_string(profile.api.address));
    for (const std::string& name : profile.api.names) {
        add_once(parse_address(name) ? recipient.api_addresses : recipient.api_names, name);
    }
}

/// Workers know the others, but nobody has to know them: a cluster may have very many.
std::vector<Peer> peers_of(const Profile& profile) {
    std::vector<Peer> peers;
    for (const Node& node : profile.nodes) {
        if (node.role == Role::worker) continue;
        peers.push_back({node.name, to_string(node.role), to_string(node.address)});
    }
    std::sort(peers.begin(), peers.end(), [](const Peer& a, const Peer& b) { return a.name < b.name; });
    return peers;
}

/// What opens the place that an etcd node copies its snapshots to.
void add_credentials(Recipient& recipient, const Snapshots& snapshots) {
    if (snapshots.credentials.empty() || snapshots.every == 0) return;
    std::vector<Payload> credentials =
        snapshots.bucket.empty() ? ssh_credentials(snapshots.credentials) : s3_credentials(snapshots.credentials);
    std::ranges::move(credentials, std::back_inserter(recipient.configuration));
}

}  // namespace

Recipient recipient_of(const Profile& profile, const Node& node) {
    Recipient recipient;
    Bundle& header = recipient.header;
    header.cluster = profile.name;
    header.node = node.name;
    header.role = to_string(node.role);
    header.architecture = to_string(node.architecture);
    header.board = to_string(node.hardware);
    header.serial = node.serial;
    header.mac = node.mac;
    header.address = to_string(Subnet{node.address, profile.network.subnet.prefix});
    if (node.role == Role::gateway) header.interface = inside_interface(profile.gateway, node);
    header.api = to_string(profile.api.address) + ":" + std::to_string(profile.api.port);
    header.spare = node.spare_partition;
    header.peers = peers_of(profile);
    recipient.external_etcd = profile.etcd.topology == EtcdTopology::external;
    recipient.offline = is_offline(profile.pki);
    recipient.admin_group = admin_group(profile);
    recipient.configuration = handed_over(profile, node, project_folder() / "overlays");
    if (node.role == Role::etcd) add_credentials(recipient, profile.etcd.snapshots);
    name_api_server(recipient, profile, node);
    return recipient;
}

std::string admin_group(const Profile& profile) {
    return profile.kubernetes.version < Version{1, 29, 0} ? "system:masters" : "kubeadm:cluster-admins";
}

}  // namespace makina
