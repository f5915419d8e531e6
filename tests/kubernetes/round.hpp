#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/kubernetes/cluster.hpp"

namespace makina::kubernetes {

/// One cluster of the real Kubernetes from its first power-on to its last replacement. Nobody touches its nodes: cards
/// are made, put in and powered on, and what is destroyed is replaced by its next card. What is expected is asserted.
class Round {
  public:
    /// The seed decides everything that is left to chance.
    Round(Profile profile, std::uint64_t seed);

    /// Powers everything on in an order of chance, the control planes' being the seed's, and waits until all have
    /// joined.
    void form();
    /// The node is destroyed, card and all, while somebody writes; its next card takes its place. `accident` happens
    /// after its power-on.
    void replace(const std::string& node, const std::function<void()>& accident = nullptr);
    /// The API lists everybody as Ready, and whichever control plane one asks, its etcd is the same, with as many
    /// votes.
    void expect_whole();

    // While a node is replaced, one looks every second, in all that follows: etcd never has more members than there are
    // control planes.

    /// Waits until a node says that it waits for something that begins so.
    void wait_until_it_waits(const std::string& node, const std::string& words);
    void pass(double seconds);
    void cut_power(const std::string& node) { cluster_.machine(node).power_off(); }
    [[nodiscard]] bool has_joined(const std::string& node) { return cluster_.lab().have_joined({node}); }
    /// The daemon alone, and what it runs; systemd starts it again.
    void kill_daemon(const std::string& node);
    /// The same card, with power again.
    void boot(const std::string& node);
    [[nodiscard]] double chance(double from, double to) { return std::uniform_real_distribution(from, to)(random_); }

  private:
    void wait_until_joined(const std::vector<std::string>& nodes, const std::string& figure);
    /// Asks a tenth of a second after each answer that is no, for so many seconds.
    bool becomes_true(double seconds, const std::function<bool()>& question);
    void expect_no_other_member();
    [[nodiscard]] std::vector<std::string> nodes_of(Role role);
    [[nodiscard]] std::string uid(const std::string& node, const std::string& asked) const;
    [[nodiscard]] std::string member_id(const std::string& node, const std::string& asked) const;
    [[nodiscard]] const Profile& profile() { return cluster_.lab().profile(); }

    std::uint64_t seed_;
    std::mt19937_64 random_;
    std::string where_;
    Cluster cluster_;
    std::map<std::string, double> powered_on_;
    std::string replaced_;  ///< the node that is being replaced; empty for none
    double looked_ = 0;     ///< when etcd's members were asked for
    double answered_ = 0;   ///< when somebody answered last
};

}  // namespace makina::kubernetes
