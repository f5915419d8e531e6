#pragma once

#include <cstdint>
#include <string>

namespace makina {

/// A time for people: "2026-11-21 06:38:00 UTC". `seconds` are since 1970.
[[nodiscard]] std::string utc(std::int64_t seconds);

}  // namespace makina
