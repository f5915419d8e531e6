#pragma once

#include <string>

namespace makina {

/// Notes a figure that is counted while the suite runs; all are printed once, at its end.
void note_figure(const std::string& name, double value);

/// True in the long form of the suites.
[[nodiscard]] bool long_form();

}  // namespace makina
