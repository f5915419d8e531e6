#include "builder/pki/certificate.hpp"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>

#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/encoding.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/handle.hpp"
#include "firstboot/bundle/sealed.hpp"

namespace makina {
namespace {

using Memory = Handle<BIO, BIO_free_all>;
using Number = Handle<BIGNUM, BN_free>;
using Extension = Handle<X509_EXTENSION, X509_EXTENSION_free>;
using Names = Handle<GENERAL_NAMES, GENERAL_NAMES_free>;

void require(bool done) {
    if (!done) throw_openssl("making a certificate");
}

Certificate owned(X509* certificate, const char* what) {
    if (certificate == nullptr) throw_openssl(what);
    return {certificate, X509_free};
}

void add_name_part(X509_NAME* name, const char* part, const std::string& text) {
    require(X509_NAME_add_entry_by_txt(name, part, MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(text.data()),
                                       static_cast<int>(text.size()), -1, 0) == 1);
}

void add_extension(X509* certificate, X509* issuer, int kind, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()));
    require(extension && X509_add_ext(certificate, extension.get(), -1) == 1);
}

/// Names go in as values: in the words of X509V3_EXT_conf a comma in one would make two of it.
void add_alternative_names(X509* certificate, const Holder& subject) {
    if (subject.dns.empty() && subject.addresses.empty()) return;
    const Names names(GENERAL_NAMES_new());
    const auto add = [&](int type, const std::string& text) {
        GENERAL_NAME* const name = a2i_GENERAL_NAME(nullptr, nullptr, nullptr, type, text.c_str(), 0);
        if (name == nullptr) throw_openssl("naming " + text + " in a certificate");
        require(sk_GENERAL_NAME_push(names.get(), name) > 0);
    };
    for (const std::string& name : subject.dns) add(GEN_DNS, name);
    for (const std::string& address : subject.addresses) add(GEN_IPADD, address);
    require(X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), 0, X509V3_ADD_DEFAULT) == 1);
}

std::string extended_usage(Usage usage) {
    switch (usage) {
        case Usage::client:
            return "clientAuth";
        case Usage::server:
            return "serverAuth";
        case Usage::peer:
            return "serverAuth,clientAuth";
        case Usage::bundle_signer:
            return std::string("critical,") + bundle_signing_oid;
    }
    throw Error("an unknown usage of a certificate");
}

/// Version, serial number, names, times and key; the extensions and the signature follow.
Certificate begin(const Holder& subject, const Key& key, std::int64_t first, std::int64_t last) {
    Certificate certificate = owned(X509_new(), "making a certificate");
    require(X509_set_version(certificate.get(), X509_VERSION_3) == 1);
    // RFC 5280, 4.1.2.2: positive, at most 20 bytes. 126 random bits under a set one never begin with a zero.
    std::string serial = secret_bytes(16);
    serial[0] = static_cast<char>((static_cast<unsigned char>(serial[0]) & 0x3f) | 0x40);
    const Number number(BN_bin2bn(reinterpret_cast<const unsigned char*>(serial.data()), 16, nullptr));
    require(number && BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate.get())) != nullptr);
    X509_NAME* const name = X509_get_subject_name(certificate.get());
    if (!subject.organisation.empty()) add_name_part(name, "O", subject.organisation);
    add_name_part(name, "CN", subject.name);
    require(ASN1_TIME_adj(X509_getm_notBefore(certificate.get()), first, 0, 0) != nullptr);
    require(ASN1_TIME_adj(X509_getm_notAfter(certificate.get()), last, 0, 0) != nullptr);
    require(X509_set_pubkey(certificate.get(), key.get()) == 1);
    return certificate;
}

void sign(const Certificate& certificate, const Key& key) {
    require(X509_sign(certificate.get(), key.get(), EVP_sha256()) > 0);
}

}  // namespace

Credential make_authority(const std::string& name, std::int64_t now) {
    Key key = make_p256();
    Certificate certificate = begin({name, "", {}, {}}, key, now - head_start, now + authority_lifetime);
    X509* const own = certificate.get();
    require(X509_set_issuer_name(own, X509_get_subject_name(own)) == 1);
    add_extension(own, own, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
    add_extension(own, own, NID_key_usage, "critical,keyCertSign,cRLSign");
    add_extension(own, own, NID_subject_key_identifier, "hash");
    sign(certificate, key);
    return {std::move(certificate), std::move(key)};
}

Credential make_leaf(const Holder& subject, Usage usage, const Credential& authority, std::int64_t now,
                     std::int64_t lifetime) {
    X509* const issuer = authority.certificate.get();
    const std::int64_t last = std::min(now + lifetime, not_after(authority.certificate));
    if (last <= now) throw Error("the authority of " + subject.name + "'s certificate has expired");
    Key key = make_p256();
    Certificate certificate = begin(subject, key, now - head_start, last);
    X509* const own = certificate.get();
    require(X509_set_issuer_name(own, X509_get_subject_name(issuer)) == 1);
    add_extension(own, issuer, NID_basic_constraints, "critical,CA:FALSE");
    add_extension(own, issuer, NID_key_usage, "critical,digitalSignature");
    add_extension(own, issuer, NID_ext_key_usage, extended_usage(usage));
    add_extension(own, issuer, NID_subject_key_identifier, "hash");
    add_extension(own, issuer, NID_authority_key_identifier, "keyid:always");
    add_alternative_names(own, subject);
    sign(certificate, authority.key);
    return {std::move(certificate), std::move(key)};
}

std::string to_pem(const Certificate& certificate) {
    const Memory bio(BIO_new(BIO_s_mem()));
    if (!bio || PEM_write_bio_X509(bio.get(), certificate.get()) != 1) throw_openssl("writing a certificate");
    char* data = nullptr;
    const auto size = BIO_get_mem_data(bio.get(), &data);
    return {data, static_cast<std::size_t>(size)};
}

Certificate certificate_from_pem(const std::string& pem) {
    const Memory bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    X509* const certificate = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr);
    if (certificate == nullptr) {
        ERR_clear_error();
        throw Error("no certificate in PEM");
    }
    return owned(certificate, "reading a certificate");
}

std::string to_der(const Certificate& certificate) {
    unsigned char* der = nullptr;
    const int size = i2d_X509(certificate.get(), &der);
    if (size <= 0) throw_openssl("writing a certificate");
    std::string bytes(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
    OPENSSL_free(der);
    return bytes;
}

std::string fingerprint(const Certificate& certificate) {
    return sha256(to_der(certificate));
}

std::string serial_of(const Certificate& certificate) {
    const Number number(ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate.get()), nullptr));
    if (!number) throw_openssl("reading a serial number");
    std::string bytes(static_cast<std::size_t>(BN_num_bytes(number.get())), '\0');
    BN_bn2bin(number.get(), reinterpret_cast<unsigned char*>(bytes.data()));
    return to_hex(bytes);
}

std::int64_t not_after(const Certificate& certificate) {
    std::tm time{};
    if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate.get()), &time) != 1) throw_openssl("reading a time");
    return timegm(&time);
}

bool belong_together(const Certificate& certificate, const Key& key) {
    const bool equal = X509_check_private_key(certificate.get(), key.get()) == 1;
    ERR_clear_error();
    return equal;
}

}  // namespace makina
