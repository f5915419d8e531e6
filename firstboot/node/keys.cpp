#include "firstboot/node/node.hpp"
#include "firstboot/placing.hpp"
#include "firstboot/text.hpp"

namespace makina {

Outcome ask_keys(Host& host, const Bundle& bundle) {
    const std::vector<std::string> missing = unplaced(host, bundle);
    if (missing.empty()) return {true};
    return {false, "the keys " + some_of(missing)};
}

Outcome do_keys(Host& host, const Bundle& bundle) {
    place(host, bundle);
    return ask_keys(host, bundle);
}

}  // namespace makina
