#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

struct evp_pkey_st;

namespace makina {

/// A private key, or the public half of one.
using Key = std::shared_ptr<evp_pkey_st>;

/// Throws Error "<what>: <OpenSSL's own words>".
[[noreturn]] void throw_openssl(const std::string& what);

/// ECDSA on P-256: short, quick on small boards, and known to every program that reads our certificates.
[[nodiscard]] Key make_p256();
/// For service accounts' tokens. kubeadm reads a service-account key that is not RSA only in newer versions
/// (pkiutil.TryLoadPrivatePublicKeyFromDisk), and RSA-2048 is what it makes itself.
[[nodiscard]] Key make_rsa_2048();

/// PKCS#8 in PEM; with a passphrase encrypted (PBES2: scrypt, AES-256-CBC). Never wiped by this room: the caller holds
/// a secret.
[[nodiscard]] std::string private_pem(const Key& key, const std::string& passphrase);
/// The public half, SubjectPublicKeyInfo in PEM.
[[nodiscard]] std::string public_pem(const Key& key);
/// Reads what private_pem wrote. Throws Error if the passphrase is wrong.
[[nodiscard]] Key key_from_pem(const std::string& pem, const std::string& passphrase);
/// True if private_pem had a passphrase.
[[nodiscard]] bool is_encrypted_pem(std::string_view pem);
/// SHA-256 of the public half (DER), hex.
[[nodiscard]] std::string fingerprint(const Key& key);

/// From OpenSSL's generator for private things.
[[nodiscard]] std::string secret_bytes(std::size_t count);

}  // namespace makina
