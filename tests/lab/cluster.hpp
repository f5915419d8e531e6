#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "builder/pki/pki.hpp"
#include "builder/profile/profile.hpp"
#include "tests/lab/lab.hpp"

namespace makina::lab {

/// The nodes of a profile as machines on one switch: their files are those of the plan, their bundles are issued by
/// keys of the cluster's own, and on each the compiled daemon runs.
class Cluster {
  public:
    /// Nodes get this machine's architecture. `folder` is below workshop(). The keys were made `age` seconds ago.
    Cluster(Profile profile, const fs::path& folder, std::int64_t age = 0);
    Cluster(const Cluster&) = delete;
    Cluster& operator=(const Cluster&) = delete;
    ~Cluster();

    /// Writes a new card for a node, as `makina-image build` does it, with the next epoch, and puts it in; the power is
    /// off. The node's earlier card is thrown away, or kept if `keep` is given: under that name.
    Machine& new_card(const std::string& node, const std::string& keep = {});
    /// The card that takes a dead node's place, as `makina-image replace` writes it: from now on cards of its role only
    /// join, and the node's earlier one is revoked.
    Machine& replacement_card(const std::string& node);
    /// Cards that are written from now on were written so many seconds ago, and are good for a month more.
    void let_cards_lie(std::int64_t seconds) { cards_age_ = seconds; }
    /// Cards that are written from now on begin a cluster with this snapshot, as `makina-image build --restore` writes
    /// them; an empty one: they are ordinary ones again.
    void begin_from(const std::string& snapshot);
    /// Puts a card in that was kept; the power is off.
    Machine& put_in(const std::string& node, const std::string& kept);

    /// A second card of a node, in a board of its own.
    class Spare {
      public:
        Spare(Cluster& cluster, std::string node, const fs::path& card)
            : cluster_(cluster), node_(std::move(node)), machine_(std::make_unique<Machine>(node_, card)) {}
        /// Power, network and the daemon; no address, since systemd-networkd takes none that somebody else has.
        void boot();
        [[nodiscard]] std::string status(const std::string& field) const;

      private:
        friend class Cluster;
        Cluster& cluster_;
        std::string node_;
        std::unique_ptr<Machine> machine_;
    };
    [[nodiscard]] Spare second_card(const std::string& node);

    /// Power, network, the units that the image enables, and the daemon.
    void boot(const std::string& node);
    /// As boot, but for the daemon.
    void boot_without_daemon(const std::string& node);
    /// True once all of them say that they have joined.
    [[nodiscard]] bool have_joined(const std::vector<std::string>& nodes) const;
    /// What they say, and their daemons' logs: for people, when a test fails.
    [[nodiscard]] std::string story(const std::vector<std::string>& nodes) const;

    [[nodiscard]] Machine& machine(const std::string& node) const { return *machines_.at(node); }
    [[nodiscard]] const Switch& lan() const { return lan_; }
    [[nodiscard]] Keys& keys() { return *keys_; }
    [[nodiscard]] Profile& profile() { return profile_; }
    /// The value of a field of the status that the daemon told last; empty if there is none.
    [[nodiscard]] std::string status(const std::string& node, const std::string& field) const;
    [[nodiscard]] std::string address(const std::string& node) const;
    /// The folder of the keys; no passphrase.
    [[nodiscard]] fs::path keys_folder() const { return folder_ / "keys"; }

  private:
    [[nodiscard]] const Node& node(const std::string& name) const;
    void write_card(const Machine& machine, const std::string& name);

    Profile profile_;
    fs::path folder_;
    std::string snapshot_;
    std::int64_t cards_age_ = 0;
    std::optional<Keys> keys_;
    Switch lan_;
    std::map<std::string, std::unique_ptr<Machine>> machines_;
};

}  // namespace makina::lab
