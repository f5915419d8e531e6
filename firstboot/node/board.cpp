#include "firstboot/node/board.hpp"

#include <algorithm>
#include <array>
#include <string_view>

namespace makina {
namespace {

constexpr std::string_view pi = "Raspberry Pi ";

struct Family {
    std::string_view board;  ///< as bundles say it
    std::string_view name;   ///< for people
    /// How a model of it goes on after "Raspberry Pi ": the names in the kernel's device trees.
    std::array<std::string_view, 5> models;
};

constexpr auto families = std::to_array<Family>({
    {"rpi3", "Raspberry Pi 3", {"3 ", "Compute Module 3", "Zero 2", "", ""}},
    {"rpi4", "Raspberry Pi 4", {"4 ", "400", "Compute Module 4", "", ""}},
    {"rpi5", "Raspberry Pi 5", {"5 ", "500", "Compute Module 5", "", ""}},
});

bool is_of(const Family& family, std::string_view model) {
    model.remove_prefix(pi.size());
    return std::any_of(family.models.begin(), family.models.end(), [&](std::string_view beginning) {
        return !beginning.empty() && model.rfind(beginning, 0) == 0;
    });
}

/// A machine that is no Raspberry Pi (an emulator, a PC) is held to nothing but its architecture.
std::string family_objection(const std::string& model, const std::string& board) {
    if (model.rfind(pi, 0) != 0) return {};
    for (const Family& family : families) {
        if (family.board != board) continue;
        return is_of(family, model) ? std::string() : "a " + std::string(family.name) + ": this is a " + model;
    }
    return {};
}

bool has_mac(Host& host, const std::string& mac) {
    const auto interfaces = host.interfaces();
    return std::any_of(interfaces.begin(), interfaces.end(), [&](const Interface& one) { return one.mac == mac; });
}

}  // namespace

std::string board_objection(Host& host, const Bundle& bundle) {
    if (const std::string architecture = host.architecture(); architecture != bundle.architecture) {
        return "an " + bundle.architecture + " machine: this is " + architecture;
    }
    if (std::string objection = family_objection(host.model(), bundle.board); !objection.empty()) return objection;
    if (const std::string serial = host.serial(); !bundle.serial.empty() && serial != bundle.serial) {
        return "the board with the serial number " + bundle.serial + ": this one has " +
               (serial.empty() ? "none" : serial);
    }
    if (!bundle.mac.empty() && !has_mac(host, bundle.mac)) {
        return "the board with the network card " + bundle.mac + ": this one has another";
    }
    return {};
}

}  // namespace makina
