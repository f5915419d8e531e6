#include "firstboot/join/unit.hpp"

namespace makina {

Outcome running(Host& host, const std::string& unit) {
    if (host.run({"systemctl", "is-active", unit}, 30).status == 0) return {true};
    return {false, unit + " to run; systemctl status " + unit + " tells why it does not"};
}

}  // namespace makina
