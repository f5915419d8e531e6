#pragma once

#include <string>

#include "firstboot/machine/files.hpp"

namespace makina {

// The board; the promises are those of Host.

[[nodiscard]] std::string architecture_of_kernel();
[[nodiscard]] std::string model_of_board(const Files& files);
[[nodiscard]] std::string serial_of_board(const Files& files);
[[nodiscard]] std::string random_bytes(std::size_t count);

}  // namespace makina
