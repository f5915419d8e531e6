#include "firstboot/join/leftovers.hpp"

#include <algorithm>
#include <string_view>
#include <vector>

#include "firstboot/bundle/payload.hpp"

namespace makina {
namespace {

const std::string kubernetes = "/etc/kubernetes";
const std::string pki = "/etc/kubernetes/pki";
const std::string manifests = "/etc/kubernetes/manifests";
const std::string kubelet = "/var/lib/kubelet";
const std::string kubelet_pki = "/var/lib/kubelet/pki";
const std::string kubelet_conf = "/etc/kubernetes/kubelet.conf";

/// What kubeadm makes by itself of the authorities' keys (kubernetes.io, "PKI certificates and requirements"). The
/// authorities are the bundle's, which are placed anew at each power-on; what else lies there is a person's.
constexpr const char* certificates[] = {"apiserver", "apiserver-kubelet-client", "apiserver-etcd-client", "etcd/server",
                                        "etcd/peer", "etcd/healthcheck-client",  "front-proxy-client"};

bool is_placed(const Bundle& bundle, const std::string& path) {
    return std::ranges::any_of(bundle.payloads, [&](const Payload& payload) {
        const PayloadKind* const kind = payload_kind(bundle.role, payload.name);
        return kind != nullptr && kind->path == path;
    });
}

/// Regular files in a folder whose names end so.
std::vector<std::string> files_in(Host& host, const std::string& folder, std::string_view end) {
    std::vector<std::string> paths;
    for (const std::string& name : host.list(folder)) {
        std::string path = folder + "/" + name;
        const auto facts = host.look(path);
        if (name.ends_with(end) && facts && facts->kind == PathFacts::Kind::regular) paths.push_back(std::move(path));
    }
    return paths;
}

/// kubeadm takes a certificate only with its key: if one of them is lost, both are made again.
void clear_certificates(Host& host, const Bundle& bundle) {
    for (const char* const name : certificates) {
        const std::string path = pki + "/" + name;
        if (is_placed(bundle, path + ".crt") || is_placed(bundle, path + ".key")) continue;
        if (has_content(host, path + ".crt") && has_content(host, path + ".key")) continue;
        host.remove(path + ".crt");
        host.remove(path + ".key");
    }
}

void clear_empty(Host& host, const Bundle& bundle, const std::string& folder, std::string_view end) {
    for (const std::string& path : files_in(host, folder, end)) {
        if (!has_content(host, path) && !is_placed(bundle, path)) host.remove(path);
    }
}

/// What the kubelet got from the cluster: kubelet.conf tells it to use that, so it goes too, and kubeadm writes one
/// with a certificate in it.
void clear_kubelet_certificates(Host& host, const Bundle& bundle) {
    const auto pairs = files_in(host, kubelet_pki, ".pem");
    if (std::ranges::all_of(pairs, [&](const std::string& path) { return has_content(host, path); })) return;
    if (!is_placed(bundle, kubelet_conf)) host.remove(kubelet_conf);
    for (const std::string& path : pairs) host.remove(path);
    host.remove(kubelet_pki + "/kubelet-client-current.pem");
}

}  // namespace

bool has_content(Host& host, const std::string& path) {
    const auto facts = host.look(path);
    return facts && facts->size > 0;
}

bool has_kubelet_files(Host& host) {
    return has_content(host, kubelet_conf) && has_content(host, kubelet + "/config.yaml");
}

bool has_begun_init(Host& host) {
    for (const char* const pod : {"kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd"}) {
        if (host.look(manifests + "/" + pod + ".yaml")) return true;
    }
    return host.look(kubernetes + "/admin.conf") || host.look(kubelet_conf) || !host.list("/var/lib/etcd").empty();
}

void clear_leftovers(Host& host, const Bundle& bundle) {
    clear_certificates(host, bundle);
    clear_empty(host, bundle, kubernetes, ".conf");
    clear_empty(host, bundle, manifests, ".yaml");
    clear_kubelet_certificates(host, bundle);
}

void keep_kubernetes_files(Host& host) {
    std::vector<std::string> argv = {"sync"};
    for (const std::string& folder : {kubernetes, pki, pki + "/etcd", manifests, kubelet, kubelet_pki}) {
        const auto files = files_in(host, folder, "");
        argv.insert(argv.end(), files.begin(), files.end());
    }
    if (argv.size() > 1) (void)host.run(argv, 300);
}

}  // namespace makina
