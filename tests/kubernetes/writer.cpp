#include "tests/kubernetes/writer.hpp"

#include <algorithm>
#include <fstream>

#include "tests/unit/scratch.hpp"

namespace makina::kubernetes {
namespace {

/// A card that nobody has written to.
fs::path fresh(const fs::path& card) {
    fs::remove_all(card);
    return card;
}

}  // namespace

Writer::Writer(Cluster& cluster, const std::string& from)
    : cluster_(cluster), machine_("writer", fresh(cluster.machine(from).card().parent_path() / "writer")) {
    machine_.install("/writer/admin.conf", slurp(cluster.machine(from).file("/etc/kubernetes/admin.conf")), 0600);
    machine_.power_on();
    machine_.plug(cluster.lab().lan(), "eth0");
    machine_.give("eth0", "192.168.3.99/24");
    machine_.start(
        machine_.beside({"python3", MAKINA_SOURCE "/tests/kubernetes/writer.py",
                         (machine_.card() / "layer/writer/admin.conf").string(), (machine_.card() / "notes").string()}),
        "writer");
}

std::set<std::string> Writer::acknowledged() const {
    std::set<std::string> names;
    std::ifstream notes(machine_.card() / "notes");
    double seconds = 0;
    for (std::string name; notes >> name >> seconds;) names.insert(name);
    return names;
}

std::size_t Writer::lost(const std::string& asked) const {
    std::set<std::string> missing = acknowledged();
    for (const nlohmann::json& object : cluster_.listed(asked, "configmaps")) {
        missing.erase(object["metadata"]["name"].get<std::string>());
    }
    return missing.size();
}

}  // namespace makina::kubernetes
