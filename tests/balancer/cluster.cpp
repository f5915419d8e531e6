#include "tests/balancer/cluster.hpp"

#include <algorithm>
#include <chrono>
#include <fstream>

#include "builder/commands/recipient.hpp"
#include "builder/pki/pki.hpp"
#include "builder/plan.hpp"
#include "builder/process.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/sealed.hpp"
#include "tests/unit/clusters.hpp"
#include "tests/unit/scratch.hpp"

namespace makina::balancer {
namespace {

constexpr std::int64_t a_year = 365 * 86400;
constexpr double asking = 0.05;  // seconds between questions who has the address

/// The balancers are of this machine's kind, since their own programs run here.
constexpr const char* profile_text = R"(name: lab
pki: offline
kubernetes: {version: 1.34.1}
network:
  subnet: 192.168.3.0/24
  gateway: 192.168.3.1
  dns: [192.168.3.1]
api: {address: 192.168.3.240, port: 9000, balancer: pair}
nodes:
  lb-1: {role: load-balancer, address: 192.168.3.241, arch: amd64}
  lb-2: {role: load-balancer, address: 192.168.3.242, arch: amd64}
  master-1: {role: control-plane, address: 192.168.3.251}
  master-2: {role: control-plane, address: 192.168.3.252}
  master-3: {role: control-plane, address: 192.168.3.253}
  worker-1: {role: worker, address: 192.168.3.11}
)";

std::int64_t seconds_now() {
    return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
        .count();
}

void write(const fs::path& file, const std::string& content) {
    fs::create_directories(file.parent_path());
    const fs::path beside = file.string() + ".new";
    std::ofstream(beside, std::ios::binary) << content;
    fs::rename(beside, file);
}

Profile read(const fs::path& file) {
    ProfileReading reading = read_profile(file);
    if (!reading.profile) throw Error(to_string(file, reading.complaints.at(0)));
    return std::move(*reading.profile);
}

File file_at(const std::string& path, std::uint32_t mode, std::string content) {
    File file;
    file.path = path;
    file.mode = mode;
    file.content = std::move(content);
    return file;
}

const std::string& payload_of(const Bundle& bundle, const std::string& name) {
    const auto found = std::ranges::find(bundle.payloads, name, &Payload::name);
    if (found == bundle.payloads.end()) throw Error("the bundle of " + bundle.node + " has no " + name);
    return found->content;
}

/// What the image of a balancer has, and its bundle.
FileTree card_of(const Profile& profile, const Node& node, Keys& keys) {
    BaseFacts base = clusters::debian(profile);
    base.architecture = node.architecture;
    for (const std::string& name : packages_for(profile, node.role, node.architecture)) base.packages[name] = "1";
    FileTree files = plan_image(profile, node, base, MAKINA_SOURCE "/overlays").files;
    const Issued issued = keys.issue(recipient_of(profile, node), true, seconds_now(), a_year, "lab");
    files.put(file_at(std::string(Trust::path), 0644, issued.trust));
    files.put(file_at(Bundle::path, 0600, issued.sealed));
    // This machine's kernel need not have IPVS, which is not used. What is said goes to a log that tests read.
    files.put(
        file_at("/etc/default/keepalived", 0644, "DAEMON_ARGS=\"--vrrp --log-console --log-detail --no-syslog\"\n"));
    return files;
}

}  // namespace

std::string why_not() {
    if (std::string reason = lab::why_not(); !reason.empty()) return reason;
    for (const auto& [program, package] : {std::pair("haproxy", "haproxy"), std::pair("keepalived", "keepalived"),
                                           std::pair("curl", "curl"), std::pair("sysctl", "procps")}) {
        if (!have_program(program)) return std::string("needs ") + program + ": apt install " + package;
    }
    return "";
}

Cluster::Cluster(fs::path folder) : folder_(std::move(folder)) {
    write(file(), profile_text);
    profile_ = read(file());
    Keys::create(keys(), profile_->name, "", seconds_now());
    issue_certificates();
    boards_ = {{"02:00:00:00:00:01", "lb-1"}, {"02:00:00:00:00:02", "lb-2"}};
    for (const auto& [mac, name] : std::vector(boards_)) balancers_.push_back(new_balancer(name, mac));
}

