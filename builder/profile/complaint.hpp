#pragma once

#include <compare>
#include <string>

namespace makina {

/// One mistake in a profile: where it is and what to do. Line and column count from 1.
struct Complaint {
    int line = 0;
    int column = 0;
    std::string text;
    auto operator<=>(const Complaint&) const = default;
};

}  // namespace makina
