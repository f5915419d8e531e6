#pragma once

#include <optional>
#include <string_view>

#include "builder/profile/profile.hpp"

namespace makina {

/// Bytes at the begin of a file that say whether it is a program and for which machine.
inline constexpr std::size_t program_head = 20;

/// True if the bytes begin a 64-bit ELF file (ELF specification: EI_CLASS is byte 4).
[[nodiscard]] bool is_program(std::string_view head);

/// The machine of a program (e_machine: 16 bits at byte 18); none for a machine that we do not build for.
[[nodiscard]] std::optional<Architecture> program_architecture(std::string_view head);

}  // namespace makina
