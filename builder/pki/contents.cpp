#include "builder/pki/contents.hpp"

#include <map>

#include "builder/pki/kubeconfig.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/payload.hpp"

namespace makina {
namespace {

/// Names and organisations below are those that kubeadm gives its own certificates: kubernetes/kubernetes
/// cmd/kubeadm/app/phases/certs/certlist.go and cmd/kubeadm/app/phases/kubeconfig/kubeconfig.go.
class Filling {
  public:
    Filling(const Recipient& recipient, const Material& material, std::int64_t now)
        : recipient_(recipient), material_(material), now_(now) {
        const std::string& cidr = recipient.header.address;
        address_ = cidr.substr(0, cidr.find('/'));
    }

    void put(const std::string& name, std::string content) { payloads_[name] = std::move(content); }
    void put_authority(const std::string& name) { put(name + ".crt", material_.text(name + ".crt")); }
    void put_authority_key(const std::string& name) { put(name + ".key", private_pem(material_.key(name), "")); }
    /// A certificate and its key; gives the serial number.
    std::string put_leaf(const std::string& name, const Holder& subject, Usage usage, const std::string& authority) {
        const Credential leaf = make_leaf(subject, usage, material_.credential(authority), now_);
        put(name + ".crt", to_pem(leaf.certificate));
        put(name + ".key", private_pem(leaf.key, ""));
        return serial_of(leaf.certificate);
    }

    std::string put_node();
    void put_kubelet();
    void put_worker();
    void put_etcd();
    void put_control_plane();

    [[nodiscard]] std::vector<Payload> payloads() {
        std::vector<Payload> result;
        for (auto& [name, content] : payloads_) result.push_back({name, std::move(content)});
        return result;
    }

  private:
    void put_offline();
    void put_etcd_leaves();
    void put_kubeconfig(const std::string& name, const Holder& subject, const std::string& server);
    [[nodiscard]] std::string encryption_configuration() const;
    [[nodiscard]] const std::string& node() const { return recipient_.header.node; }

    const Recipient& recipient_;
    const Material& material_;
    std::int64_t now_;
    std::string address_;
    std::map<std::string, std::string> payloads_;
};

std::string Filling::put_node() {
    put_authority("makina-ca");
    return put_leaf("node", {node(), "", {node()}, {address_}}, Usage::peer, "makina-ca");
}

/// Kubernetes' node authorizer knows a kubelet by this name and group.
void Filling::put_kubelet() {
    put_leaf("kubelet", {"system:node:" + node(), "system:nodes", {}, {}}, Usage::client, "kubernetes-ca");
}

void Filling::put_worker() {
    put_authority("kubernetes-ca");
    put_kubelet();
}

/// kubeadm refuses certificates of etcd in which one of these names is missing.
void Filling::put_etcd_leaves() {
    const Holder subject{node(), "", {"localhost", node()}, {"127.0.0.1", "::1", address_}};
    put_leaf("etcd-server", subject, Usage::peer, "etcd-ca");
    put_leaf("etcd-peer", subject, Usage::peer, "etcd-ca");
}

void Filling::put_etcd() {
    put_authority("etcd-ca");
    put_etcd_leaves();
}

void Filling::put_control_plane() {
    put_authority("kubernetes-ca");
    put_authority("front-proxy-ca");
    put_authority("etcd-ca");
    put("service-account.key", private_pem(material_.key("service-account"), ""));
    put("service-account.pub", material_.text("service-account.pub"));
    put("encryption.yaml", encryption_configuration());
    if (recipient_.external_etcd || recipient_.offline) {
        put_leaf("etcd-client", {"kube-apiserver-etcd-client", "", {}, {}}, Usage::client, "etcd-ca");
    }
    // With this the daemon asks etcd who its members are, and removes a dead one.
    if (!recipient_.external_etcd) {
        put_leaf("etcd-healthcheck-client", {"kube-etcd-healthcheck-client", "", {}, {}}, Usage::client, "etcd-ca");
    }
    if (recipient_.offline) return put_offline();
    put_kubelet();
    put_authority_key("kubernetes-ca");
    put_authority_key("front-proxy-ca");
    if (!recipient_.external_etcd) put_authority_key("etcd-ca");
}

void Filling::put_offline() {
    const std::string& admins = recipient_.admin_group;
    put_leaf("apiserver", {"kube-apiserver", "", recipient_.api_names, recipient_.api_addresses}, Usage::server,
             "kubernetes-ca");
    put_leaf("apiserver-kubelet-client", {"kube-apiserver-kubelet-client", admins, {}, {}}, Usage::client,
             "kubernetes-ca");
    put_leaf("front-proxy-client", {"front-proxy-client", "", {}, {}}, Usage::client, "front-proxy-ca");
    if (!recipient_.external_etcd) put_etcd_leaves();
    const std::string api = "https://" + recipient_.header.api;
    // The node's own API server: these two are of its version, which the others behind the balancer may not be.
    const std::string local = "https://" + address_ + ":6443";
    put_kubeconfig("admin.conf", {"kubernetes-admin", admins, {}, {}}, api);
    if (admins != "system:masters") {
        put_kubeconfig("super-admin.conf", {"kubernetes-super-admin", "system:masters", {}, {}}, api);
    }
    put_kubeconfig("kubelet.conf", {"system:node:" + node(), "system:nodes", {}, {}}, api);
    put_kubeconfig("controller-manager.conf", {"system:kube-controller-manager", "", {}, {}}, local);
    put_kubeconfig("scheduler.conf", {"system:kube-scheduler", "", {}, {}}, local);
}

void Filling::put_kubeconfig(const std::string& name, const Holder& subject, const std::string& server) {
    put(name, make_kubeconfig(subject, {recipient_.header.cluster, server}, material_, now_));
}

/// kubernetes.io, "Encrypting Confidential Data at Rest": the first provider writes, all of them read.
std::string Filling::encryption_configuration() const {
    return "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n  - resources:\n"
           "      - secrets\n    providers:\n      - secretbox:\n          keys:\n            - name: makina-1\n"
           "              secret: " +
           material_.secret("encryption.key") + "\n      - identity: {}\n";
}

}  // namespace

Contents contents_for(const Recipient& recipient, const Material& material, const std::string& trust,
                      std::int64_t now) {
    Filling filling(recipient, material, now);
    Contents contents;
    contents.certificate = filling.put_node();
    filling.put("trust", trust);
    const std::string& role = recipient.header.role;
    if (role == "control-plane") {
        filling.put_control_plane();
    } else if (role == "worker") {
        filling.put_worker();
    } else if (role == "etcd") {
        filling.put_etcd();
    } else if (role != "load-balancer" && role != "gateway") {
        throw Error("no bundle is known for the role " + role);
    }
    for (const Payload& payload : recipient.configuration) filling.put(payload.name, payload.content);
    contents.payloads = filling.payloads();
    return contents;
}

}  // namespace makina
