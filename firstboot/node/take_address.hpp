#pragma once

#include <string>

#include "firstboot/host.hpp"

namespace makina {

/// Gives the node its fixed address soon after power-on: asks the network who has it (RFC 5227, see Host::probe), and
/// if nobody answers, systemd-networkd gives the interface what `file`, one of its own (systemd.network(5)), says,
/// without asking for 4 to 7 seconds itself. Does nothing if there is no cable within 10 seconds, if another machine
/// has the address, or if it is there already: then networkd is left to ask, as it does when this program fails. Until
/// now the interface has settings without an address; what replaces them is in memory (/run) and does not outlast this
/// boot. Whoever calls sees to it that networkd uses `file` itself afterwards, so that it asks by the book while the
/// address is in use, at each new cable, and gives the address up if another machine turns out to have it. Throws
/// Error.
void take_address(Host& host, const std::string& file);

/// Where the settings are that networkd uses meanwhile.
inline constexpr const char* asked_settings = "/run/systemd/network/00-makina-ask.network";

}  // namespace makina
