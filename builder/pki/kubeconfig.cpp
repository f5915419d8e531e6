#include "builder/pki/kubeconfig.hpp"

#include "builder/pki/pki.hpp"
#include "builder/pki/state.hpp"
#include "firstboot/bundle/encoding.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {

/// Nothing in it needs quotes but for YAML's sake: names of ours, base64 and an address that was checked.
std::string make_kubeconfig(const Holder& user, const ApiPlace& place, const Material& material, std::int64_t now,
                            std::int64_t lifetime) {
    const Credential leaf = make_leaf(user, Usage::client, material.credential("kubernetes-ca"), now, lifetime);
    const std::string context = user.name + "@" + place.cluster;
    return "apiVersion: v1\nkind: Config\nclusters:\n  - name: \"" + place.cluster +
           "\"\n    cluster:\n      server: \"" + place.server +
           "\"\n      certificate-authority-data: " + to_base64(material.text("kubernetes-ca.crt")) +
           "\nusers:\n  - name: \"" + user.name +
           "\"\n    user:\n      client-certificate-data: " + to_base64(to_pem(leaf.certificate)) +
           "\n      client-key-data: " + to_base64(private_pem(leaf.key, "")) + "\ncontexts:\n  - name: \"" + context +
           "\"\n    context:\n      cluster: \"" + place.cluster + "\"\n      user: \"" + user.name +
           "\"\ncurrent-context: \"" + context + "\"\n";
}

std::string Keys::kubeconfig(const User& user, const std::string& server, std::int64_t now,
                             std::int64_t valid_for) const {
    if (valid_for < 1) throw Error("a kubeconfig is valid for a second or more");
    return make_kubeconfig({user.name, user.group, {}, {}}, {state_->cluster.name, server}, state_->material, now,
                           valid_for);
}

}  // namespace makina
