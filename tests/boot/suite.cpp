#include "tests/boot/suite.hpp"

#include <cstdlib>
#include <fstream>

#include "builder/process.hpp"

namespace makina::boot {
namespace {

/// Kubernetes' packages come from the internet where the base has not got them, and a rehearsed node has no internet:
/// an empty list lets it go on to the stage at which it joins.
constexpr const char* package_list = "/etc/makina/packages";

}  // namespace

std::string environment(const char* name) {
    const char* const value = std::getenv(name);
    return value == nullptr ? "" : value;
}

std::string why_not() {
    if (have_program("qemu-system-aarch64")) return {};
    return "qemu-system-aarch64 is not installed: apt install qemu-system-arm";
}

std::filesystem::path image_of(const std::string& node, const std::string& profile,
                               const std::filesystem::path& folder) {
    const std::string built = environment("MAKINA_BOOT_IMAGES");
    if (!built.empty()) return std::filesystem::path(built) / (node + ".img");
    std::ifstream text(std::filesystem::path(MAKINA_SOURCE) / "profiles" / profile);
    const std::filesystem::path copy = folder / "profile.yaml";
    std::ofstream(copy) << text.rdbuf() << "\nroles:\n";
    for (const char* const role : {"control-plane", "worker"}) {
        std::ofstream(copy, std::ios::app)
            << "  " << role << ": {files: {" << package_list << ": \"# none here\\n\"}}\n";
    }
    Command build;
    build.argv = {MAKINA_IMAGE, "build",    "--profile",     copy.string(), "--role",
                  node,         "--output", folder.string(), "--keys",      (folder / "keys").string()};
    run_checked(build);
    return folder / (node + ".img");
}

}  // namespace makina::boot
