#pragma once

#include <string>
#include <string_view>

namespace makina {

/// A status document (to_json) as lines for a person: "waiting for  the time". Members that say nothing are left out;
/// nothing that is not printable ASCII passes. Throws Error if it is not one JSON object of texts, numbers, truth
/// values and lists of such objects.
[[nodiscard]] std::string to_lines(std::string_view json);

}  // namespace makina
