#pragma once

#include "firstboot/stage.hpp"

namespace makina {

/// haproxy and keepalived run, each with the configuration that the bundle carries. The running processes are asked:
/// haproxy tells its configuration to 127.0.0.1, keepalived's is in its process's name.
[[nodiscard]] Outcome ask_balancer(Host& host, const Bundle& bundle);
/// Looks at a new configuration before it becomes the server's file, then reloads: connections and the virtual address
/// stay. Throws Error if the server would refuse it: file and server are left as they are.
[[nodiscard]] Outcome do_balancer(Host& host, const Bundle& bundle);

}  // namespace makina
