#include "firstboot/join/join.hpp"

#include <string>

#include "firstboot/bundle/error.hpp"
#include "firstboot/join/balancer.hpp"
#include "firstboot/join/control_plane.hpp"
#include "firstboot/join/etcd.hpp"
#include "firstboot/join/gateway.hpp"
#include "firstboot/join/worker.hpp"

namespace makina {
Stage join_stage(std::string_view role) {
    if (role == "control-plane") return control_plane_stage();
    if (role == "worker") return worker_stage();
    if (role == "load-balancer") return {"join", ask_balancer, do_balancer};
    if (role == "gateway") return {"join", ask_gateway, do_gateway};
    if (role == "etcd") return etcd_stage();
    throw Error("the role \"" + std::string(role) + "\" has no way to join");
}

}  // namespace makina
