#include "tests/balancer/balancer.hpp"

#include <fstream>

#include "builder/process.hpp"
#include "firstboot/bundle/error.hpp"
#include "tests/unit/scratch.hpp"

namespace makina::balancer {

Balancer::Balancer(const Profile& profile, std::string name, const fs::path& card, std::string mac)
    : machine_(std::make_unique<lab::Machine>(std::move(name), card)), mac_(std::move(mac)) {
    cidr_ = to_string(Subnet{profile.find(machine_->name())->address, profile.network.subnet.prefix});
}

void Balancer::boot_without_address(const lab::Switch& lan) {
    machine_->power_on();
    machine_->plug(lan, "eth0");
    machine_->run_checked({"ip", "link", "set", "eth0", "address", mac_});
    machine_->run_checked({"sysctl", "--quiet", "--system", "--pattern", "^net[.]"});
    machine_->start(
        machine_->inside(
            {"sh", "-c", "/usr/lib/lab/systemctl start haproxy; exec /usr/lib/lab/systemctl start keepalived"}),
        "units");
    machine_->start_daemon();
}

void Balancer::boot(const lab::Switch& lan) {
    boot_without_address(lan);
    take_address();
}

void Balancer::take_address() const {
    machine_->give("eth0", cidr_);
}

void Balancer::lose_address() const {
    machine_->run_checked({"ip", "address", "delete", cidr_, "dev", "eth0"});
}

void Balancer::restart_daemon() const {
    const std::string daemon = "^" MAKINA_FIRSTBOOT " run";
    machine_->run_checked({"pkill", "-KILL", "-f", daemon});
    const auto is_gone = [&] { return machine_->run({"pgrep", "-f", daemon}).status != 0; };
    if (!lab::becomes_true(10, is_gone)) throw Error("the daemon on " + name() + " does not end");
    machine_->start_daemon();
}

void Balancer::hand_over(const std::string& bundle) const {
    const fs::path file = machine_->file("/boot/firmware/makina.bundle");
    fs::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << bundle;
}

void Balancer::systemctl(const std::string& verb, const std::string& unit) const {
    machine_->run_checked({"/usr/lib/lab/systemctl", verb, unit});
}

void Balancer::signal(const std::string& signal, const std::string& command) const {
    machine_->run_checked({"pkill", "-" + signal, "-f", "^" + command});
}

void Balancer::signal_in(const std::string& signal, const std::string& file) const {
    machine_->run_checked({"pkill", "-" + signal, "--pidfile", file});
}

std::string Balancer::state() const {
    const std::string log = slurp(machine_->file("/var/log/keepalived.service.log"));
    const std::string begins = "(api) Entering ";
    const auto start = log.rfind("Starting Keepalived");
    const auto at = log.rfind(begins);
    if (at == std::string::npos || (start != std::string::npos && at < start)) return "";
    const auto word = at + begins.size();
    return log.substr(word, log.find(' ', word) - word);
}

bool Balancer::has_joined() const {
    return machine_->daemon_status().find("\"state\":\"joined\"") != std::string::npos;
}

std::string Balancer::running_configuration() const {
    return machine_->run_checked({"curl", "--silent", "--fail", "http://127.0.0.1:8404/configuration"});
}

std::string Balancer::process_name() const {
    std::string number = slurp(machine_->file("/run/vrrp.pid"));
    number.erase(number.find_last_not_of('\n') + 1);
    return slurp(machine_->file("/proc/" + number + "/comm"));
}

std::string Balancer::story() const {
    return name() + " is " + state() + "; " + machine_->daemon_status() + "\n" + machine_->log("daemon") +
           slurp(machine_->file("/var/log/keepalived.service.log"));
}

}  // namespace makina::balancer
