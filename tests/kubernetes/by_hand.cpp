#include "tests/kubernetes/by_hand.hpp"

#include <algorithm>
#include <ctime>
#include <fstream>

#include "builder/commands/recipient.hpp"
#include "firstboot/bundle/encoding.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/payload.hpp"
#include "firstboot/bundle/sealed.hpp"
#include "tests/unit/scratch.hpp"

namespace makina::kubernetes {
namespace {

constexpr std::int64_t a_month = 30 * 86400;

Bundle next_bundle(Cluster& cluster, const std::string& node) {
    const Profile& profile = cluster.lab().profile();
    const Issued issued = cluster.lab().keys().issue(recipient_of(profile, *profile.find(node)), true,
                                                     std::time(nullptr), a_month, "by hand");
    return open_sealed(issued.sealed, decode_trust(issued.trust)).bundle;
}

std::string kubeconfig(const std::string& api, const Credential& authority, const Holder& subject) {
    const Credential own = make_leaf(subject, Usage::client, authority, std::time(nullptr));
    return "apiVersion: v1\nkind: Config\nclusters:\n- name: lab\n  cluster:\n    server: https://" + api +
           "\n    certificate-authority-data: " + to_base64(to_pem(authority.certificate)) +
           "\nusers:\n- name: joining\n  user:\n    client-certificate-data: " + to_base64(to_pem(own.certificate)) +
           "\n    client-key-data: " + to_base64(private_pem(own.key, "")) +
           "\ncontexts:\n- name: joining\n  context:\n    cluster: lab\n    user: joining\ncurrent-context: joining\n";
}

}  // namespace

Bundle bundle_on(const lab::Machine& machine) {
    return open_sealed(slurp(machine.file(Bundle::path)), decode_trust(slurp(machine.file(std::string(Trust::path)))))
        .bundle;
}

const std::string& payload_of(const Bundle& bundle, const std::string& name) {
    const auto found = std::ranges::find(bundle.payloads, name, &Payload::name);
    if (found == bundle.payloads.end()) throw Error("the bundle of " + bundle.node + " has no " + name);
    return found->content;
}

Credential kubernetes_authority(const Bundle& bundle) {
    return {certificate_from_pem(payload_of(bundle, "kubernetes-ca.crt")),
            key_from_pem(payload_of(bundle, "kubernetes-ca.key"), "")};
}

void put(const fs::path& file, const std::string& content, std::uint32_t mode) {
    fs::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary | std::ios::trunc) << content;
    fs::permissions(file, static_cast<fs::perms>(mode));
}

void put_keys(Cluster& cluster, const std::string& node) {
    const lab::Machine& machine = cluster.machine(node);
    const Bundle own = next_bundle(cluster, node);
    for (const Payload& payload : own.payloads) {
        const PayloadKind* const kind = payload_kind(own.role, payload.name);
        if (kind == nullptr) throw Error("no payload is called " + payload.name);
        put(machine.file(std::string(kind->path)), payload.content, kind->mode);
    }
    const Credential authority =
        kubernetes_authority(own.role == "control-plane" ? own : next_bundle(cluster, masters[0]));
    const Holder subject = {"system:bootstrap:" + node, "system:bootstrappers:kubeadm:default-node-token", {}, {}};
    put(machine.file("/etc/kubernetes/makina/discovery.conf"), kubeconfig(own.api, authority, subject), 0600);
}

Result run_kubeadm(Cluster& cluster, const std::string& node, const std::string& verb) {
    static_cast<void>(cluster.machine(node).run({"sysctl", "--quiet", "--system", "--pattern", "^net[.]"}));
    return cluster.machine(node).run({"kubeadm", verb, "--config", "/etc/kubernetes/makina/" + verb + ".yaml"});
}

}  // namespace makina::kubernetes
