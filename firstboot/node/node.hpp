#pragma once

#include <optional>
#include <string>

#include "firstboot/host.hpp"
#include "firstboot/since.hpp"
#include "firstboot/stage.hpp"

namespace makina {

// The stages that every role has. Each `ask_` changes nothing.

/// Where things are kept on the node; the folder is root's alone.
namespace kept {
inline constexpr const char* bundle = Bundle::path;              ///< the sealed bundle, until joined
inline constexpr const char* trust = "/var/lib/makina/trust";    ///< newer than the card's own
inline constexpr const char* epoch = "/var/lib/makina/epoch";    ///< highest that was used, a decimal number
inline constexpr const char* clock = "/var/lib/makina/clock";    ///< when the time was last known, seconds since 1970
inline constexpr const char* joined = "/var/lib/makina/joined";  ///< done-mark: the bundle without payloads
inline constexpr const char* clock_epoch = "/usr/lib/clock-epoch";  ///< its time stamp is when the image was built
}  // namespace kept

/// What verifying found.
struct Identity {
    Bundle bundle;        ///< without payloads if already joined
    bool joined = false;  ///< sealed up earlier: nothing is left to do
};

/// Takes a delivered bundle with a higher epoch (durable on the root file system, then wiped where it lay), then opens
/// the node's own. An Outcome that waits means that there is no bundle, that the clock has to come forward first, or
/// that the bundle is for another machine; its notice names deliveries that were refused, and why. Throws Untrusted.
struct Verification {
    Outcome outcome;
    std::optional<Identity> identity;  ///< nothing while waiting for a bundle
};
[[nodiscard]] Verification verify(Host& host);

/// What has been handed over since: the run begins again if something is to be taken or wiped.
struct Handover {
    bool ready = false;
    bool newer = false;  ///< something is to be taken
    std::string notice;  ///< deliveries that would be refused, and why
};
[[nodiscard]] Handover look_for_delivery(Host& host);
/// What a node that has refused its bundle needs from people.
[[nodiscard]] std::string way_out(Host& host);

/// hostname, machine-id, hosts, ssh host keys.
[[nodiscard]] Outcome ask_identity(Host& host, const Bundle& bundle);
[[nodiscard]] Outcome do_identity(Host& host, const Bundle& bundle);
/// Partition and file system as large as the card, the spare partition if the bundle asks for one.
[[nodiscard]] Outcome ask_storage(Host& host, const Bundle& bundle);
[[nodiscard]] Outcome do_storage(Host& host, const Bundle& bundle);
/// The node's address is on its interface, and nobody else has it.
[[nodiscard]] Outcome ask_network(Host& host, const Bundle& bundle);
[[nodiscard]] Outcome do_network(Host& host, const Bundle& bundle);
/// What the image lacks is installed (/etc/makina/packages).
[[nodiscard]] Outcome ask_packages(Host& host, const Bundle& bundle);
[[nodiscard]] Outcome do_packages(Host& host, const Bundle& bundle);
/// The clock is not below clock_floor, and is kept.
[[nodiscard]] Outcome ask_time(Host& host, const Bundle& bundle);
[[nodiscard]] Outcome do_time(Host& host, const Bundle& bundle);
/// Doubt of the time that is kept: a time server may have been wrong once. What is kept is written anew as soon as the
/// synchronised clock has been an hour below it and more at each look for ten minutes.
class Doubt {
  public:
    void look(Host& host);

  private:
    Since contradicted_;
};
/// cgroup controllers, swap, modules, sysctls, room, architecture and board.
[[nodiscard]] Outcome ask_preflight(Host& host, const Bundle& bundle);
[[nodiscard]] Outcome do_preflight(Host& host, const Bundle& bundle);
/// The payloads are where payload_kinds says, with its owner and mode.
[[nodiscard]] Outcome ask_keys(Host& host, const Bundle& bundle);
[[nodiscard]] Outcome do_keys(Host& host, const Bundle& bundle);
/// The done-mark is durable, and after that the bundle is gone.
[[nodiscard]] Outcome ask_seal(Host& host, const Bundle& bundle);
[[nodiscard]] Outcome do_seal(Host& host, const Bundle& bundle);

}  // namespace makina
