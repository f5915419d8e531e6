#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "builder/base/apt.hpp"
#include "builder/base/base.hpp"

namespace makina {

/// Which of the offered packages is taken for one name.
struct KubernetesPick {
    std::optional<std::size_t> index;  ///< into what was offered
    std::string missing;               ///< if there is none: name and version wanted, and what there is instead
};

/// kubeadm, kubelet and kubectl in the version of the request, newest revision; any other package in its newest
/// version. Only for the request's architecture or all.
[[nodiscard]] KubernetesPick pick_kubernetes(const std::string& name, const BaseRequest& request,
                                             const std::vector<ArchivePackage>& offered);

}  // namespace makina
