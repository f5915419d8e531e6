#include "builder/base/program.hpp"

namespace makina {

bool is_program(std::string_view head) {
    using namespace std::string_view_literals;
    return head.size() >= program_head && head.substr(0, 5) == "\x7f\x45LF\x02"sv;
}

std::optional<Architecture> program_architecture(std::string_view head) {
    constexpr int aarch64 = 183;
    constexpr int x86_64 = 62;
    if (!is_program(head)) return std::nullopt;
    const int machine = static_cast<unsigned char>(head[18]) + 256 * static_cast<unsigned char>(head[19]);
    if (machine == aarch64) return Architecture::arm64;
    if (machine == x86_64) return Architecture::amd64;
    return std::nullopt;
}

}  // namespace makina
