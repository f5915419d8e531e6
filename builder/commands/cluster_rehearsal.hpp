#pragma once

#include <filesystem>
#include <iosfwd>
#include <set>
#include <string>
#include <vector>

#include "builder/commands/interruption.hpp"
#include "builder/commands/rehearsal_cards.hpp"
#include "builder/commands/rehearsal_view.hpp"
#include "builder/commands/rehearse_cluster.hpp"
#include "builder/rehearse/emulated_cluster.hpp"

namespace makina {

/// Leads one rehearsal of a cluster: looks at it, shows what is seen, and does what the director says.
class ClusterRehearsal {
  public:
    /// Everything must outlive it.
    ClusterRehearsal(const ClusterRehearsalOptions& options, const ClusterPlan& plan, RehearsalCards& cards,
                     Interruption& interruption, std::ostream& out, RehearsalVoice voice, const std::string& cluster);

    /// Begins with a card for each node. True if all was well after each drill. Throws Error, also if it is
    /// interrupted.
    bool lead(const std::vector<std::filesystem::path>& images);

  private:
    [[nodiscard]] Sight look();
    [[nodiscard]] std::vector<Seen> look_at_nodes() const;
    [[nodiscard]] Seen look_at(std::size_t at, const StatusReply* reply) const;
    [[nodiscard]] bool can_answer(std::size_t at) const;
    [[nodiscard]] bool shared_answers(const Sight& sight) const;
    [[nodiscard]] std::size_t number_of(const std::string& name) const;
    void perform(const Act& act, double now);
    [[nodiscard]] std::vector<std::string> wrong_answers();
    void tell_troubles();

    const ClusterPlan& plan_;
    RehearsalCards& cards_;
    Interruption& interruption_;
    std::string shared_;
    Director director_;
    std::size_t drills_;
    double interval_;
    double start_;
    RehearsalView view_;
    EmulatedCluster cluster_;
    std::set<Role> formed_;  ///< a node of them was seen to have joined
    std::size_t told_ = 0;   ///< outcomes
};

}  // namespace makina
