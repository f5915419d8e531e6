#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "builder/pki/certificate.hpp"

namespace makina {

/// Seals content as sealed.hpp demands: CMS signedData in DER, content inside, one signer named by issuer and serial
/// number, SHA-256; signed attributes contentType, messageDigest and signingTime (`now`); the signer's certificate
/// alone. Throws Error.
[[nodiscard]] std::string seal(std::string_view content, const Credential& signer, std::int64_t now);

}  // namespace makina
