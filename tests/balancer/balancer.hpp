#pragma once

#include <memory>
#include <string>

#include "builder/profile/profile.hpp"
#include "tests/lab/lab.hpp"

namespace makina::balancer {

namespace fs = std::filesystem;

/// A balancer: a card as makina-image writes it, in a machine of the lab with the compiled daemon.
class Balancer {
  public:
    Balancer(const Profile& profile, std::string name, const fs::path& card, std::string mac);

    /// Power on, cable in, and what the kernel, systemd and networkd of a node do at a boot.
    void boot(const lab::Switch& lan);
    /// Its parts: all but the cable's address, and the address, which networkd gives when nobody else has it.
    void boot_without_address(const lab::Switch& lan);
    void take_address() const;
    void lose_address() const;
    void pull_plug() { machine_->power_off(); }
    void restart_daemon() const;
    /// Puts a bundle onto the boot partition.
    void hand_over(const std::string& bundle) const;

    void systemctl(const std::string& verb, const std::string& unit) const;
    /// A signal to processes by what their command line begins with, or to the one that a file names.
    void signal(const std::string& signal, const std::string& command) const;
    void signal_in(const std::string& signal, const std::string& file) const;

    /// What keepalived last said that it is: "MASTER", "BACKUP", "FAULT"; empty since its start.
    [[nodiscard]] std::string state() const;
    [[nodiscard]] bool has_joined() const;
    /// What haproxy answers, and the name of keepalived's second process.
    [[nodiscard]] std::string running_configuration() const;
    [[nodiscard]] std::string process_name() const;
    /// The daemon's state and what it waits for, for a failure's message.
    [[nodiscard]] std::string story() const;

    [[nodiscard]] lab::Machine& machine() const { return *machine_; }
    [[nodiscard]] const std::string& name() const { return machine_->name(); }
    [[nodiscard]] const std::string& mac() const { return mac_; }

  private:
    std::unique_ptr<lab::Machine> machine_;
    std::string mac_;
    std::string cidr_;
};

}  // namespace makina::balancer
