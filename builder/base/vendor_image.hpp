#pragma once

#include <filesystem>

#include "builder/base/base.hpp"

namespace makina {

/// Makes a base from a vendor's image; see the door builder/base/base.hpp.
[[nodiscard]] BaseImage prepare_vendor_image(const BaseRequest& request, const std::filesystem::path& folder);

}  // namespace makina
