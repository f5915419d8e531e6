#include "tests/lab/cluster.hpp"

#include <cstdlib>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "builder/commands/recipient.hpp"
#include "builder/commands/snapshot.hpp"
#include "builder/plan.hpp"
#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/error.hpp"
#include "tests/unit/plans.hpp"

namespace makina::lab {
namespace {

#ifdef __aarch64__
constexpr Architecture here = Architecture::arm64;
#else
constexpr Architecture here = Architecture::amd64;
#endif

constexpr std::int64_t a_month = 30 * 86400;

/// Units of a role's own that run in the lab, in the order in which an image starts them.
constexpr const char* units[] = {"nftables",   "etcd",           "haproxy", "keepalived",
                                 "conntrackd", "makina-dnsmasq", "kubelet"};

/// $MAKINA_ETCD: a folder with the programs of another release of etcd than this machine's, for its nodes.
void install_other_etcd(const Machine& machine) {
    const char* const folder = std::getenv("MAKINA_ETCD");
    if (folder == nullptr) return;
    for (const char* const program : {"etcd", "etcdctl", "etcdutl"}) {
        std::ostringstream bytes;
        bytes << std::ifstream(fs::path(folder) / program, std::ios::binary).rdbuf();
        machine.install(std::string("/usr/bin/") + program, bytes.str(), 0755);
    }
}

}  // namespace

Cluster::Cluster(Profile profile, const fs::path& folder, std::int64_t age)
    : profile_(std::move(profile)), folder_(folder) {
    static_cast<void>(workshop());
    fs::create_directories(folder_);
    fs::permissions(folder_, fs::perms::owner_all);
    Keys::create(keys_folder(), profile_.name, "", std::time(nullptr) - age);
    keys_.emplace(keys_folder(), profile_.name, "");
}

Cluster::~Cluster() {
    for (const auto& [name, machine] : machines_) {
        if (machine) machine->cut_power();
    }
}

const Node& Cluster::node(const std::string& name) const {
    const Node* const found = profile_.find(name);
    if (found == nullptr) throw Error("no node " + name);
    return *found;
}

std::string Cluster::address(const std::string& name) const {
    return to_string(node(name).address);
}

Machine& Cluster::new_card(const std::string& name, const std::string& keep) {
    const fs::path card = folder_ / name;
    auto& machine = machines_[name];
    machine.reset();
    if (keep.empty()) {
        fs::remove_all(card);
    } else if (fs::exists(card)) {
        fs::rename(card, folder_ / keep);
    }
    machine = std::make_unique<Machine>(name, card);
    write_card(*machine, name);
    return *machine;
}

Machine& Cluster::replacement_card(const std::string& name) {
    keys_->note_formed(to_string(node(name).role), std::time(nullptr));
    keys_->revoke(name, "");
    return new_card(name);
}

Machine& Cluster::put_in(const std::string& name, const std::string& kept) {
    auto& machine = machines_[name];
    machine.reset();
    fs::remove_all(folder_ / name);
    fs::rename(folder_ / kept, folder_ / name);
    machine = std::make_unique<Machine>(name, folder_ / name);
    return *machine;
}

Cluster::Spare Cluster::second_card(const std::string& name) {
    Spare spare(*this, name, folder_ / (name + "-second"));
    write_card(*spare.machine_, name);
    return spare;
}

void Cluster::begin_from(const std::string& snapshot) {
    snapshot_ = snapshot;
    if (!snapshot.empty()) (void)keys_->begin_formation(sha256(snapshot));
}

void Cluster::write_card(const Machine& machine, const std::string& name) {
    Recipient recipient = recipient_of(profile_, node(name));
    recipient.header.architecture = to_string(here);
    recipient.header.board = "generic";
    const bool restores = !snapshot_.empty() && node(name).role == Role::etcd;
    if (restores) recipient.snapshot = sha256(snapshot_);
    const Issued issued =
        keys_->issue(recipient, true, std::time(nullptr) - cards_age_, cards_age_ + a_month, name + ".img");
    ImagePlan plan = plans::plan_of(profile_, name);
    if (restores) carry_snapshot(plan, {snapshot_, recipient.snapshot});
    machine.install(plan.files);
    install_other_etcd(machine);
    machine.install(std::string(Trust::path), issued.trust);
    machine.install(Bundle::path, issued.sealed, 0600);
    fs::permissions(machine.file(Bundle::path).parent_path(), fs::perms::owner_all);
}

void Cluster::boot_without_daemon(const std::string& name) {
    Machine& its = machine(name);
    its.power_on();
    its.plug(lan_, "eth0", name);
    its.give("eth0", to_string(Subnet{node(name).address, profile_.network.subnet.prefix}));
    for (const char* const unit : units) {
        for (const char* const target : {"multi-user", "sysinit"}) {
            const std::string link =
                "/etc/systemd/system/" + std::string(target) + ".target.wants/" + unit + ".service";
            if (!fs::is_symlink(its.card() / ("layer" + link))) continue;
            (void)its.run({"/usr/lib/lab/systemctl", "start", "--no-block", unit});
        }
    }
}

void Cluster::boot(const std::string& name) {
    boot_without_daemon(name);
    machine(name).start_daemon();
}

bool Cluster::have_joined(const std::vector<std::string>& nodes) const {
    return std::all_of(nodes.begin(), nodes.end(),
                       [&](const std::string& one) { return status(one, "state") == "joined"; });
}

std::string Cluster::story(const std::vector<std::string>& nodes) const {
    std::string text;
    for (const std::string& one : nodes) {
        text += "--- " + one + ": " + status(one, "state") + " " + status(one, "stage") + " " +
                status(one, "waiting_for") + status(one, "last_error") + "\n" + machine(one).log("daemon");
    }
    return text;
}

namespace {

std::string field_of(const Machine& machine, const std::string& field) {
    // The file, not the socket: a program for every question would be most of the work of these tests.
    std::ifstream file(machine.file("/run/makina/status.json"));
    const auto json = nlohmann::json::parse(file, nullptr, false);
    if (!json.is_object() || !json.contains(field)) return "";
    return json[field].is_string() ? json[field].get<std::string>() : json[field].dump();
}

}  // namespace

std::string Cluster::status(const std::string& name, const std::string& field) const {
    return field_of(machine(name), field);
}

void Cluster::Spare::boot() {
    machine_->power_on();
    machine_->plug(cluster_.lan_, "eth0", node_ + "-2nd");
    machine_->start_daemon();
}

std::string Cluster::Spare::status(const std::string& field) const {
    return field_of(*machine_, field);
}

}  // namespace makina::lab
