#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "firstboot/bundle/bundle.hpp"
#include "firstboot/bundle/trust.hpp"

namespace makina {

/// The extended key usage that a signer of bundles has, critical and alone: an OID below 2.25 (random UUID
/// 7d350b7c-1e0c-4a8e-9c5b-2f0a6b8d3c1f, as ITU-T X.667 lets anybody make one), so that no certificate of another
/// purpose ever fits.
inline constexpr const char* bundle_signing_oid = "2.25.166428924146714031404740292906645797919";

/// What the seal says of content that fits it.
struct Sealed {
    std::string content;          ///< the verified bytes themselves
    std::string signer;           ///< SHA-256 of the signer's DER certificate, 64 lower-case hex digits
    std::int64_t not_before = 0;  ///< when every certificate of the chain is valid, seconds since 1970
    std::int64_t not_after = 0;
};

/// Verifies the seal alone, at no particular time. The rules: at most Bundle::largest bytes; outer type CMS signedData
/// (RFC 5652), looked at before anything else is parsed; strict DER, whole buffer; one signer, named by issuer and
/// serial; SHA-256 or SHA-384; signed attributes contentType and messageDigest (signingTime may be there, nothing
/// else), no unsigned ones; content inside, beginning with Bundle::context; ECDSA on P-256 or P-384; the signer is no
/// authority, may sign (digitalSignature alone), and has bundle_signing_oid critical and alone; every certificate in
/// the message is in the verified chain, of at most 3, which ends at an anchor of `trust`; no revoked one in it; no
/// CRLs. Throws Untrusted with the rule that is broken.
[[nodiscard]] Sealed verify_seal(std::string_view sealed, const Trust& trust);

/// A bundle whose seal, form and addressee are right.
struct Opened {
    Bundle bundle;
    std::string signer;           ///< as Sealed::signer
    std::int64_t not_before = 0;  ///< as Sealed::not_before
    std::int64_t not_after = 0;
};

/// verify_seal, then decode_bundle, then: cluster id, node and role are those of `trust`, and the chain was valid when
/// the bundle was issued. Whether it is too late or too early now, or an older one, is asked of validity.hpp. Throws
/// Untrusted; nothing of the bundle is given out then.
[[nodiscard]] Opened open_sealed(std::string_view sealed, const Trust& trust);

/// As open_sealed, in a child process that can do nothing but compute (seccomp filter, no files, 128 MiB): a fault
/// in a parser ends the child, and the bundle is Untrusted.
[[nodiscard]] Opened open_sealed_confined(std::string_view sealed, const Trust& trust);

}  // namespace makina
