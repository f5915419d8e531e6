#include "builder/rehearse/emulated_cluster.hpp"

#include <algorithm>

#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

/// Thrown through the router's emulator to end it.
struct Ended {};

}  // namespace

EmulatedCluster::EmulatedCluster(const ClusterPlan& plan, unsigned at_once, std::function<double()> clock)
    : at_once_(at_once), switch_(plan.nodes.size() + 1, plan.shared, std::move(clock)) {
    for (const PlannedNode& node : plan.nodes) nodes_.push_back({std::make_unique<Board>(node.board), false, false});
    outside_cable_ = switch_.plug(nodes_.size());
    outside_ = std::thread(
        [this, outside = plan.outside, cable = outside_cable_.get()] { run_outside_world(outside, cable); });
}

EmulatedCluster::~EmulatedCluster() {
    // All are told before the first is waited for.
    ending_ = true;
    for (const Emulated& node : nodes_) node.board->power_off();
    nodes_.clear();
    outside_.join();
}

void EmulatedCluster::run_outside_world(const OutsidePlan& plan, int cable) {
    try {
        run_outside(plan, cable, [this] {
            if (ending_) throw Ended();
        });
        outside_fault_ = "QEMU ended";
    } catch (const Ended&) {
        // As it was asked for.
    } catch (const std::exception& error) {
        outside_fault_ = error.what();
    }
    outside_ended_ = true;
}

void EmulatedCluster::insert(std::size_t node, const std::filesystem::path& image) {
    nodes_[node].board->insert(image);
}

void EmulatedCluster::power_on(std::size_t node) {
    nodes_[node].on = true;
    turns_.push_back(node);
    go_on();
}

void EmulatedCluster::power_off(std::size_t node) {
    switch_.unplug(node);
    nodes_[node].board->power_off();
    nodes_[node].on = nodes_[node].is_cut = false;
    std::erase(turns_, node);
}

void EmulatedCluster::cut(std::size_t node) {
    switch_.cut(node, true);
    nodes_[node].is_cut = true;
    nodes_[node].board->plug(false);
}

void EmulatedCluster::plug(std::size_t node) {
    switch_.cut(node, false);
    nodes_[node].is_cut = false;
    nodes_[node].board->plug(true);
}

void EmulatedCluster::go_on() {
    if (outside_ended_ && !ending_) throw Error("the rehearsal's network ended: " + outside_fault_);
    const auto boots = [&](const Emulated& node) {
        const BoardState state = node.board->state();
        return state.on && state.trouble.empty() && (!state.stage || *state.stage < BootStage::multi_user);
    };
    auto booting = static_cast<std::size_t>(std::count_if(nodes_.begin(), nodes_.end(), boots));
    for (; !turns_.empty() && booting < at_once_; ++booting) {
        const std::size_t node = turns_.front();
        turns_.pop_front();
        nodes_[node].board->power_on(switch_.plug(node));
    }
}

EmulatedCluster::Power EmulatedCluster::power(std::size_t node) const {
    if (!nodes_[node].on) return Power::off;
    return std::find(turns_.begin(), turns_.end(), node) == turns_.end() ? Power::on : Power::waits;
}

std::vector<Held> EmulatedCluster::held() const {
    std::vector<Held> all;
    for (const Holding& holding : switch_.holdings()) {
        Held held{holding.since, {}};
        for (const std::size_t port : holding.ports) {
            held.by.push_back(port < nodes_.size() ? nodes_[port].board->name() : "nobody's machine");
        }
        all.push_back(std::move(held));
    }
    return all;
}

}  // namespace makina
