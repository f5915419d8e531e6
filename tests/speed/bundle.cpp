// Writes FOLDER/bundle, a sealed bundle of 64 KiB, and FOLDER/trust, which believes it.
#include <filesystem>
#include <fstream>

#include "tests/bundle/bundles.hpp"

int main(int, char** arguments) {
    using namespace makina;
    constexpr std::size_t wanted = std::size_t{64} << 10;
    const std::filesystem::path folder = arguments[1];
    const forge::World world;
    // A signature is a byte or two longer or shorter each time.
    std::string sealed;
    for (std::size_t payload = wanted - 4096; sealed.size() != wanted; payload += wanted - sealed.size()) {
        sealed = world.sealed(forge::bundle_of_size(payload));
    }
    std::ofstream(folder / "bundle", std::ios::binary) << sealed;
    std::ofstream(folder / "trust", std::ios::binary) << encode(world.trust);
}
