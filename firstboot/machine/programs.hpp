#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "firstboot/host.hpp"
#include "firstboot/machine/supervisor.hpp"

namespace makina {

/// Where programs are looked for, and what they are given besides our environment.
struct ProgramPlace {
    std::vector<std::filesystem::path> folders;
    bool by_name_only = false;  ///< an absolute argv[0] is looked up by its last name too
    std::map<std::string, std::string> environment;
};

/// The node's usual folders.
[[nodiscard]] ProgramPlace usual_place();

/// Runs a program to its end in a process group of its own, without input; it ends when we do. Of standard output the
/// first 64 KiB are kept, of standard error the last. After `seconds`, or if the daemon is asked to end, the group is
/// sent SIGTERM and 5 s later SIGKILL. Status 127 if there is no such program. Throws Error if it cannot be started.
[[nodiscard]] Answer run_program(const std::vector<std::string>& argv, unsigned seconds, const ProgramPlace& place,
                                 Supervisor& supervisor);

/// As Host::reload: SIGHUP (systemd.service(5), ReloadSignal=) to the first process of the service's cgroup. Needs a
/// service that is one process. Throws Error.
[[nodiscard]] bool hang_up(const std::string& service);

}  // namespace makina
