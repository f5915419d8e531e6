#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "builder/profile/address.hpp"

namespace makina {

/// A way in: what connects to this computer's `local` port on 127.0.0.1 reaches a port of a machine on the switch.
struct WayIn {
    std::uint16_t local = 0;
    Address address;
    std::uint16_t port = 0;
};

/// An address on the switch where nobody is: whoever connects to its port talks to a program of this computer.
struct StandIn {
    Address address;
    std::uint16_t port = 0;
};

/// What is on the switch besides the machines.
struct OutsidePlan {
    Subnet subnet;
    Address router;         ///< its own address, which machines may use as their way out
    Address name_server;    ///< another one; only with `internet` it knows names
    bool internet = false;  ///< machines reach what this computer reaches; else nothing but the stand-ins
    std::vector<WayIn> ways_in;
    std::vector<StandIn> stand_ins;
    std::string stand_in;  ///< the program for them and its arguments, as a shell reads them; its standard input and
                           ///< output are the connection
};

/// As many free TCP ports of 127.0.0.1, free at this moment.
[[nodiscard]] std::vector<std::uint16_t> free_ports(std::size_t count);

/// The arguments of a QEMU that emulates no machine, only a router: its user-mode network (libslirp) and a cable to the
/// switch are joined by a hub.
[[nodiscard]] std::vector<std::string> outside_arguments(const OutsidePlan& plan, int cable);

/// Runs such a QEMU until it ends; needs no root. `on_tick` as for a Command. Throws Error if QEMU refuses.
void run_outside(const OutsidePlan& plan, int cable, const std::function<void()>& on_tick);

}  // namespace makina
