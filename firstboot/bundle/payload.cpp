#include "firstboot/bundle/payload.hpp"

#include <algorithm>
#include <array>

namespace makina {
namespace {

// A key's owner is who runs the program that reads it. kubeadm's names: kubernetes.io, "PKI certificates and
// requirements". A worker's authority stands elsewhere: kubeadm join refuses a /etc/kubernetes/pki/ca.crt that is
// there.
constexpr auto kinds = std::to_array<PayloadKind>({
    {"control-plane", "admin.conf", "/etc/kubernetes/admin.conf", 0600, "root", true},
    {"control-plane", "apiserver-kubelet-client.crt", "/etc/kubernetes/pki/apiserver-kubelet-client.crt", 0644, "root",
     false},
    {"control-plane", "apiserver-kubelet-client.key", "/etc/kubernetes/pki/apiserver-kubelet-client.key", 0600, "root",
     true},
    {"control-plane", "apiserver.crt", "/etc/kubernetes/pki/apiserver.crt", 0644, "root", false},
    {"control-plane", "apiserver.key", "/etc/kubernetes/pki/apiserver.key", 0600, "root", true},
    {"control-plane", "controller-manager.conf", "/etc/kubernetes/controller-manager.conf", 0600, "root", true},
    {"control-plane", "encryption.yaml", "/etc/kubernetes/pki/encryption.yaml", 0600, "root", true},
    {"control-plane", "etcd-ca.crt", "/etc/kubernetes/pki/etcd/ca.crt", 0644, "root", false},
    {"control-plane", "etcd-ca.key", "/etc/kubernetes/pki/etcd/ca.key", 0600, "root", true},
    {"control-plane", "etcd-client.crt", "/etc/kubernetes/pki/apiserver-etcd-client.crt", 0644, "root", false},
    {"control-plane", "etcd-client.key", "/etc/kubernetes/pki/apiserver-etcd-client.key", 0600, "root", true},
    {"control-plane", "etcd-healthcheck-client.crt", "/etc/kubernetes/pki/etcd/healthcheck-client.crt", 0644, "root",
     false},
    {"control-plane", "etcd-healthcheck-client.key", "/etc/kubernetes/pki/etcd/healthcheck-client.key", 0600, "root",
     true},
    {"control-plane", "etcd-peer.crt", "/etc/kubernetes/pki/etcd/peer.crt", 0644, "root", false},
    {"control-plane", "etcd-peer.key", "/etc/kubernetes/pki/etcd/peer.key", 0600, "root", true},
    {"control-plane", "etcd-server.crt", "/etc/kubernetes/pki/etcd/server.crt", 0644, "root", false},
    {"control-plane", "etcd-server.key", "/etc/kubernetes/pki/etcd/server.key", 0600, "root", true},
    {"control-plane", "front-proxy-ca.crt", "/etc/kubernetes/pki/front-proxy-ca.crt", 0644, "root", false},
    {"control-plane", "front-proxy-ca.key", "/etc/kubernetes/pki/front-proxy-ca.key", 0600, "root", true},
    {"control-plane", "front-proxy-client.crt", "/etc/kubernetes/pki/front-proxy-client.crt", 0644, "root", false},
    {"control-plane", "front-proxy-client.key", "/etc/kubernetes/pki/front-proxy-client.key", 0600, "root", true},
    {"control-plane", "haproxy.cfg", "/etc/haproxy/haproxy.cfg", 0644, "root", false, "/etc/haproxy/haproxy.cfg"},
    {"control-plane", "haproxy.yaml", "/etc/kubernetes/manifests/haproxy.yaml", 0644, "root", false,
     "/etc/kubernetes/manifests/haproxy.yaml"},
    {"control-plane", "keepalived.conf", "/etc/keepalived/keepalived.conf", 0644, "root", false,
     "/etc/keepalived/keepalived.conf"},
    {"control-plane", "keepalived.yaml", "/etc/kubernetes/manifests/keepalived.yaml", 0644, "root", false,
     "/etc/kubernetes/manifests/keepalived.yaml"},
    {"control-plane", "kubelet.conf", "/etc/kubernetes/kubelet.conf", 0600, "root", true},
    {"control-plane", "kubelet.crt", "/etc/kubernetes/makina/kubelet.crt", 0644, "root", false},
    {"control-plane", "kubelet.key", "/etc/kubernetes/makina/kubelet.key", 0600, "root", true},
    {"control-plane", "kubernetes-ca.crt", "/etc/kubernetes/pki/ca.crt", 0644, "root", false},
    {"control-plane", "kubernetes-ca.key", "/etc/kubernetes/pki/ca.key", 0600, "root", true},
    {"control-plane", "makina-ca.crt", "/etc/makina/pki/ca.crt", 0644, "root", false},
    {"control-plane", "node.crt", "/etc/makina/pki/node.crt", 0644, "root", false},
    {"control-plane", "node.key", "/etc/makina/pki/node.key", 0600, "root", true},
    {"control-plane", "scheduler.conf", "/etc/kubernetes/scheduler.conf", 0600, "root", true},
    {"control-plane", "service-account.key", "/etc/kubernetes/pki/sa.key", 0600, "root", true},
    {"control-plane", "service-account.pub", "/etc/kubernetes/pki/sa.pub", 0644, "root", false},
    {"control-plane", "super-admin.conf", "/etc/kubernetes/super-admin.conf", 0600, "root", true},
    {"control-plane", "trust", "/var/lib/makina/trust", 0644, "root", false},
    {"etcd", "etcd-ca.crt", "/etc/etcd/pki/ca.crt", 0644, "root", false},
    {"etcd", "etcd-peer.crt", "/etc/etcd/pki/peer.crt", 0644, "root", false},
    {"etcd", "etcd-peer.key", "/etc/etcd/pki/peer.key", 0600, "etcd", true},
    {"etcd", "etcd-server.crt", "/etc/etcd/pki/server.crt", 0644, "root", false},
    {"etcd", "etcd-server.key", "/etc/etcd/pki/server.key", 0600, "etcd", true},
    {"etcd", "makina-ca.crt", "/etc/makina/pki/ca.crt", 0644, "root", false},
    {"etcd", "node.crt", "/etc/makina/pki/node.crt", 0644, "root", false},
    {"etcd", "node.key", "/etc/makina/pki/node.key", 0600, "root", true},
    {"etcd", "snapshots-known-hosts", "/etc/makina/snapshots/known-hosts", 0644, "root", false},
    {"etcd", "snapshots-s3", "/etc/makina/snapshots/s3", 0600, "root", true},
    {"etcd", "snapshots-ssh.key", "/etc/makina/snapshots/ssh.key", 0600, "root", true},
    {"etcd", "trust", "/var/lib/makina/trust", 0644, "root", false},
    {"gateway", "makina-ca.crt", "/etc/makina/pki/ca.crt", 0644, "root", false},
    {"gateway", "node.crt", "/etc/makina/pki/node.crt", 0644, "root", false},
    {"gateway", "node.key", "/etc/makina/pki/node.key", 0600, "root", true},
    {"gateway", "trust", "/var/lib/makina/trust", 0644, "root", false},
    {"load-balancer", "haproxy.cfg", "/etc/makina/balancer/haproxy.cfg", 0644, "root", false,
     "/etc/haproxy/haproxy.cfg"},
    {"load-balancer", "keepalived.conf", "/etc/makina/balancer/keepalived.conf", 0644, "root", false,
     "/etc/keepalived/keepalived.conf"},
    {"load-balancer", "makina-ca.crt", "/etc/makina/pki/ca.crt", 0644, "root", false},
    {"load-balancer", "node.crt", "/etc/makina/pki/node.crt", 0644, "root", false},
    {"load-balancer", "node.key", "/etc/makina/pki/node.key", 0600, "root", true},
    {"load-balancer", "trust", "/var/lib/makina/trust", 0644, "root", false},
    {"worker", "kubelet.crt", "/etc/kubernetes/makina/kubelet.crt", 0644, "root", false},
    {"worker", "kubelet.key", "/etc/kubernetes/makina/kubelet.key", 0600, "root", true},
    {"worker", "kubernetes-ca.crt", "/etc/kubernetes/makina/ca.crt", 0644, "root", false},
    {"worker", "makina-ca.crt", "/etc/makina/pki/ca.crt", 0644, "root", false},
    {"worker", "node.crt", "/etc/makina/pki/node.crt", 0644, "root", false},
    {"worker", "node.key", "/etc/makina/pki/node.key", 0600, "root", true},
    {"worker", "trust", "/var/lib/makina/trust", 0644, "root", false},
});

}  // namespace

std::span<const PayloadKind> payload_kinds() {
    return kinds;
}

const PayloadKind* payload_kind(std::string_view role, std::string_view name) {
    const auto* const found = std::find_if(
        kinds.begin(), kinds.end(), [&](const PayloadKind& kind) { return kind.role == role && kind.name == name; });
    return found == kinds.end() ? nullptr : found;
}

}  // namespace makina
