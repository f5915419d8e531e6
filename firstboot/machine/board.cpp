#include "firstboot/machine/board.hpp"

#include <sys/random.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cerrno>
#include <sstream>

#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

constexpr std::size_t largest = std::size_t{64} << 10;

/// A property of the device tree is a text that ends with a zero byte: devicetree.org, 2.2.4.
std::string property(const Files& files, const std::string& name) {
    std::string text = files.read("/proc/device-tree/" + name, largest).value_or("");
    text.erase(std::find(text.begin(), text.end(), '\0'), text.end());
    return text;
}

/// The line that the kernels of Raspberry Pi OS add to /proc/cpuinfo: "Serial\t\t: 10000000abcdef01".
std::string serial_line(const Files& files) {
    std::istringstream lines(files.read("/proc/cpuinfo", std::size_t{1} << 20).value_or(""));
    for (std::string line; std::getline(lines, line);) {
        const std::size_t colon = line.find(": ");
        if (line.rfind("Serial", 0) == 0 && colon != std::string::npos) return line.substr(colon + 2);
    }
    return "";
}

bool is_serial(const std::string& text) {
    return text.size() == 16 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

}  // namespace

std::string architecture_of_kernel() {
    utsname facts{};
    if (uname(&facts) != 0) throw_system("asking for the architecture");
    const std::string machine = facts.machine;
    if (machine == "aarch64") return "arm64";
    return machine == "x86_64" ? "amd64" : machine;
}

std::string model_of_board(const Files& files) {
    return property(files, "model");
}

std::string serial_of_board(const Files& files) {
    for (const std::string& text : {property(files, "serial-number"), serial_line(files)}) {
        if (is_serial(text)) return text;
    }
    return "";
}

std::string random_bytes(std::size_t count) {
    std::string bytes(count, '\0');
    for (std::size_t got = 0; got < count;) {
        const ssize_t more = getrandom(bytes.data() + got, count - got, 0);
        if (more < 0 && errno != EINTR) throw_system("asking for random bytes");
        if (more > 0) got += static_cast<std::size_t>(more);
    }
    return bytes;
}

}  // namespace makina
