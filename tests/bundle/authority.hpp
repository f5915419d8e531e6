#pragma once

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "firstboot/bundle/sealed.hpp"

/// Makes keys and certificates, right ones and every kind of wrong ones.
namespace makina::forge {

using Key = std::shared_ptr<EVP_PKEY>;

inline void require(bool done) {
    if (!done) throw std::runtime_error(std::string("OpenSSL: ") + ERR_error_string(ERR_get_error(), nullptr));
}

/// "P-256", "P-384", another curve's name, "rsa:BITS" or "ed25519".
inline Key make_key(const std::string& kind) {
    EVP_PKEY* key = nullptr;
    if (kind.rfind("rsa:", 0) == 0) {
        key = EVP_RSA_gen(static_cast<unsigned int>(std::stoul(kind.substr(4))));
    } else if (kind == "ed25519") {
        key = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
    } else {
        key = EVP_EC_gen(kind.c_str());
    }
    require(key != nullptr);
    return {key, EVP_PKEY_free};
}

struct Certificate {
    Key key;
    std::string der;
    std::string subject;
};

/// What a certificate shall say.
struct Wish {
    std::string subject;
    Key key;
    /// OpenSSL's name and value: {"basicConstraints", "critical,CA:TRUE"}.
    std::vector<std::pair<std::string, std::string>> extensions;
    const EVP_MD* digest = EVP_sha256();
    long version = 2;                     ///< as it is encoded: 2 is X.509 v3
    std::int64_t from = 1767139200;       ///< 2025-12-31
    std::int64_t to = 2082672000;         ///< 2035-12-31
    std::int64_t serial = 0;              ///< 0: the next one
    std::string issuer = {};              ///< another name than the issuer's
    std::vector<std::string> names = {};  ///< further parts of the subject: organisations

    /// The same wish with this extension instead of its own; an empty value leaves it out.
    [[nodiscard]] Wish with(const std::string& name, const std::string& value) const {
        Wish other = *this;
        std::erase_if(other.extensions, [&](const auto& extension) { return extension.first == name; });
        if (!value.empty()) other.extensions.emplace_back(name, value);
        return other;
    }
};

inline Wish authority_wish(const std::string& subject, const std::string& kind = "P-256") {
    return {subject,
            make_key(kind),
            {{"basicConstraints", "critical,CA:TRUE"},
             {"keyUsage", "critical,keyCertSign,cRLSign"},
             {"subjectKeyIdentifier", "hash"}}};
}

inline Wish signer_wish(const std::string& subject = "signer", const std::string& kind = "P-256") {
    std::string purpose = "critical,";
    purpose.append(bundle_signing_oid);
    return {subject,
            make_key(kind),
            {{"basicConstraints", "critical,CA:FALSE"},
             {"keyUsage", "critical,digitalSignature"},
             {"extendedKeyUsage", purpose},
             {"subjectKeyIdentifier", "hash"},
             {"authorityKeyIdentifier", "keyid"}}};
}

/// An authority below another.
inline Wish sub_wish(const std::string& subject) {
    return authority_wish(subject).with("authorityKeyIdentifier", "keyid");
}

inline X509* parse(const std::string& der) {
    const auto* at = reinterpret_cast<const unsigned char*>(der.data());
    X509* const parsed = d2i_X509(nullptr, &at, static_cast<long>(der.size()));
    require(parsed != nullptr);
    return parsed;
}

using Parsed = std::unique_ptr<X509, decltype(&X509_free)>;

inline void add_extensions(X509* certificate, X509* issuer, const Wish& wish) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    for (const auto& [name, value] : wish.extensions) {
        X509_EXTENSION* const extension = X509V3_EXT_nconf(nullptr, &context, name.c_str(), value.c_str());
        require(extension != nullptr);
        require(X509_add_ext(certificate, extension, -1) == 1);
        X509_EXTENSION_free(extension);
    }
}

inline void add_name(X509_NAME* name, const char* part, const std::string& text) {
    require(X509_NAME_add_entry_by_txt(name, part, MBSTRING_ASC, reinterpret_cast<const unsigned char*>(text.c_str()),
                                       -1, -1, 0) == 1);
}

/// A certificate as wished, signed by `issuer`, or by itself.
inline Certificate issue(const Wish& wish, const Certificate* issuer = nullptr) {
    static std::int64_t next_serial = 1000;
    const Parsed made(X509_new(), X509_free);
    X509* const certificate = made.get();
    require(X509_set_version(certificate, wish.version) == 1);
    require(ASN1_INTEGER_set_int64(X509_get_serialNumber(certificate),
                                   wish.serial == 0 ? ++next_serial : wish.serial) == 1);
    require(ASN1_TIME_set(X509_getm_notBefore(certificate), wish.from) != nullptr);
    require(ASN1_TIME_set(X509_getm_notAfter(certificate), wish.to) != nullptr);
    for (const std::string& name : wish.names) add_name(X509_get_subject_name(certificate), "O", name);
    if (!wish.subject.empty()) add_name(X509_get_subject_name(certificate), "CN", wish.subject);
    require(X509_set_pubkey(certificate, wish.key.get()) == 1);
    const Parsed above(issuer == nullptr ? nullptr : parse(issuer->der), X509_free);
    X509* const signer = above ? above.get() : certificate;
    require(X509_set_issuer_name(certificate, X509_get_subject_name(signer)) == 1);
    if (!wish.issuer.empty()) {
        X509_NAME* const name = X509_NAME_new();
        add_name(name, "CN", wish.issuer);
        require(X509_set_issuer_name(certificate, name) == 1);
        X509_NAME_free(name);
    }
    add_extensions(certificate, signer, wish);
    EVP_PKEY* const key = issuer == nullptr ? wish.key.get() : issuer->key.get();
    const bool digests = EVP_PKEY_get_base_id(key) != EVP_PKEY_ED25519;
    require(X509_sign(certificate, key, digests ? wish.digest : nullptr) > 0);
    unsigned char* bytes = nullptr;
    const int size = i2d_X509(certificate, &bytes);
    require(size > 0);
    Certificate result{wish.key, {reinterpret_cast<char*>(bytes), static_cast<std::size_t>(size)}, wish.subject};
    OPENSSL_free(bytes);
    return result;
}

}  // namespace makina::forge
