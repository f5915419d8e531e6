#include "tests/daemon/kubernetes_scene.hpp"

#include <algorithm>

namespace makina::test {
namespace {

const Access root_only = {0600, "root", "root"};
constexpr const char* manifests = "/etc/kubernetes/manifests/";
constexpr const char* discovery = "/etc/kubernetes/makina/discovery.conf";

bool says(const std::vector<std::string>& argv, const std::string& word) {
    return std::ranges::find(argv, word) != argv.end();
}

void phase(FakeHost& host, const std::string& name, const std::function<void()>& work) {
    host.net_change("kubeadm phase " + name, work);
}

bool has_content(const FakeHost& host, const std::string& path) {
    return !host.text(path).empty();
}

bool is_control_plane(const FakeHost& host) {
    return host.has("/etc/kubernetes/pki/ca.key");
}

void put_pods(FakeHost& host) {
    for (const char* const pod : {"kube-apiserver", "kube-controller-manager", "kube-scheduler"}) {
        host.put(manifests + std::string(pod) + ".yaml", "kind: Pod\n", root_only);
    }
}

void start_kubelet(FakeHost& host, const std::string& server) {
    host.put("/var/lib/kubelet/config.yaml", "kind: KubeletConfiguration\n");
    host.put("/etc/kubernetes/kubelet.conf", "clusters:\n- cluster:\n    server: " + server + "\n", root_only);
    host.put("/run/active/kubelet", "");
    host.put(outside_node, "Ready");
}

void start_etcd(FakeHost& host) {
    host.put("/var/lib/etcd/member/wal", "");
    host.put(manifests + std::string("etcd.yaml"), "kind: Pod\n", root_only);
}

/// What a real preflight refuses; empty if it refuses nothing.
std::string objection(const FakeHost& host) {
    for (const std::string file : {"/etc/kubernetes/kubelet.conf", "/etc/kubernetes/manifests/kube-apiserver.yaml",
                                   "/etc/kubernetes/manifests/etcd.yaml", "/var/lib/etcd/member/wal"}) {
        if (host.has(file)) return "error execution phase preflight:\n\t[ERROR FileAvailable]: " + file + " exists\n";
    }
    return "";
}

/// What kubeadm makes of the authorities' keys. What it finds it keeps, if it can be read.
Answer make_certificates(FakeHost& host) {
    for (const std::string name : {"apiserver", "apiserver-kubelet-client", "front-proxy-client", "etcd/server"}) {
        const std::string path = "/etc/kubernetes/pki/" + name;
        if (!host.has(path + ".crt") && !host.has(path + ".key")) {
            phase(host, "certs " + name, [&] {
                host.put(path + ".key", "key of " + name + "\n", root_only);
                host.put(path + ".crt", "certificate of " + name + "\n");
            });
        }
        if (has_content(host, path + ".crt") && has_content(host, path + ".key")) continue;
        return {1, "", "error execution phase certs: failure loading " + name + " certificate\n"};
    }
    return {};
}

/// What makes kubeadm fail that goes on with the files of an earlier run; empty if nothing does.
std::string unreadable(const FakeHost& host) {
    for (const std::string name : {"admin.conf", "kubelet.conf"}) {
        const std::string path = "/etc/kubernetes/" + name;
        if (host.has(path) && !has_content(host, path)) {
            return "error execution phase kubeconfig: failed to load " + path + ": invalid configuration\n";
        }
    }
    return "";
}

Answer init(FakeHost& host, const std::vector<std::string>& argv) {
    if (says(argv, "phase")) {
        phase(host, "kubeconfig", [&] { host.put(argv.back() + "/admin.conf", "kind: Config\n", root_only); });
        return {};
    }
    if (!says(argv, "--skip-phases=preflight")) {
        if (const std::string reason = objection(host); !reason.empty()) return {1, "", reason};
    }
    if (!is_control_plane(host)) return {1, "", "error execution phase certs: no key\n"};
    if (Answer made = make_certificates(host); made.status != 0) return made;
    if (const std::string reason = unreadable(host); !reason.empty()) return {1, "", reason};
    phase(host, "kubeconfig", [&] { host.put("/etc/kubernetes/admin.conf", "kind: Config\n", root_only); });
    phase(host, "kubelet-start", [&] { start_kubelet(host, "https://192.168.3.240:9000"); });
    phase(host, "control-plane", [&] { put_pods(host); });
    phase(host, "etcd", [&] { start_etcd(host); });
    phase(host, "mark-control-plane", [] {});
    return {};
}

Answer join(FakeHost& host, const std::vector<std::string>& argv, const EtcdPhase& etcd) {
    if (says(argv, "phase")) {
        // It asks the cluster for its configuration, as every phase of a join.
        if (!host.has(discovery)) {
            return {1, "",
                    "open " + std::string(discovery) +
                        ": no such file or directory\nTo see the stack trace of this error execute with --v=5 "
                        "or higher\n"};
        }
        phase(host, "mark-control-plane", [] {});
        return {};
    }
    if (const std::string reason = objection(host); !reason.empty()) return {1, "", reason};
    const std::string conf = host.text(discovery);
    const std::size_t at = conf.find("server: ");
    if (at == std::string::npos) return {1, "", "error execution phase preflight: couldn't validate the identity\n"};
    const std::string server = conf.substr(at + 8, conf.find('\n', at) - at - 8);
    const bool control_plane = is_control_plane(host);
    if (control_plane) phase(host, "control-plane-prepare", [&] { put_pods(host); });
    phase(host, "kubelet-start", [&] { start_kubelet(host, server); });
    if (!control_plane) return {};
    std::string fault;
    phase(host, "etcd member", [&] {
        if (etcd.add) fault = etcd.add();
    });
    if (!fault.empty()) return {1, "", "error execution phase control-plane-join/etcd: " + fault + "\n"};
    phase(host, "etcd pod", [&] { start_etcd(host); });
    phase(host, "etcd promote", [&] {
        if (etcd.promote) fault = etcd.promote();
    });
    if (!fault.empty()) return {1, "", "error execution phase control-plane-join/etcd: " + fault + "\n"};
    phase(host, "mark-control-plane", [] {});
    return {};
}

Answer reset(FakeHost& host) {
    phase(host, "reset", [&] {
        std::erase_if(host.machine.files, [](const auto& file) {
            const std::string& path = file.first;
            const bool conf = path.rfind("/etc/kubernetes/", 0) == 0 && path.ends_with(".conf") &&
                              path.find('/', 16) == std::string::npos;
            return conf || path.rfind(manifests, 0) == 0 || path.rfind("/etc/kubernetes/pki/", 0) == 0 ||
                   path.rfind("/var/lib/kubelet/", 0) == 0 || path == "/run/active/kubelet";
        });
        if (host.has(outside_node)) host.put(outside_node, "NotReady");
    });
    return {};
}

}  // namespace

bool has_etcd_pod(const FakeHost& host) {
    return has_content(host, manifests + std::string("etcd.yaml")) && host.has("/run/active/kubelet");
}

Answer kubeadm(FakeHost& host, const std::vector<std::string>& argv, const EtcdPhase& etcd) {
    if (argv.at(1) == "init") return init(host, argv);
    if (argv.at(1) == "join") return join(host, argv, etcd);
    if (argv.at(1) == "reset") return reset(host);
    return {1, "", "unknown command\n"};
}

Answer kubectl(FakeHost& host, const std::vector<std::string>& argv) {
    if (says(argv, "annotate")) {
        if (!host.has(outside_node)) return {1, "", "Error from server (NotFound)\n"};
        host.put(outside_epoch, argv.back().substr(argv.back().find('=') + 1));
    }
    if (says(argv, "delete")) {
        host.machine.files.erase(outside_node);
        host.machine.files.erase(outside_epoch);
    }
    return {};
}

Response ask_api_server(FakeHost& host, const Request& request, bool cluster_answers, bool etcd_serves) {
    const std::string own =
        host.machine.interfaces.at(0).addresses.empty() ? std::string() : host.machine.interfaces.at(0).addresses[0];
    const bool at_home = request.port == 6443 && request.address == own.substr(0, own.find('/')) &&
                         has_content(host, manifests + std::string("kube-apiserver.yaml")) && has_etcd_pod(host) &&
                         etcd_serves;
    const bool at_balancer = request.port == 9000 && request.address == "192.168.3.240" && cluster_answers;
    if (!at_home && !at_balancer) return {0, "", "connection refused", false};
    if (request.target == "/readyz") return {200, "ok", "", true};
    const std::string state = host.text(outside_node);
    if (!host.has(outside_node)) return {404, "", "", true};
    const std::string epoch = host.text(outside_epoch);
    return {200,
            R"({"kind":"Node","metadata":{"annotations":{)" +
                (epoch.empty() ? "" : R"("makina-epoch":")" + epoch + "\"") + R"(}},"status":{"conditions":[{"type":)" +
                R"("Ready","status":")" + (state == "Ready" ? "True" : "Unknown") + R"("}]}})",
            "", true};
}

}  // namespace makina::test
