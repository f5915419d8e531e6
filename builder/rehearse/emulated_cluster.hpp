#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "builder/rehearse/board.hpp"
#include "builder/rehearse/cluster_plan.hpp"
#include "builder/rehearse/director.hpp"
#include "builder/rehearse/network_switch.hpp"

namespace makina {

/// The boards of a cluster, all off at first, on one switch. Nodes are counted as the plan has them. Everything is
/// ended with it, and nothing is left behind.
class EmulatedCluster {
  public:
    /// `at_once` machines boot at the same time, the others wait for their turn; `clock` gives seconds from any start.
    /// Throws Error if there can be no network.
    EmulatedCluster(const ClusterPlan& plan, unsigned at_once, std::function<double()> clock);
    EmulatedCluster(const EmulatedCluster&) = delete;
    EmulatedCluster& operator=(const EmulatedCluster&) = delete;
    ~EmulatedCluster();

    /// Puts a card with this image into a board that is off, or is about to be.
    void insert(std::size_t node, const std::filesystem::path& image);
    /// It boots when its turn comes.
    void power_on(std::size_t node);
    /// At once, for all the others to see.
    void power_off(std::size_t node);
    void cut(std::size_t node);
    void plug(std::size_t node);
    /// Lets those whose turn it is boot; called now and then. Throws Error if the network is gone.
    void go_on();

    enum class Power { off, waits, on };
    [[nodiscard]] Power power(std::size_t node) const;
    [[nodiscard]] bool is_cut(std::size_t node) const { return nodes_[node].is_cut; }
    [[nodiscard]] BoardState state(std::size_t node) const { return nodes_[node].board->state(); }
    /// As Board has it.
    [[nodiscard]] Inquiry* inquiry(std::size_t node) { return nodes_[node].board->inquiry(); }
    /// Who had the shared address, by name.
    [[nodiscard]] std::vector<Held> held() const;

  private:
    struct Emulated {
        std::unique_ptr<Board> board;
        bool on = false, is_cut = false;
    };
    void run_outside_world(const OutsidePlan& plan, int cable);

    unsigned at_once_;
    NetworkSwitch switch_;
    std::vector<Emulated> nodes_;
    std::deque<std::size_t> turns_;  ///< nodes that wait
    Descriptor outside_cable_;
    std::atomic<bool> ending_ = false;
    std::atomic<bool> outside_ended_ = false;
    std::string outside_fault_;  ///< may be read when it has ended
    std::thread outside_;
};

}  // namespace makina
