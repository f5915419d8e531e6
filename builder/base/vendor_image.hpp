#pragma once

#include <filesystem>

#include "builder/base/base.hpp"
#include "builder/base/kubernetes.hpp"

namespace makina {

/// Part of every base's identity: raised whenever an equal image would give other bytes.
inline constexpr const char* vendor_recipe = "vendor image 1";

/// Makes a base of a vendor image (request.base.kind == BaseKind::image): folder/disk.img, sparse. `folder` exists and
/// is this caller's alone. A run that was killed leaves nothing under that name; what it downloaded is kept in
/// request.cache and resumed. `kubernetes` is unpacked into it, packages on hold.
/// facts.id says what went in (the source's bytes, Kubernetes and the free space asked for), not where
/// it came from. Throws Untrusted for a wrong hash, Error for anything else; see the door builder/base/base.hpp.
[[nodiscard]] BaseImage prepare_vendor_image(const BaseRequest& request, const std::filesystem::path& folder,
                                             const KubernetesParts& kubernetes = {});

}  // namespace makina
