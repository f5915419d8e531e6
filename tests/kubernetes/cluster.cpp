#include "tests/kubernetes/cluster.hpp"

#include <gtest/gtest.h>
#include <sys/utsname.h>

#include <algorithm>
#include <sstream>

#include "builder/process.hpp"
#include "firstboot/bundle/error.hpp"
#include "tests/unit/clusters.hpp"
#include "tests/unit/scratch.hpp"

namespace makina::kubernetes {
namespace {

using Json = nlohmann::json;

constexpr const char* lent_programs = "/usr/lib/kubernetes";
constexpr const char* stand_ins = "/usr/lib/lab-kubernetes";

File link(const std::string& path, const std::string& to) {
    File file;
    file.path = path;
    file.kind = FileKind::symlink;
    file.content = to;
    return file;
}

/// What the kernel of this machine has of the settings that are the same for everybody here: a later file than the
/// image's own says so.
std::string shared_settings(const lab::Machine& machine) {
    std::string text;
    std::istringstream lines(slurp(machine.file("/etc/sysctl.d/90-makina.conf")));
    for (std::string line; std::getline(lines, line);) {
        const auto equals = line.find(" = ");
        if (equals == std::string::npos || line[0] == '#' || line.starts_with("net.")) continue;
        std::string path = line.substr(0, equals);
        std::replace(path.begin(), path.end(), '.', '/');
        text += line.substr(0, equals) + " = " + slurp("/proc/sys/" + path);
    }
    return text;
}

/// What the image has the kernel load, as a kernel tells that has it built in.
std::string built_in_modules(const lab::Machine& machine) {
    std::string text;
    for (const auto& file : fs::directory_iterator(machine.file("/etc/modules-load.d"))) {
        std::istringstream lines(slurp(file.path()));
        for (std::string line; std::getline(lines, line);) {
            if (!line.empty() && line[0] != '#') text.append("kernel/").append(line).append(".ko\n");
        }
    }
    return text;
}

/// What a board with the distribution's kernel and Kubernetes' packages has besides the image's files.
void install_kubernetes(lab::Machine& machine, const fs::path& programs) {
    FileTree files;
    for (const auto& program : fs::directory_iterator(programs)) {
        const std::string name = program.path().filename();
        files.put(link("/usr/bin/" + name, std::string(lent_programs) + "/" + name));
    }
    for (const char* const name : {"kubelet", "crictl"}) {
        files.put(link(std::string("/usr/bin/") + name, std::string(stand_ins) + "/" + name));
    }
    files.put(link("/usr/bin/systemctl", "/usr/lib/lab/systemctl"));
    machine.install(files);
    machine.install("/etc/sysctl.d/99-lab.conf", shared_settings(machine));
    utsname kernel{};
    ::uname(&kernel);
    machine.install("/usr/lib/modules/" + std::string(kernel.release) + "/modules.builtin", built_in_modules(machine));
    machine.lend(programs, lent_programs);
    machine.lend(MAKINA_SOURCE "/tests/kubernetes/programs", stand_ins);
}

bool is_ready(const Json& node) {
    for (const Json& condition : node["status"].value("conditions", Json::array())) {
        if (condition.value("type", "") == "Ready") return condition.value("status", "") == "True";
    }
    return false;
}

}  // namespace

std::string why_no_machines() {
    if (std::string reason = lab::why_not(); !reason.empty()) return reason;
    for (const auto& [program, package] :
         {std::pair("haproxy", "haproxy"), std::pair("keepalived", "keepalived"), std::pair("etcd", "etcd-server"),
          std::pair("etcdctl", "etcd-client"), std::pair("curl", "curl"), std::pair("openssl", "openssl")}) {
        if (!have_program(program)) return std::string("needs ") + program + ": apt install " + package;
    }
    if (run({{"/usr/bin/python3", "-c", "import yaml"}}).status != 0)
        return "needs python's yaml: apt install python3-yaml";
    return "";
}

std::string why_not() {
    if (std::string reason = why_no_machines(); !reason.empty()) return reason;
    for (const auto& [program, package] : {std::pair("go", "golang-go"), std::pair("iptables", "iptables")}) {
        if (!have_program(program)) return std::string("needs ") + program + ": apt install " + package;
    }
    return "";
}

const fs::path& programs() {
    static const fs::path folder = [] {
        std::string said = run_checked({{MAKINA_SOURCE "/tests/kubernetes/build"}});
        said.erase(said.find_last_not_of('\n') + 1);
        return fs::path(said.substr(said.find_last_of('\n') + 1));
    }();
    return folder;
}

Profile seven_machines() {
    Profile profile = clusters::pair();
    profile.kubernetes.version = {1, 20, 2};
    std::erase_if(profile.nodes, [](const Node& node) { return node.role == Role::gateway; });
    profile.nodes.push_back(clusters::node("worker-2", Role::worker, "192.168.3.12"));
    return profile;
}

Cluster::Cluster(Profile profile, const fs::path& folder, fs::path programs, std::int64_t age)
    : lab_(std::move(profile), folder, age),
      programs_(std::move(programs)),
      gateway_(to_string(lab_.profile().network.gateway)) {}

void Cluster::install(lab::Machine& machine) {
    const Role role = lab_.profile().find(machine.name())->role;
    if (role == Role::control_plane || role == Role::worker) install_kubernetes(machine, programs_);
    if (role == Role::load_balancer) {
        // This machine's kernel need not have IPVS, which is not used.
        machine.install("/etc/default/keepalived", "DAEMON_ARGS=\"--vrrp --log-console --no-syslog\"\n");
        machine.install("/etc/sysctl.d/99-lab.conf", shared_settings(machine));
    }
}

void Cluster::give_route(const std::string& node) {
    machine(node).run_checked({"ip", "route", "add", "default", "via", gateway_});
}

void Cluster::boot_without_daemon(const std::string& node) {
    lab_.boot_without_daemon(node);
    give_route(node);
}

void Cluster::boot(const std::string& node) {
    boot_without_daemon(node);
    machine(node).start_daemon();
}

Result Cluster::kubectl(const std::string& master, std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(),
                     {"kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", "--request-timeout=10s"});
    return machine(master).run(arguments);
}

