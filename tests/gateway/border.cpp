#include "tests/gateway/border.hpp"

#include <arpa/inet.h>
#include <ifaddrs.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "firstboot/bundle/error.hpp"
#include "tests/gateway/visit.hpp"
#include "tests/unit/plans.hpp"

namespace makina::border {
namespace {

/// True if a machine's network has one of the addresses on some interface.
bool has_one_of(const lab::fs::path& network, const std::vector<Address>& addresses) {
    const Visit visit(network);
    ifaddrs* first = nullptr;
    if (::getifaddrs(&first) != 0) return false;
    bool found = false;
    for (const ifaddrs* one = first; one != nullptr; one = one->ifa_next) {
        if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != AF_INET) continue;
        const Address address{ntohl(reinterpret_cast<const sockaddr_in*>(one->ifa_addr)->sin_addr.s_addr)};
        found = found || std::ranges::find(addresses, address) != addresses.end();
    }
    ::freeifaddrs(first);
    return found;
}

std::string cidr(Address address, const Profile& profile) {
    return to_string(Subnet{address, profile.network.subnet.prefix});
}

void connect_worker(const lab::Machine& worker, const lab::Switch& net, const Profile& profile) {
    worker.plug(net, "eth0");
    worker.give("eth0", cidr(profile.find(worker.name())->address, profile));
    worker.run_checked({"ip", "route", "add", "default", "via", to_string(profile.network.gateway)});
}

}  // namespace

Border::Border(const Profile& profile, const std::string& name)
    : home("home", lab::workshop() / (name + "-home")),
      worker_1("worker-1", lab::workshop() / (name + "-worker-1")),
      worker_2("worker-2", lab::workshop() / (name + "-worker-2")),
      profile_(profile) {
    for (lab::Machine* const machine : {&home, &worker_1, &worker_2}) machine->power_on();
    home.plug(home_net, "eth0");
    home.give("eth0", "192.168.1.1/24");
    for (const lab::Machine* const worker : {&worker_1, &worker_2}) connect_worker(*worker, inside_net, profile_);
    for (const Node* node : profile_.with_role(Role::gateway)) {
        One& one = gateways_[node->name];
        one.plan = plans::plan_of(profile_, node->name);
        one.uplink = "192.168.1.2" + node->name.substr(node->name.size() - 1) + "/24";
        one.machine = std::make_unique<lab::Machine>(node->name, lab::workshop() / (name + "-" + node->name));
        // What the node's own scripts call.
        one.plan.files.put({.path = "/usr/local/sbin/systemctl",
                            .kind = FileKind::symlink,
                            .content = "/usr/lib/lab/systemctl",
                            .origin = "the lab"});
        one.machine->install(one.plan.files);
    }
    watcher_ = std::thread([this] { watch(); });
}

Border::~Border() {
    {
        const std::lock_guard lock(mutex_);
        ending_ = true;
    }
    watcher_.join();
}

void Border::start_units(const std::string& gateway, const std::string& target) {
    const One& one = gateways_.at(gateway);
    for (const char* const unit : {"nftables", "conntrackd", "keepalived", "makina-dnsmasq"}) {
        const std::string link = "/etc/systemd/system/" + target + ".target.wants/" + unit + ".service";
        // One whose condition does not hold is not started, which is no fault.
        if (one.plan.files.find(link) != nullptr) (void)one.machine->run({"systemctl", "start", unit});
    }
}

void Border::take_out_card(const std::string& gateway) {
    gateways_.at(gateway).machine->run_checked({"ip", "link", "delete", "eth1"});
}

void Border::put_in_card(const std::string& gateway) {
    const lab::Machine& machine = *gateways_.at(gateway).machine;
    machine.plug(inside_net, "eth1");
    machine.run_checked(
        {"ip", "link", "set", "eth1", "address", "02:00:00:00:01:0" + gateway.substr(gateway.size() - 1)});
    machine.give("eth1", cidr(profile_.find(gateway)->address, profile_));
}

void Border::connect(const std::string& gateway) {
    const One& one = gateways_.at(gateway);
    const lab::Machine& machine = *one.machine;
    machine.plug(home_net, "eth0");
    // The cards are the same after a restart, and the others remember them.
    machine.run_checked(
        {"ip", "link", "set", "eth0", "address", "02:00:00:00:00:0" + gateway.substr(gateway.size() - 1)});
    machine.give("eth0", one.uplink);
    put_in_card(gateway);
    machine.run_checked({"ip", "route", "add", "default", "via", "192.168.1.1"});
    const std::lock_guard lock(mutex_);
    networks_[gateway] = machine.network();
}

void Border::boot(const std::string& gateway, Order order) {
    lab::Machine& machine = *gateways_.at(gateway).machine;
    machine.power_on();
    // A kernel begins without; a new network may have what this machine has.
    machine.run_checked({"sysctl", "--quiet", "--write", "net.ipv4.ip_forward=0"});
    // The size of the table of connections is this machine's own.
    (void)machine.run({"sysctl", "--quiet", "--load", "/etc/sysctl.d/91-makina-gateway.conf"});
    machine.run_checked({"mkdir", "-p", "/run/lock"});
    start_units(gateway, "sysinit");
    if (order == Order::network_first) connect(gateway);
    start_units(gateway, "multi-user");
    if (order == Order::network_last) connect(gateway);
}

void Border::pull_plug(const std::string& gateway) {
    // Nobody is there when it goes: a visitor would keep the network alive.
    const std::lock_guard lock(mutex_);
    networks_.erase(gateway);
    gateways_.at(gateway).machine->power_off();
}

void Border::watch() {
    std::vector<Address> shared = {profile_.network.gateway};
    if (profile_.gateway.uplink_address) shared.push_back(*profile_.gateway.uplink_address);
    for (;;) {
        {
            const std::lock_guard lock(mutex_);
            if (ending_) return;
            Sight now{lab::steady_seconds(), {}};
            for (const auto& [name, network] : networks_) {
                if (has_one_of(network, shared)) now.holders.push_back(name);
            }
            if (sights_.empty() || sights_.back().holders != now.holders) sights_.push_back(now);
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
}

std::vector<std::string> Border::holders() const {
    const std::lock_guard lock(mutex_);
    return sights_.empty() ? std::vector<std::string>() : sights_.back().holders;
}

std::string Border::holder() const {
    const std::vector<std::string> all = holders();
    return all.size() == 1 ? all.front() : "";
}

double Border::double_seconds(double begin) const {
    const std::lock_guard lock(mutex_);
    double sum = 0;
    for (std::size_t i = 0; i < sights_.size(); ++i) {
        const double until = i + 1 < sights_.size() ? sights_[i + 1].time : lab::steady_seconds();
        if (sights_[i].holders.size() > 1) sum += std::max(0.0, until - std::max(begin, sights_[i].time));
    }
    return sum;
}

bool Border::stays(const std::string& gateway, double seconds) const {
    const double begin = lab::steady_seconds();
    return !gateway.empty() && !lab::becomes_true(seconds, [&] { return holder() != gateway; }) && [&] {
        const std::lock_guard lock(mutex_);
        return sights_.back().time < begin;
    }();
}

std::string Border::other(const std::string& gateway) const {
    for (const auto& [name, one] : gateways_) {
        if (name != gateway) return name;
    }
    return "";
}

}  // namespace makina::border
