#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/lab/cluster.hpp"
#include "tests/unit/figures.hpp"

// What the tests of the etcd suite share: a cluster of real members, what it says of itself, and a writer.
namespace makina::lab {

using figures::count;
using figures::long_form;
using figures::measure;

/// Three etcd members, and what belongs to them.
[[nodiscard]] Profile three_members();
inline const std::vector<std::string> three = {"etcd-1", "etcd-2", "etcd-3"};

/// A member as etcdctl shows it.
struct Listed {
    std::string id, name;
    bool learner = false;
};
/// What the etcd of a node says; empty if it does not answer.
struct Said {
    std::string cluster;  ///< etcd's id of it
    std::vector<Listed> members;
};
[[nodiscard]] Said said_by(const Cluster& cluster, const std::string& node);

/// Writes for as long as it lives, from a machine of its own.
class Writer {
  public:
    /// The machine has the certificates of `from`.
    Writer(Cluster& cluster, const std::string& from);
    /// By key, the highest number that was acknowledged.
    [[nodiscard]] std::map<int, long> acknowledged() const;
    /// Those that the cluster does not have, asked of one node.
    [[nodiscard]] std::size_t lost(const std::string& asked) const;
    /// Acknowledged writes, and over how many seconds.
    [[nodiscard]] std::pair<std::size_t, double> written() const;
    void stop() { machine_.power_off(); }

  private:
    Cluster& cluster_;
    Machine machine_;
};

}  // namespace makina::lab
