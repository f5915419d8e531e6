#include "tests/etcd/suite.hpp"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "firstboot/bundle/encoding.hpp"
#include "tests/unit/clusters.hpp"

namespace makina::lab {
namespace {

using Json = nlohmann::json;

/// Asks etcd on a machine, with the member's own certificate; null if it does not answer.
Json asked(const Machine& machine, const std::string& address, const std::string& path, const std::string& body) {
    const Result result = machine.run({"curl", "--silent", "--max-time", "5", "--cacert", "/etc/etcd/pki/ca.crt",
                                       "--cert", "/etc/etcd/pki/peer.crt", "--key", "/etc/etcd/pki/peer.key",
                                       "--request", "POST", "--data", body, "https://" + address + ":2379" + path});
    return Json::parse(result.output, nullptr, false);
}

}  // namespace

Profile three_members() {
    return clusters::external_etcd();
}

Said said_by(const Cluster& cluster, const std::string& node) {
    const Json json = asked(cluster.machine(node), cluster.address(node), "/v3/cluster/member/list", "{}");
    Said said;
    if (!json.is_object() || !json.contains("members")) return said;
    said.cluster = json["header"]["cluster_id"].get<std::string>();
    for (const Json& member : json["members"]) {
        said.members.push_back({member.value("ID", ""), member.value("name", ""), member.value("isLearner", false)});
    }
    return said;
}

Writer::Writer(Cluster& cluster, const std::string& from)
    : cluster_(cluster), machine_("writer", cluster.machine(from).card().parent_path() / "writer") {
    for (const char* const name : {"ca.crt", "peer.crt", "peer.key"}) {
        std::ostringstream text;
        text << std::ifstream(cluster.machine(from).file(std::string("/etc/etcd/pki/") + name)).rdbuf();
        machine_.install(std::string("/writer/") + name, text.str());
    }
    machine_.power_on();
    machine_.plug(cluster.lan(), "eth0");
    machine_.give("eth0", "192.168.3.99/24");
    std::string addresses;
    for (const std::string& node : three) addresses += (addresses.empty() ? "" : ",") + cluster.address(node);
    // Beside the folder of the product's tests: what stands for nodes' programs is in the lab's.
    const std::string program = MAKINA_SOURCE "/tests/etcd/writer.py";
    machine_.start(machine_.beside({"python3", program, addresses, (machine_.card() / "layer/writer").string(),
                                    (machine_.card() / "notes").string()}),
                   "writer");
}

std::map<int, long> Writer::acknowledged() const {
    std::map<int, long> highest;
    std::ifstream notes(machine_.card() / "notes");
    int key = 0;
    long number = 0;
    for (double seconds = 0; notes >> key >> number >> seconds;) highest[key] = std::max(highest[key], number);
    return highest;
}

std::pair<std::size_t, double> Writer::written() const {
    std::ifstream notes(machine_.card() / "notes");
    std::size_t count = 0;
    double first = 0;
    double last = 0;
    int key = 0;
    long number = 0;
    for (double seconds = 0; notes >> key >> number >> seconds; last = seconds) {
        if (count++ == 0) first = seconds;
    }
    return {count, last - first};
}

std::size_t Writer::lost(const std::string& node) const {
    const std::map<int, long> highest = acknowledged();
    const std::string body = Json{{"key", to_base64("w/")}, {"range_end", to_base64("w0")}}.dump();
    const Json json = asked(cluster_.machine(node), cluster_.address(node), "/v3/kv/range", body);
    std::map<int, long> there;
    if (json.is_object() && json.contains("kvs")) {
        for (const Json& one : json["kvs"]) {
            const std::string key = from_base64(one["key"].get<std::string>());
            there[std::stoi(key.substr(2))] = std::stol(from_base64(one["value"].get<std::string>()));
        }
    }
    return static_cast<std::size_t>(
        std::count_if(highest.begin(), highest.end(), [&](const auto& one) { return there[one.first] < one.second; }));
}

}  // namespace makina::lab
