#pragma once

#include <memory>
#include <optional>
#include <string>

#include "tests/balancer/balancer.hpp"
#include "tests/balancer/watching.hpp"

namespace makina::balancer {

/// Why the suite cannot run here; empty if it can.
[[nodiscard]] std::string why_not();

/// The cluster of a profile file: its keys, two balancers, three control planes' stand-ins, and a client that makes
/// connections all the time.
class Cluster {
  public:
    explicit Cluster(fs::path folder);

    [[nodiscard]] const Profile& profile() const { return *profile_; }
    /// A new card for this balancer, with its bundle; `mac` is that of the board that it will be in.
    [[nodiscard]] std::unique_ptr<Balancer> new_balancer(const std::string& name, const std::string& mac);
    void change_profile(const std::function<std::string(std::string)>& change);
    /// What `makina-image bundle create` makes for a node.
    [[nodiscard]] std::string create_bundle(const std::string& node) const;

    void start_control_planes();
    /// "ready", "not-ready" or "silent".
    void set_state(const std::string& control_plane, const std::string& state) const;
    void start_client(int rate);
    /// Connections that are held open, beside the others.
    void start_lasting(int count);
    /// How many of those are open now.
    [[nodiscard]] int lasting_connections();

    [[nodiscard]] Balancer& balancer(const std::string& name);
    /// The balancer with this address of its card, by its name; the address itself if there is none.
    [[nodiscard]] std::string name_of(const std::string& mac) const;
    void replace(const std::string& name, const std::string& mac);

    /// Who has the virtual address now, by name; empty if nobody or more than one.
    [[nodiscard]] std::string owner();

    lab::Switch lan;
    std::optional<Watching> watching;

  private:
    [[nodiscard]] fs::path keys() const { return folder_ / "keys"; }
    [[nodiscard]] fs::path file() const { return folder_ / "makina.yaml"; }
    void issue_certificates();
    void start_peer(const std::string& kind, int count) const;

    fs::path folder_;
    std::optional<Profile> profile_;
    std::vector<std::unique_ptr<lab::Machine>> control_planes_;
    std::unique_ptr<lab::Machine> client_;
    std::vector<std::unique_ptr<Balancer>> balancers_;
    std::vector<std::pair<std::string, std::string>> boards_;  ///< MAC, name
    int cards_ = 0;
};

}  // namespace makina::balancer
