#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "builder/pki/material.hpp"
#include "builder/pki/pki.hpp"

namespace makina {

/// What a role's bundle carries.
struct Contents {
    std::vector<Payload> payloads;  ///< by name
    std::string certificate;        ///< serial number of the node's own certificate
};

/// The least that the recipient's role needs: every leaf key is new and the node's alone.
[[nodiscard]] Contents contents_for(const Recipient& recipient, const Material& material, const std::string& trust,
                                    std::int64_t now);

}  // namespace makina
