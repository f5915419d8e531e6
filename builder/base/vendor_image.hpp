#pragma once

#include <filesystem>

#include "builder/base/base.hpp"

namespace makina {

/// Names what this program makes of a vendor image; it changes whenever the same image would give other bytes.
[[nodiscard]] std::string vendor_recipe();

/// Makes a base of a vendor image (request.base.kind == BaseKind::image) in `folder`, a cache folder of this request's
/// own that exists and that the caller holds a lock on. Gives folder/disk.img, sparse; one that is there already is
/// used again unless the source is another file now. A run that was killed leaves nothing under that name, and what
/// was downloaded is kept and resumed. Throws Untrusted for a wrong hash, Error for anything else.
[[nodiscard]] BaseImage prepare_vendor_image(const BaseRequest& request, const std::filesystem::path& folder);

}  // namespace makina
