#include <string_view>

#include "builder/plan.hpp"
#include "firstboot/bundle/bundle.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/trust.hpp"

namespace makina {
namespace {

/// e_machine of an ELF program for little-endian 64-bit machines (System V ABI: offset 18, two bytes); 0 for others.
unsigned machine_of(std::string_view program) {
    constexpr std::string_view begins =
        "\x7f"
        "ELF\x02\x01";
    if (program.size() < 20 || program.substr(0, begins.size()) != begins) return 0;
    return static_cast<unsigned char>(program[18]) | static_cast<unsigned>(static_cast<unsigned char>(program[19]))
                                                         << 8;
}

unsigned machine_of(Architecture architecture) {
    switch (architecture) {
        case Architecture::arm64:
            return 183;
        case Architecture::amd64:
            return 62;
    }
    throw Error("an unknown architecture");
}

}  // namespace

void carry(ImagePlan& plan, const Carried& carried) {
    if (machine_of(carried.daemon) != machine_of(plan.node.architecture)) {
        throw Error("the daemon is not a program for " + to_string(plan.node.architecture) +
                    ": compile it with cmake --preset device and cmake --build --preset device");
    }
    plan.files.put(File{
        .path = "/usr/sbin/makina-firstboot", .mode = 0755, .content = carried.daemon, .origin = "the node's daemon"});
    plan.files.put(File{
        .path = std::string(Trust::path), .mode = 0644, .content = carried.trust, .origin = "whom the card believes"});
    plan.files.put(File{.path = "/var/lib/makina",
                        .kind = FileKind::directory,
                        .mode = 0700,
                        .content = {},
                        .origin = "the daemon's own folder"});
    if (carried.bundle.empty()) return;
    plan.files.put(
        File{.path = Bundle::path, .mode = 0600, .content = carried.bundle, .origin = "the node's sealed bundle"});
}

}  // namespace makina
