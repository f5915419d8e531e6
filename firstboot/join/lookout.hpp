#pragma once

#include <cstdint>
#include <string>

#include "firstboot/bundle/bundle.hpp"
#include "firstboot/host.hpp"
#include "firstboot/join/members.hpp"
#include "firstboot/stage.hpp"

namespace makina {

/// Where etcd speaks to its peers on a node: "https://192.168.3.231:2380".
[[nodiscard]] std::string peer_url_of(const std::string& address);

/// Sees the etcd cluster that this node is to be a member of, from outside, again and again: so it also knows for how
/// long a member has shown no life.
class Lookout {
  public:
    explicit Lookout(Credentials tls) : tls_(std::move(tls)) {}
    /// Asks every founder and every member that they know of, and the network who has our address. A few seconds at the
    /// most. `has_data`: our folder has a member's data.
    [[nodiscard]] Sighting sight(Host& host, const Bundle& bundle, const JoinRecord& record, bool has_data);

  private:
    Credentials tls_;
    Vigil dead_, silent_;
};

/// What was noted before the cluster's list was changed; nothing was noted: a fresh one. Throws Error if
/// it is damaged.
[[nodiscard]] JoinRecord recorded(Host& host);
/// Makes it durable, if it has changed.
void record(Host& host, const JoinRecord& record);

/// What the cluster's etcd remembers of this node's cards: the newest epoch, 0 if nothing. `text` is what it says.
/// Throws Error if the member does not answer.
[[nodiscard]] std::uint64_t known_epoch(EtcdApi& api, const std::string& via, const Bundle& bundle, std::string& text);
/// Has the cluster remember this card; waits if it knows a newer one, which an older one never replaces.
[[nodiscard]] Outcome claim(EtcdApi& api, const std::string& via, const Bundle& bundle);

}  // namespace makina
