#pragma once

#include <cstdint>
#include <string>

#include "builder/pki/certificate.hpp"
#include "builder/pki/material.hpp"

namespace makina {

/// Where an API server is reached, and the name by which its cluster is known to people.
struct ApiPlace {
    std::string cluster;
    std::string server;  ///< "https://192.168.3.240:9000"
};

/// A kubeconfig with a new client certificate for `user`, good for `lifetime` seconds; everything is in the one file.
/// Throws Error.
[[nodiscard]] std::string make_kubeconfig(const Holder& user, const ApiPlace& place, const Material& material,
                                          std::int64_t now, std::int64_t lifetime = leaf_lifetime);

}  // namespace makina