void Cluster::issue_certificates() {
    Keys keyring(keys(), profile_->name, "");
    for (const Node* node : profile_->with_role(Role::control_plane)) {
        const Issued issued = keyring.issue(recipient_of(*profile_, *node), true, seconds_now(), a_year, "lab");
        const Bundle bundle = open_sealed(issued.sealed, decode_trust(issued.trust)).bundle;
        const fs::path own = folder_ / node->name;
        for (const char* const name : {"apiserver.crt", "apiserver.key", "kubernetes-ca.crt"}) {
            write(own / name, payload_of(bundle, name));
        }
        write(own / "state", "ready\n");
    }
}

std::unique_ptr<Balancer> Cluster::new_balancer(const std::string& name, const std::string& mac) {
    Keys keyring(keys(), profile_->name, "");
    auto fresh = std::make_unique<Balancer>(*profile_, name, folder_ / ("card-" + std::to_string(++cards_)), mac);
    fresh->machine().install(card_of(*profile_, *profile_->find(name), keyring));
    return fresh;
}

void Cluster::change_profile(const std::function<std::string(std::string)>& change) {
    write(file(), change(slurp(file())));
    profile_ = read(file());
}

std::string Cluster::create_bundle(const std::string& node) const {
    const fs::path made = folder_ / "makina.bundle";
    fs::remove(made);
    run_checked({{MAKINA_IMAGE, "bundle", "create", "--role", node, "--profile", file().string(), "--keys",
                  keys().string(), "--output", made.string()}});
    return slurp(made);
}

void Cluster::start_control_planes() {
    for (const Node* node : profile_->with_role(Role::control_plane)) {
        const fs::path own = folder_ / node->name;
        auto machine = std::make_unique<lab::Machine>(node->name, folder_ / ("machine-" + node->name));
        machine->power_on();
        machine->plug(lan, "eth0");
        machine->give("eth0", to_string(Subnet{node->address, profile_->network.subnet.prefix}));
        machine->start(machine->beside({MAKINA_BALANCER_PEER, "api-server", to_string(node->address) + ":6443",
                                        node->name, (own / "apiserver.crt").string(), (own / "apiserver.key").string(),
                                        (own / "state").string()}),
                       "api-server");
        control_planes_.push_back(std::move(machine));
    }
}

void Cluster::set_state(const std::string& control_plane, const std::string& state) const {
    write(folder_ / control_plane / "state", state + "\n");
}

void Cluster::start_peer(const std::string& kind, int count) const {
    const std::string where = to_string(profile_->api.address) + ":" + std::to_string(profile_->api.port);
    const std::string authority = (folder_ / "master-1/kubernetes-ca.crt").string();
    client_->start(client_->beside({MAKINA_BALANCER_PEER, kind, where, authority, std::to_string(count)}), kind);
}

void Cluster::start_client(int rate) {
    client_ = std::make_unique<lab::Machine>("client", folder_ / "machine-client");
    client_->power_on();
    client_->plug(lan, "eth0");
    client_->give("eth0", "192.168.3.100/24");
    start_peer("client", rate);
    const std::string program = MAKINA_SOURCE "/tests/balancer/programs/ask-owner";
    client_->start(client_->beside(
                       {"/usr/bin/python3", program, "eth0", to_string(profile_->api.address), std::to_string(asking)}),
                   "owner");
    watching.emplace(std::vector{client_->card() / "logs/client", client_->card() / "logs/lasting"},
                     client_->card() / "logs/owner");
}

void Cluster::start_lasting(int count) {
    start_peer("lasting", count);
}

int Cluster::lasting_connections() {
    watching->look();
    return watching->lasting();
}

Balancer& Cluster::balancer(const std::string& name) {
    for (const auto& one : balancers_) {
        if (one->name() == name) return *one;
    }
    throw Error("no balancer is called " + name);
}

std::string Cluster::name_of(const std::string& mac) const {
    const auto found = std::ranges::find(boards_, mac, &std::pair<std::string, std::string>::first);
    return found == boards_.end() ? mac : found->second;
}

void Cluster::replace(const std::string& name, const std::string& mac) {
    auto fresh = new_balancer(name, mac);
    boards_.emplace_back(mac, name);
    for (auto& one : balancers_) {
        if (one->name() == name) one = std::move(fresh);
    }
}

std::string Cluster::owner() {
    watching->look();
    const auto macs = watching->owners(lab::steady_seconds() - 6 * asking);
    return macs.size() == 1 ? name_of(macs.front()) : "";
}

}  // namespace makina::balancer
