#pragma once

#include <set>
#include <string>

#include "tests/kubernetes/cluster.hpp"

namespace makina::kubernetes {

/// Writes to the API for as long as it lives, from a machine of its own.
class Writer {
  public:
    /// With the administrator's kubeconfig of this control plane, and so at the endpoint that everybody uses.
    Writer(Cluster& cluster, const std::string& from);
    /// The names of the objects whose creation was acknowledged.
    [[nodiscard]] std::set<std::string> acknowledged() const;
    /// How many of those are not there, asked of one control plane; all of them if it does not answer.
    [[nodiscard]] std::size_t lost(const std::string& asked) const;
    void stop() { machine_.power_off(); }

  private:
    Cluster& cluster_;
    lab::Machine machine_;
};

}  // namespace makina::kubernetes
