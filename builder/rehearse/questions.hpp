#pragma once

#include <map>
#include <string>
#include <vector>

#include "builder/card/card.hpp"
#include "builder/rehearse/rehearse.hpp"

namespace makina {

/// The questions that an image must answer well: what every node needs, what the role in the manifest needs, and what
/// the programs and settings found in the image promise (every sysctl, module and address that /etc sets is asked for).
[[nodiscard]] std::vector<Question> questions_for(const Card& card);

/// Keys and values of a sysctl.d file; lines with patterns and exclusions are left out.
[[nodiscard]] std::map<std::string, std::string> parse_sysctls(std::string_view text);

/// One interface that systemd-networkd or udev is told about.
struct NetworkFile {
    std::vector<std::string> names;      ///< [Match] Name, or the [Link] Name of a .link
    std::vector<std::string> addresses;  ///< "192.168.3.251/24"
    std::string mac;                     ///< [Match] MACAddress or PermanentMACAddress
};
[[nodiscard]] NetworkFile parse_network_file(std::string_view text);

/// MAC addresses of the network cards that the emulated machine needs, eth0's first; an empty one may be any.
[[nodiscard]] std::vector<std::string> network_cards(const Card& card);

}  // namespace makina
