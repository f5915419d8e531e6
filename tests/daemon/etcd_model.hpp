#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "firstboot/join/etcd_api.hpp"
#include "tests/daemon/fake_host.hpp"

namespace makina::test {

/// An etcd cluster in memory that answers as the real one does where a joining node asks it, and keeps watch over what
/// is done to it. Members are at 192.168.3.(250 + n).
class EtcdModel {
  public:
    /// Voters of these names, all well.
    explicit EtcdModel(const std::vector<std::string>& names);

    /// Who answers a node's questions, and what they do. A change of the list counts as a change of the host, so that
    /// a test can cut the power there.
    [[nodiscard]] Response answer(FakeHost& host, const Request& request);
    /// Starts etcd on the host: as the member that the list has at its address, as etcd decides it.
    void start(FakeHost& host);
    /// kubeadm's etcd phase on the host: takes it into the list, what went wrong, or nothing. kubeadm takes a member at
    /// our URL for us.
    [[nodiscard]] std::string take_in();
    /// kubeadm's next step, once the pod runs: has the cluster give it a vote; what went wrong, or nothing.
    [[nodiscard]] std::string promote_pod();
    /// The pod of etcd on the host runs, as the member that take_in has made.
    void start_pod();
    /// True if the host's etcd answers an API server: it has a vote, and a majority.
    [[nodiscard]] bool serves() const;
    /// The power was cut: the host's etcd does not run.
    void start_nothing() { started_ = 0; }
    /// What somebody else does to the list.
    void forget(std::uint64_t id);
    void add_voter(const std::string& name, const std::string& url);
    void add_learner(const std::string& url);
    /// Time passes: a learner that runs catches up.
    void go_on();

    /// Members by name that answer and vote; everybody else is dead.
    std::set<std::string> alive;
    /// Members that can be reached by the others, but not by the node: a twin in another room.
    std::set<std::string> unreachable;
    /// Called before each change of the list: what goes wrong then.
    std::function<void(const std::string& change)> before_change;
    /// The host's etcd never comes up with its data until that is new.
    bool data_is_damaged = false;
    /// kubeadm adds members as learners (1.29 and later do); before, as voters at once.
    bool learners = true;
    /// The host's pod speaks to the other members each time that it starts, and ends before it answers anybody.
    bool pod_crashes = false;
    /// Learners never come so far that they may be promoted.
    bool learners_lag = false;
    /// Leases that were granted: for a turn, which is given or made longer.
    std::size_t leases = 0;
    /// What was removed from the list, by id.
    std::vector<std::uint64_t> removed;

    [[nodiscard]] const std::vector<Member>& members() const { return members_; }
    [[nodiscard]] const Member* named(const std::string& name) const;
    [[nodiscard]] bool has_quorum() const;
    /// What a rule of safety forbids and was done anyway, in words; empty is good.
    [[nodiscard]] const std::vector<std::string>& wrongs() const { return wrongs_; }
    [[nodiscard]] std::size_t changes() const { return changes_; }
    std::map<std::string, std::string> keys;

    /// Address of a member, by its URL.
    [[nodiscard]] static std::string address(std::size_t number);

  private:
    [[nodiscard]] std::string list_json() const;
    [[nodiscard]] std::string metrics_of(const Member& member) const;
    [[nodiscard]] bool is_up(const Member& member) const;
    [[nodiscard]] bool is_taken_back(const Member& member) const;
    [[nodiscard]] Response change_list(FakeHost& host, const Request& request);
    [[nodiscard]] Response remove(FakeHost& host, std::uint64_t id);
    [[nodiscard]] Response add(FakeHost& host, const std::string& url);
    [[nodiscard]] Response promote(FakeHost& host, std::uint64_t id);
    [[nodiscard]] Response key(const Request& request);
    [[nodiscard]] std::string why_not_promoted(std::uint64_t id);
    [[nodiscard]] Member* with_id(std::uint64_t id);

    std::vector<Member> members_;
    std::uint64_t next_id_ = 100;
    std::uint64_t started_ = 0;                    ///< id that the host's etcd runs as
    std::uint64_t in_sync_ = 0;                    ///< id of a learner that has caught up
    std::uint64_t taken_in_ = 0;                   ///< id that kubeadm has added
    std::uint64_t promoted_ = 0;                   ///< id that the host was given a vote under
    std::map<std::uint64_t, std::uint64_t> sent_;  ///< bytes, by id
    std::set<std::uint64_t> used_;
    std::vector<std::string> wrongs_;
    std::size_t changes_ = 0;
};

}  // namespace makina::test
