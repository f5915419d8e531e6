#pragma once

#include <cstdint>
#include <string>

namespace makina::kubernetes {

/// Adds to a figure of the suite's last line.
void count(const std::string& figure, std::uint64_t more = 1);
/// One of many measurements of which the last line has the median and the longest: NAME_median_s, NAME_max_s.
void measure(const std::string& figure, double seconds);

}  // namespace makina::kubernetes
