#pragma once

#include <filesystem>
#include <memory>

#include "firstboot/host.hpp"

namespace makina {

struct MachineOptions {
    /// Where the node's files are, /proc and /sys among them. Other than "/" (tests, rescue) nothing outside is
    /// changed: not the host's name, clock, network, light or console, and no program is run but those of `programs`.
    /// The disk is the one that the folder's file system is on.
    std::filesystem::path root = "/";
    /// With another root: a folder whose executables stand for the node's programs; they find MAKINA_ROOT in their
    /// environment. Empty: no program is found.
    std::filesystem::path programs = {};
};

/// The real machine. Holds an exclusive flock on /run/makina/lock while it lives; throws Error if another instance has
/// it, naming its process.
[[nodiscard]] std::unique_ptr<Host> real_machine(const MachineOptions& options);

}  // namespace makina
