#include "firstboot/stage.hpp"

#include "firstboot/join/join.hpp"
#include "firstboot/node/node.hpp"

namespace makina {

std::vector<Stage> stages_of(std::string_view role) {
    return {{"identity", ask_identity, do_identity, false, true},
            {"storage", ask_storage, do_storage},
            {"network", ask_network, do_network, true},
            {"time", ask_time, do_time},
            {"packages", ask_packages, do_packages},
            {"preflight", ask_preflight, do_preflight},
            {"keys", ask_keys, do_keys},
            join_stage(role),
            {"seal", ask_seal, do_seal, false, true}};
}

}  // namespace makina
