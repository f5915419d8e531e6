#pragma once

#include <string>

namespace makina::balancer {

/// Adds to the suite's figures, which are printed at its end.
void note_figure(const std::string& name, double value);
/// One of many: the middle one is printed as NAME_p50_s and the largest as NAME_max_s.
void note_time(const std::string& name, double seconds);

}  // namespace makina::balancer
