#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "builder/profile/profile.hpp"

/// The whole path from a file's bytes to a checked profile: whatever the bytes are, the answer is a profile or
/// complaints, never both and never neither.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const int file = memfd_create("profile", MFD_CLOEXEC);
    static const std::string path = "/proc/self/fd/" + std::to_string(file);
    if (ftruncate(file, 0) != 0 || pwrite(file, data, size, 0) != static_cast<ssize_t>(size)) __builtin_trap();
    const makina::ProfileReading reading = makina::read_profile(path);
    if (reading.profile.has_value() == !reading.complaints.empty()) __builtin_trap();
    return 0;
}
