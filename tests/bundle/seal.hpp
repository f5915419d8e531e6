#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "tests/bundle/authority.hpp"

/// Writes CMS messages (RFC 5652) byte by byte, so that every part can be wrong.
namespace makina::forge {

inline std::string tlv(unsigned char tag, const std::string& content) {
    std::string element(1, static_cast<char>(tag));
    if (content.size() < 0x80) {
        element += static_cast<char>(content.size());
    } else {
        std::string length;
        for (std::size_t rest = content.size(); rest > 0; rest >>= 8)
            length.insert(0, 1, static_cast<char>(rest & 255));
        element += static_cast<char>(0x80 | length.size());
        element += length;
    }
    return element + content;
}

inline std::string sequence(const std::string& content) {
    return tlv(0x30, content);
}

inline std::string set_of(std::vector<std::string> elements, unsigned char tag = 0x31) {
    std::sort(elements.begin(), elements.end());
    std::string all;
    for (const std::string& element : elements) all += element;
    return tlv(tag, all);
}

/// "1.2.840.113549.1.7.1" as an element.
inline std::string object(const char* dotted) {
    ASN1_OBJECT* const parsed = OBJ_txt2obj(dotted, 1);
    require(parsed != nullptr);
    std::string bytes(static_cast<std::size_t>(i2d_ASN1_OBJECT(parsed, nullptr)), '\0');
    auto* at = reinterpret_cast<unsigned char*>(bytes.data());
    i2d_ASN1_OBJECT(parsed, &at);
    ASN1_OBJECT_free(parsed);
    return bytes;
}

inline constexpr const char* id_data = "1.2.840.113549.1.7.1";
inline constexpr const char* id_signed_data = "1.2.840.113549.1.7.2";
inline constexpr const char* id_enveloped_data = "1.2.840.113549.1.7.3";
inline constexpr const char* id_content_type = "1.2.840.113549.1.9.3";
inline constexpr const char* id_message_digest = "1.2.840.113549.1.9.4";
inline constexpr const char* id_signing_time = "1.2.840.113549.1.9.5";

inline std::string algorithm(const std::string& oid, bool null = false) {
    return sequence(object(oid.c_str()) + (null ? tlv(0x05, "") : ""));
}

inline std::string digest_oid(const EVP_MD* digest) {
    std::string text(64, '\0');
    const int size = OBJ_obj2txt(text.data(), static_cast<int>(text.size()), OBJ_nid2obj(EVP_MD_get_type(digest)), 1);
    text.resize(static_cast<std::size_t>(size));
    return text;
}

inline std::string digest_of(const std::string& bytes, const EVP_MD* kind) {
    std::string digest(static_cast<std::size_t>(EVP_MD_get_size(kind)), '\0');
    unsigned int size = 0;
    require(EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(digest.data()), &size, kind,
                       nullptr) == 1);
    return digest;
}

inline std::string attribute(const char* oid, const std::string& values) {
    return sequence(object(oid) + tlv(0x31, values));
}

/// One SignerInfo.
struct Signer {
    Certificate certificate;
    const EVP_MD* digest = EVP_sha256();
    std::string version = "\1";
    bool attributes = true;  ///< false: the signature is over the content itself
    bool has_type = true, has_digest = true, has_time = false;
    const char* type = id_data;          ///< what the attribute contentType says
    std::vector<std::string> more = {};  ///< further signed attributes
    std::string unsigned_attributes = {};
    bool by_key_id = false;                ///< named by subjectKeyIdentifier instead of issuer and serial
    bool null_parameters = false;          ///< in the digest's AlgorithmIdentifier
    std::string signature_algorithm = {};  ///< dotted, instead of what fits
    std::string signed_content = {};       ///< what is signed instead of the message's content
    std::string issuer = {};               ///< Name in DER, instead of the certificate's
    bool sorted = true;                    ///< the attributes, as DER wants
};

/// One message.
struct Seal {
    std::string content;
    std::vector<std::string> certificates;  ///< DER
    std::vector<Signer> signers;
    std::string version = "\1";
    const char* outer = id_signed_data;
    const char* type = id_data;
    bool detached = false;
    std::string octets = {};                ///< the element that holds the content, instead of an OCTET STRING
    std::string lists = {};                 ///< CRLs, inside their [1]
    bool sorted = true;                     ///< the certificates
    std::vector<std::string> digests = {};  ///< AlgorithmIdentifiers instead of the signers'
};

inline std::string sign(const Key& key, const EVP_MD* digest, const std::string& bytes) {
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
    require(EVP_DigestSignInit(context.get(), nullptr, digest, nullptr, key.get()) == 1);
    const auto* const input = reinterpret_cast<const unsigned char*>(bytes.data());
    std::size_t size = 0;
    require(EVP_DigestSign(context.get(), nullptr, &size, input, bytes.size()) == 1);
    std::string signature(size, '\0');
    require(EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, input,
                           bytes.size()) == 1);
    signature.resize(size);
    return signature;
}

