#pragma once

#include <set>
#include <string>

#include "tests/lab/lab.hpp"

namespace makina::border {

/// Who has sent VRRP to this machine, as far as its rules let it in, within so many seconds.
[[nodiscard]] std::set<std::string> heard_vrrp(const lab::Machine& machine, double seconds);

/// Sends a packet of VRRP's protocol to an address.
void send_vrrp(const lab::Machine& from, const std::string& to);

}  // namespace makina::border