std::vector<Json> Cluster::listed(const std::string& master, const std::string& kind) const {
    const Json json =
        Json::parse(kubectl(master, {"get", kind, "--all-namespaces", "--output=json"}).output, nullptr, false);
    if (!json.is_object() || !json.contains("items")) return {};
    return json["items"].get<std::vector<Json>>();
}

std::vector<std::string> Cluster::ready_nodes(const std::string& master) const {
    std::vector<std::string> names;
    for (const Json& node : listed(master, "nodes")) {
        if (is_ready(node)) names.push_back(node["metadata"]["name"].get<std::string>());
    }
    std::sort(names.begin(), names.end());
    return names;
}

Json Cluster::asked_etcd(const std::string& master, const std::string& path) const {
    const std::string pki = "/etc/kubernetes/pki/";
    const Result result =
        machine(master).run({"curl", "--silent", "--max-time", "5", "--cacert", pki + "etcd/ca.crt", "--cert",
                             pki + "apiserver-etcd-client.crt", "--key", pki + "apiserver-etcd-client.key", "--request",
                             "POST", "--data", "{}", "https://127.0.0.1:2379" + path});
    return Json::parse(result.output, nullptr, false);
}

std::vector<Member> Cluster::members(const std::string& master) const {
    std::vector<Member> found;
    const Json json = asked_etcd(master, "/v3/cluster/member/list");
    if (!json.is_object() || !json.contains("members")) return found;
    for (const Json& member : json["members"]) {
        found.push_back({member.value("ID", ""), member.value("name", ""), member.value("isLearner", false)});
    }
    return found;
}

std::vector<std::string> Cluster::known_members(const std::string& master) const {
    const std::string pki = "/etc/kubernetes/pki/etcd/";
    const Result result = machine(master).run({"curl", "--silent", "--http1.1", "--max-time", "5", "--cacert",
                                               pki + "ca.crt", "--cert", pki + "peer.crt", "--key", pki + "peer.key",
                                               "https://" + lab_.address(master) + ":2380/members"});
    std::vector<std::string> names;
    const Json json = Json::parse(result.output, nullptr, false);
    if (!json.is_array()) return names;
    for (const Json& member : json) names.push_back(member.value("name", ""));
    return names;
}

std::string Cluster::cluster_id(const std::string& master) const {
    const Json json = asked_etcd(master, "/v3/cluster/member/list");
    return json.is_object() && json.contains("header") ? json["header"].value("cluster_id", "") : "";
}

std::vector<std::string> Cluster::wait_until_joined(std::vector<std::string> nodes, double patience,
                                                    const std::function<void(const std::string&)>& joined) {
    (void)lab::becomes_true(patience, [&] {
        std::erase_if(nodes, [&](const std::string& node) {
            const bool has_joined = lab_.have_joined({node});
            if (has_joined) joined(node);
            return has_joined;
        });
        return nodes.empty();
    });
    return nodes;
}

std::set<std::string> Cluster::expect_one_etcd(const std::string& where) const {
    std::set<std::string> ids;
    for (const std::string& master : masters) {
        ids.insert(cluster_id(master));
        const std::vector<Member> found = members(master);
        EXPECT_EQ(found.size(), masters.size()) << where << ", asked " << master;
        for (const Member& member : found) EXPECT_FALSE(member.learner) << where << ", asked " << master;
    }
    EXPECT_EQ(ids.size(), 1U) << where;
    EXPECT_FALSE(ids.contains("")) << where;
    return ids;
}

std::string Cluster::story(const std::vector<std::string>& nodes) const {
    std::string text = lab_.story(nodes);
    for (const std::string& node : nodes) {
        text += "--- kubelet of " + node + "\n" + slurp(machine(node).file("/var/log/kubelet.service.log"));
    }
    return text;
}

}  // namespace makina::kubernetes