inline std::string name_of(const Signer& signer) {
    const Parsed certificate(parse(signer.certificate.der), X509_free);
    if (signer.by_key_id) {
        const ASN1_OCTET_STRING* const id = X509_get0_subject_key_id(certificate.get());
        require(id != nullptr);
        return tlv(0x80, {reinterpret_cast<const char*>(ASN1_STRING_get0_data(id)),
                          static_cast<std::size_t>(ASN1_STRING_length(id))});
    }
    unsigned char* bytes = nullptr;
    int size = i2d_X509_NAME(X509_get_issuer_name(certificate.get()), &bytes);
    std::string issuer(reinterpret_cast<char*>(bytes), static_cast<std::size_t>(size));
    OPENSSL_free(bytes);
    bytes = nullptr;
    size = i2d_ASN1_INTEGER(X509_get_serialNumber(certificate.get()), &bytes);
    const std::string serial(reinterpret_cast<char*>(bytes), static_cast<std::size_t>(size));
    OPENSSL_free(bytes);
    return sequence((signer.issuer.empty() ? issuer : signer.issuer) + serial);
}

inline std::string algorithm_of(const Signer& signer) {
    if (!signer.signature_algorithm.empty()) return algorithm(signer.signature_algorithm);
    EVP_PKEY* const key = signer.certificate.key.get();
    if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA) return algorithm("1.2.840.113549.1.1.1", true);
    if (EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519) return algorithm("1.3.101.112");
    const int nid = EVP_MD_get_type(signer.digest);
    return algorithm(nid == NID_sha1     ? "1.2.840.10045.4.1"
                     : nid == NID_sha384 ? "1.2.840.10045.4.3.3"
                     : nid == NID_sha512 ? "1.2.840.10045.4.3.4"
                                         : "1.2.840.10045.4.3.2");
}

inline std::string info_of(const Signer& signer, const std::string& content) {
    const std::string& covered = signer.signed_content.empty() ? content : signer.signed_content;
    const EVP_MD* const digest =
        EVP_PKEY_get_base_id(signer.certificate.key.get()) == EVP_PKEY_ED25519 ? nullptr : signer.digest;
    std::string info =
        tlv(0x02, signer.version) + name_of(signer) + algorithm(digest_oid(signer.digest), signer.null_parameters);
    std::string to_sign = covered;
    if (signer.attributes) {
        std::vector<std::string> attributes = signer.more;
        if (signer.has_type) attributes.push_back(attribute(id_content_type, object(signer.type)));
        if (signer.has_time) attributes.push_back(attribute(id_signing_time, tlv(0x17, "260101000000Z")));
        if (signer.has_digest) {
            attributes.push_back(attribute(id_message_digest, tlv(0x04, digest_of(covered, signer.digest))));
        }
        to_sign = set_of(attributes);
        if (!signer.sorted) {
            std::sort(attributes.rbegin(), attributes.rend());
            std::string all;
            for (const std::string& each : attributes) all += each;
            info += tlv(0xa0, all);
        } else {
            info += set_of(attributes, 0xa0);
        }
    }
    info += algorithm_of(signer) + tlv(0x04, sign(signer.certificate.key, digest, to_sign));
    if (!signer.unsigned_attributes.empty()) info += tlv(0xa1, signer.unsigned_attributes);
    return sequence(info);
}

inline std::string message(const Seal& seal) {
    std::vector<std::string> digests = seal.digests;
    std::vector<std::string> infos;
    for (const Signer& signer : seal.signers) {
        const std::string digest = algorithm(digest_oid(signer.digest), signer.null_parameters);
        if (seal.digests.empty() && std::find(digests.begin(), digests.end(), digest) == digests.end()) {
            digests.push_back(digest);
        }
        infos.push_back(info_of(signer, seal.content));
    }
    std::string data = tlv(0x02, seal.version) + set_of(digests);
    data += sequence(object(seal.type) +
                     (seal.detached ? "" : tlv(0xa0, seal.octets.empty() ? tlv(0x04, seal.content) : seal.octets)));
    if (seal.sorted && !seal.certificates.empty()) data += set_of(seal.certificates, 0xa0);
    if (!seal.sorted) {
        std::vector<std::string> falling = seal.certificates;
        std::sort(falling.rbegin(), falling.rend());
        std::string all;
        for (const std::string& certificate : falling) all += certificate;
        data += tlv(0xa0, all);
    }
    if (!seal.lists.empty()) data += tlv(0xa1, seal.lists);
    data += set_of(infos);
    return sequence(object(seal.outer) + tlv(0xa0, sequence(data)));
}

/// The message as `makina-image` makes it.
inline Seal good_seal(const std::string& content, const Certificate& signer) {
    return {content, {signer.der}, {Signer{signer}}};
}

}  // namespace makina::forge
