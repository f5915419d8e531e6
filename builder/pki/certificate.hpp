#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "builder/pki/key.hpp"

struct x509_st;

namespace makina {

/// An X.509 certificate.
using Certificate = std::shared_ptr<x509_st>;

/// Whom a certificate names, and what for.
struct Holder {
    std::string name;                    ///< common name
    std::string organisation;            ///< empty for none; Kubernetes reads it as a group
    std::vector<std::string> dns;        ///< subject alternative names
    std::vector<std::string> addresses;  ///< IPv4 or IPv6
};

enum class Usage { client, server, peer, bundle_signer };  ///< a peer is both server and client

/// A key that has a certificate: an authority, a signer, a node.
struct Credential {
    Certificate certificate;
    Key key;
};

/// How long certificates are good for, in seconds. An authority outlives the cluster; a leaf is renewed with a new
/// card.
inline constexpr std::int64_t authority_lifetime = std::int64_t{20} * 365 * 86400;
inline constexpr std::int64_t leaf_lifetime = std::int64_t{5} * 365 * 86400;
/// Certificates begin this long before they are made: boards' clocks are late.
inline constexpr std::int64_t head_start = 86400;

/// A new key and a certificate that it signs itself: it signs leaf certificates, no authorities.
[[nodiscard]] Credential make_authority(const std::string& name, std::int64_t now);
/// A new key and its certificate by `authority`, for `lifetime` seconds, not longer valid than the authority is.
[[nodiscard]] Credential make_leaf(const Holder& subject, Usage usage, const Credential& authority, std::int64_t now,
                                   std::int64_t lifetime = leaf_lifetime);

[[nodiscard]] std::string to_pem(const Certificate& certificate);
/// Reads one certificate. Throws Error.
[[nodiscard]] Certificate certificate_from_pem(const std::string& pem);
[[nodiscard]] std::string to_der(const Certificate& certificate);
/// SHA-256 of the DER, hex.
[[nodiscard]] std::string fingerprint(const Certificate& certificate);
/// Serial number, lower-case hex.
[[nodiscard]] std::string serial_of(const Certificate& certificate);
[[nodiscard]] std::int64_t not_after(const Certificate& certificate);  ///< seconds since 1970
/// True if `key` is the certificate's own.
[[nodiscard]] bool belong_together(const Certificate& certificate, const Key& key);

}  // namespace makina
