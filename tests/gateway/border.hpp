#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "builder/plan.hpp"
#include "tests/gateway/traffic.hpp"
#include "tests/lab/lab.hpp"

namespace makina::border {

/// Home, the cluster's network, and the gateways between them with the files of their plans. Home's router is
/// 192.168.1.1 and gives gateway-1 192.168.1.21, gateway-2 192.168.1.22. worker-1 and worker-2 are there and know
/// network.gateway; nothing else is plugged in.
class Border {
  public:
    /// The gateways are off; `name` makes the cards' folders.
    Border(const Profile& profile, const std::string& name);
    Border(const Border&) = delete;
    Border& operator=(const Border&) = delete;
    ~Border();

    enum class Order { network_first, network_last };
    /// Power, and what a node's system does with it: settings and rules, then the network, then the other units that
    /// the plan enables; or these before the network.
    void boot(const std::string& gateway, Order order = Order::network_first);
    void pull_plug(const std::string& gateway);
    /// The inside's network card, on USB, is taken out and put in again: the kernel has another interface for it.
    void take_out_card(const std::string& gateway);
    void put_in_card(const std::string& gateway);

    [[nodiscard]] lab::Machine& gateway(const std::string& name) { return *gateways_.at(name).machine; }
    /// Who has network.gateway, or the address that is shared towards home, as seen a moment ago.
    [[nodiscard]] std::vector<std::string> holders() const;
    /// The one who has it; empty if nobody or several have.
    [[nodiscard]] std::string holder() const;
    /// How long several have had it at once, from `begin` to now.
    [[nodiscard]] double double_seconds(double begin) const;
    /// True if `gateway`, and nobody else, has it all the time for so many seconds.
    [[nodiscard]] bool stays(const std::string& gateway, double seconds) const;
    [[nodiscard]] std::string other(const std::string& gateway) const;

    lab::Switch home_net, inside_net;
    lab::Machine home, worker_1, worker_2;

  private:
    struct One {
        std::unique_ptr<lab::Machine> machine;
        ImagePlan plan;
        std::string uplink;
    };
    /// Who had the address from this moment on.
    struct Sight {
        double time = 0;
        std::vector<std::string> holders;
    };
    void start_units(const std::string& gateway, const std::string& target);
    void connect(const std::string& gateway);
    void watch();

    const Profile profile_;
    std::map<std::string, One> gateways_;
    mutable std::mutex mutex_;
    std::map<std::string, lab::fs::path> networks_;  ///< of the gateways that are on
    std::vector<Sight> sights_;                      ///< only changes
    bool ending_ = false;
    std::thread watcher_;
};

}  // namespace makina::border
