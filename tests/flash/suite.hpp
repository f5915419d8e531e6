#pragma once

#include <cstdint>
#include <string>

namespace makina::flashing {

/// MAKINA_ALL=1
[[nodiscard]] bool long_form();

/// Adds to the suite's last line: figures: {"name": number}. Zero makes the name appear.
void count(const std::string& figure, std::uint64_t number);

}  // namespace makina::flashing
