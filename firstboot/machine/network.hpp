#pragma once

#include <optional>
#include <string>
#include <vector>

#include "firstboot/host.hpp"

namespace makina {

/// The network interfaces of our network namespace that speak Ethernet over a wire, in the kernel's order. With
/// `hardware_only` those alone that belong to a device. Throws Error.
[[nodiscard]] std::vector<Interface> wired_interfaces(bool hardware_only);

/// Where the status page is: on the node's own address ("192.168.3.11/24"), or, as long as that is not known (empty),
/// on every IPv4 address of the interfaces. Without prefix lengths.
[[nodiscard]] std::vector<std::string> page_addresses(const std::string& own, const std::vector<Interface>& interfaces);

/// As Host::probe; needs CAP_NET_RAW. Throws Error if there is no such interface or it is down.
[[nodiscard]] std::optional<std::string> probe_address(const std::string& interface, const std::string& address);

/// "02:00:00:00:00:01" of six bytes.
[[nodiscard]] std::string mac_text(const unsigned char* bytes);

}  // namespace makina
