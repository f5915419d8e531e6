#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "firstboot/host.hpp"

namespace makina {

struct MachineOptions {
    /// Where the node's files are, /proc and /sys among them. Other than "/" (tests, rescue) nothing outside is
    /// changed: not the host's name, clock, network, light or console, and no program is run but those of `programs`.
    /// The disk is the one that the folder's file system is on, if the folder is the top of one; else the folder looks
    /// like a card that is grown already. Every Ethernet interface counts, made by software or not. The clock is the
    /// machine's until it is set, and then runs ahead of it for this process alone.
    std::filesystem::path root = "/";
    /// With another root: a folder whose executables stand for the node's programs, whatever folder these are in; they
    /// find MAKINA_ROOT in their environment. Empty: no program is found.
    std::filesystem::path programs = {};
    /// With another root: where the status page is, "127.0.0.1:8080"; empty for nowhere. On a node it is on the node's
    /// own address, at status_port; until that is known, on every address that a wired interface has.
    std::string page = {};
    /// One of several: neither the lock nor the status is its business.
    bool beside = false;
};

/// The real machine. Holds an exclusive flock on /run/makina/lock while it lives, unless it is `beside` another; throws
/// Error if another instance has it, naming its process. While it lives it takes SIGTERM and SIGINT, answers the
/// service manager's watchdog, and gives the status to who asks at the socket /run/makina/status.
[[nodiscard]] std::unique_ptr<Host> real_machine(const MachineOptions& options);

/// The status as JSON: what the daemon of this root says at its socket, or, if none runs, what the last one left in
/// /run/makina/status.json. Throws Error if there is neither.
[[nodiscard]] std::string ask_status(const std::filesystem::path& root);

}  // namespace makina
