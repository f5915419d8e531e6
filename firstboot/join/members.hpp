#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "firstboot/join/etcd_api.hpp"

namespace makina {

// How a node becomes a member of an etcd cluster that exists, and takes the place of its own dead predecessor: decided
// here, from what was seen, by rules that never endanger what the cluster has acknowledged.
//
// etcd matches a starting member with an empty folder to the list by its peer URL alone (server.go, the case without
// WAL and without a new cluster): under the identity of its predecessor, but without what that one had promised. So the
// old one is removed first, by its id, and only when it is proven dead: for proof_of_death nobody else answers at its
// address, which is this node's own now, and no other member has received a byte of it; and all the others are well.
// Then this node is added as a learner, which has no vote, and promoted when it has caught up.

/// What a node notes before it does anything to the cluster's list; the truth is the list itself.
struct JoinRecord {
    static constexpr const char* path = "/var/lib/makina/etcd-join";
    std::uint64_t removing = 0;  ///< the predecessor's id
    std::uint64_t own = 0;       ///< the id that we were given; 0: none, or it was not learned
    bool promoting = false;      ///< it was asked to be given a vote: our data may count from then on
    bool operator==(const JoinRecord&) const = default;
};
/// Lines: "makina-etcd-join 1", [removing ID], [own ID], [promoting yes], "end".
[[nodiscard]] std::string encode(const JoinRecord& record);
/// Throws Untrusted "<what>, line 2".
[[nodiscard]] JoinRecord decode_join_record(std::string_view text);

/// What was seen of the cluster, and of ourselves.
struct Sighting {
    std::string name;                                ///< our own
    std::string peer_url;                            ///< our own
    std::map<std::string, EtcdApi::Report> reports;  ///< of the others, by address
    std::string other_mac;                           ///< somebody else who answers at our address
    bool has_data = false;                           ///< our folder has a member's data
    std::int64_t dead_for = 0;                       ///< seconds for which our predecessor has shown no life
    std::int64_t silent_for = 0;                     ///< seconds for which our own member has shown none
    std::int64_t unready_for = 0;                    ///< seconds for which our etcd, with its data, has answered nobody
};

/// Seconds.
inline constexpr std::int64_t proof_of_death = 30;
inline constexpr std::int64_t patience_with_learner = 120;
/// A member answers nobody before it has all of the cluster's data, of which etcd advises 8 GiB at most, on an SD card.
inline constexpr std::int64_t patience_with_start = 1800;

/// What is to be done next; each is repeated until the list says that it is done.
struct Decision {
    enum class Step {
        wait,     ///< and say what for
        remove,   ///< the member `id` of the list: dead, or a learner of ours that is of no use
        add,      ///< us, as a learner
        start,    ///< our etcd, with the list as its initial cluster
        promote,  ///< our id
        joined,   ///< we have a vote
    } step = Step::wait;
    std::uint64_t id = 0;
    bool aside = false;    ///< our data is to be moved away first: of a learner that was never promoted
    bool silence = false;  ///< our etcd may be the life that is seen: it is to be stopped, which costs nobody a vote
    std::string via = {};  ///< address of a healthy member to ask
    std::string waiting_for = {};
    MemberList list = {};
};

/// The voter of our name or address that we are not (by `record`), or nothing; for the proof of its death.
[[nodiscard]] std::optional<std::uint64_t> predecessor(const Sighting& sighting, const JoinRecord& record);

/// Watches one member through the eyes of the others: how long nobody has heard anything of it.
class Vigil {
  public:
    /// Seconds since the last sign of life of the member `id`, as far as this vigil has seen: 0 at every sign, whenever
    /// the leader is another one, a voter does not tell, or somebody else answers at our address. The leader hears
    /// every voter at each heartbeat, the others hear whoever seeks to be elected; a leader that does not hear the
    /// living either proves nothing.
    [[nodiscard]] std::int64_t seconds(const Sighting& sighting, std::uint64_t id, std::int64_t now);

  private:
    struct Ears {
        std::uint64_t id = 0;
        std::string leader;                        ///< its address
        std::map<std::string, std::string> heard;  ///< of the member, by the address of who listens
        bool operator==(const Ears&) const = default;
    };
    [[nodiscard]] static Ears ears(const Sighting& sighting, std::uint64_t id);

    Ears before_;
    std::map<std::uint64_t, std::string> living_;  ///< what the leader had received from all when the vigil began
    std::int64_t begun_ = 0;
};

[[nodiscard]] Decision decide(const Sighting& sighting, const JoinRecord& record);

/// What is to be done before our own member, which came to nothing as a part of its node, may be given up: it is
/// removed from the list while it still votes, because it may be one of the two that make the majority; then `add`, its
/// place is free. It waits while the others would not be well without it; without a learner they are.
/// Only the member `record.own` is given up. If that is not known, because the power went before it was learned, what
/// has our place is removed only as a predecessor is, when it is proven dead, or was never started.
/// For a card that is the newest of its node (see `claim`, after the sighting): who joined with a newer one is no
/// member of ours.
[[nodiscard]] Decision retreat(const Sighting& sighting, const JoinRecord& record);

/// A member that has a majority behind it, by address; empty if none answers.
[[nodiscard]] std::string healthy_member(const Sighting& sighting);
/// This member in the cluster's list; nothing if it is not there, or nobody has a majority.
[[nodiscard]] std::optional<Member> member_of(const Sighting& sighting, std::uint64_t id);

/// etcd's --initial-cluster for us among this list: "etcd-1=https://...:2380,etcd-2=https://...".
[[nodiscard]] std::string initial_cluster(const MemberList& list, std::uint64_t own, const std::string& name);

/// The host of an URL "https://192.168.3.231:2379"; empty if it is none.
[[nodiscard]] std::string host_of(const std::string& url);

}  // namespace makina
