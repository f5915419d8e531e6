#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "firstboot/host.hpp"

namespace makina {

// etcd's own words, by the JSON gateway on its client port (rpc.proto of 3.4 and later: uint64 are texts, bytes are
// base64, what is false or empty is left out). Everything by TLS with certificates of the cluster's etcd authority.

/// A member as etcd lists it.
struct Member {
    std::uint64_t id = 0;
    std::string name;                      ///< empty until it was started once
    std::vector<std::string> peer_urls;    ///< "https://192.168.3.231:2380"
    std::vector<std::string> client_urls;  ///< empty until it was started once
    bool learner = false;
    bool operator==(const Member&) const = default;
};

struct MemberList {
    std::uint64_t cluster = 0;    ///< etcd's id of the cluster
    std::vector<Member> members;  ///< by id
    bool operator==(const MemberList&) const = default;
};

/// Asks one member after the other; each is an IPv4 address.
class EtcdApi {
  public:
    EtcdApi(Host& host, Credentials tls) : host_(host), tls_(std::move(tls)) {}

    /// What one endpoint says of itself and the others, asked all at once.
    struct Report {
        bool healthy = false;  ///< it has a leader and a majority behind it: /health, which reads through both
        std::optional<MemberList> list;  ///< nothing if it does not answer
        bool leader = false;             ///< the others answer to it, twice a second and more
        /// What it has received from each other member, by id, since it was started; only whether it changes is meant.
        std::map<std::uint64_t, std::string> received;
        std::string fault;  ///< why there is no list
    };
    [[nodiscard]] std::vector<Report> reports(const std::vector<std::string>& addresses,
                                              std::uint32_t milliseconds = 3000);

    /// What came of a change that was asked for.
    struct Change {
        bool done = false;
        std::string fault;  ///< etcd's words, if it refused or did not answer
        MemberList list;    ///< afterwards
        Member member;      ///< that was added
    };
    [[nodiscard]] Change remove(const std::string& address, std::uint64_t id);
    [[nodiscard]] Change add_learner(const std::string& address, const std::string& peer_url);
    [[nodiscard]] Change promote(const std::string& address, std::uint64_t id);

    /// Which member the etcd at this address runs as, by its own word; 0 if it does not answer. A learner answers this
    /// too, and one without a majority (etcd's interceptor.go, isRPCSupportedForLearner).
    [[nodiscard]] std::uint64_t identity(const std::string& address, std::uint32_t milliseconds);

    /// The value of a key; empty if there is none. Throws Error if the member does not answer.
    [[nodiscard]] std::string get(const std::string& address, const std::string& key);
    /// Sets a key if its value is still `before` (empty: there was none); false if it is another. Throws Error.
    [[nodiscard]] bool replace(const std::string& address, const std::string& key, const std::string& before,
                               const std::string& value);

    /// Takes the turn that the key stands for, if nobody has it: who has it now. It ends by itself after `seconds`, so
    /// a holder that died keeps nobody out for ever; a holder that takes it again has it for as long once more. Throws
    /// Error.
    [[nodiscard]] std::string take_turn(const std::string& address, const std::string& key, const std::string& holder,
                                        std::int64_t seconds);
    /// Lets it go, if it is still this holder's. Throws Error.
    void end_turn(const std::string& address, const std::string& key, const std::string& holder);

  private:
    [[nodiscard]] bool transact(const std::string& address, const std::string& body);
    [[nodiscard]] Request request(const std::string& address, const std::string& target,
                                  const std::string& body = {}) const;
    [[nodiscard]] Response post(const std::string& address, const std::string& target, const std::string& body);
    [[nodiscard]] Change change(const std::string& address, const std::string& what, const std::string& body);

    Host& host_;
    Credentials tls_;
};

/// Reads the answer to a question for members; nothing if it is not one.
[[nodiscard]] std::optional<MemberList> read_member_list(const std::string& json);
/// Reads a metric of Prometheus' text format 0.0.4 whose label names a member in hex digits: the values by id.
[[nodiscard]] std::map<std::uint64_t, std::string> read_by_member(std::string_view metrics, std::string_view name,
                                                                  std::string_view label);

}  // namespace makina
