#pragma once

#include "tests/unit/figures.hpp"

namespace makina::crash {

using figures::count;
using figures::long_form;

}  // namespace makina::crash
