#pragma once

#include "tests/unit/figures.hpp"

namespace makina::flashing {

using figures::count;
using figures::long_form;

}  // namespace makina::flashing
