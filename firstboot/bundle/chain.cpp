#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <limits>

#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/envelope.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/handle.hpp"
#include "firstboot/bundle/sealed.hpp"

namespace makina {
namespace {

using Certificate = Handle<X509, X509_free>;
using Store = Handle<X509_STORE, X509_STORE_free>;
using Context = Handle<X509_STORE_CTX, X509_STORE_CTX_free>;
using Purposes = Handle<EXTENDED_KEY_USAGE, EXTENDED_KEY_USAGE_free>;

void free_stack(STACK_OF(X509) * stack) {
    sk_X509_free(stack);  // not what is in it: others own that
}
using Stack = Handle<STACK_OF(X509), free_stack>;

void require(bool done) {
    if (!done) throw Error("OpenSSL could not verify certificates: " + library_reason());
}

std::string der_of(X509* certificate) {
    const int size = i2d_X509(certificate, nullptr);
    require(size > 0);
    std::string bytes(static_cast<std::size_t>(size), '\0');
    auto* at = reinterpret_cast<unsigned char*>(bytes.data());
    require(i2d_X509(certificate, &at) == size);
    return bytes;
}

Certificate read_certificate(std::string_view der, const char* what) {
    const auto* at = reinterpret_cast<const unsigned char*>(der.data());
    Certificate certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
    if (!certificate || der_of(certificate.get()) != der) {
        ERR_clear_error();
        throw Untrusted(std::string(what) + " is no X.509 certificate in strict DER");
    }
    return certificate;
}

std::string dotted(const ASN1_OBJECT* object) {
    std::array<char, 256> text{};
    const int size = OBJ_obj2txt(text.data(), text.size(), object, 1);
    return size > 0 && static_cast<std::size_t>(size) < text.size() ? text.data() : "";
}

/// The purposes that a certificate names, as dotted numbers; none if it names none, or says it twice.
std::vector<std::string> purposes_of(X509* certificate, bool& critical) {
    int flag = -1;
    const Purposes purposes(
        static_cast<EXTENDED_KEY_USAGE*>(X509_get_ext_d2i(certificate, NID_ext_key_usage, &flag, nullptr)));
    critical = flag == 1;
    const int count = std::max(0, sk_ASN1_OBJECT_num(purposes.get()));  // -1 if there are none
    std::vector<std::string> names;
    names.reserve(static_cast<std::size_t>(count));
    for (int i = 0; i < count; ++i) {
        names.push_back(dotted(sk_ASN1_OBJECT_value(purposes.get(), i)));
    }
    return names;
}

bool is_critical(X509* certificate, int extension) {
    const int at = X509_get_ext_by_NID(certificate, extension, -1);
    return at >= 0 && X509_EXTENSION_get_critical(X509_get_ext(certificate, at)) == 1;
}

void check_signer(X509* signer) {
    if ((X509_get_extension_flags(signer) & EXFLAG_CA) != 0) throw Untrusted("the signer is an authority");
    if (X509_get_key_usage(signer) != KU_DIGITAL_SIGNATURE || !is_critical(signer, NID_key_usage)) {
        throw Untrusted("the signer's key usage is not digitalSignature alone, and critical");
    }
    bool critical = false;
    if (purposes_of(signer, critical) != std::vector<std::string>{bundle_signing_oid} || !critical) {
        throw Untrusted("the signer's purpose is not the signing of bundles alone, and critical");
    }
}

/// An authority without purposes may issue for all of them; one with purposes (RFC 5280, 4.2.1.12) needs this one.
void check_authority(X509* authority) {
    bool critical = false;
    const auto purposes = purposes_of(authority, critical);
    const bool names_some = X509_get_ext_by_NID(authority, NID_ext_key_usage, -1) >= 0;
    if (names_some && std::find(purposes.begin(), purposes.end(), bundle_signing_oid) == purposes.end()) {
        throw Untrusted("an authority of the signer may not issue for the signing of bundles");
    }
}

void check_key(X509* certificate) {
    EVP_PKEY* const key = X509_get0_pubkey(certificate);
    std::array<char, 32> curve{};
    std::size_t size = 0;
    const bool named = key != nullptr && EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
                       EVP_PKEY_get_group_name(key, curve.data(), curve.size(), &size) == 1;
    const std::string_view name(curve.data(), named ? size : 0);
    const int signature = X509_get_signature_nid(certificate);
    if ((name != SN_X9_62_prime256v1 && name != SN_secp384r1) ||
        (signature != NID_ecdsa_with_SHA256 && signature != NID_ecdsa_with_SHA384)) {
        throw Untrusted("a certificate of the chain is not ECDSA on P-256 or P-384 with SHA-256 or SHA-384");
    }
}

std::int64_t seconds_of(const ASN1_TIME* time) {
    std::tm parts{};
    if (ASN1_TIME_to_tm(time, &parts) != 1) throw Untrusted("a certificate of the chain has a malformed time");
    const std::chrono::sys_days day = std::chrono::year(parts.tm_year + 1900) /
                                      std::chrono::month(static_cast<unsigned>(parts.tm_mon + 1)) /
                                      std::chrono::day(static_cast<unsigned>(parts.tm_mday));
    return std::chrono::sys_seconds(day).time_since_epoch().count() + parts.tm_hour * 3600 + parts.tm_min * 60 +
           parts.tm_sec;
}

Store store_of(const std::vector<Certificate>& anchors) {
    Store store(X509_STORE_new());
    require(store != nullptr);
    for (const Certificate& anchor : anchors) require(X509_STORE_add_cert(store.get(), anchor.get()) == 1);
    X509_VERIFY_PARAM* const rules = X509_STORE_get0_param(store.get());
    // The purpose is checked here, for OpenSSL 3.0 knows none that fits; the time is judged elsewhere.
    require(X509_VERIFY_PARAM_set_purpose(rules, X509_PURPOSE_ANY) == 1 &&
            X509_VERIFY_PARAM_set_flags(rules, X509_V_FLAG_X509_STRICT | X509_V_FLAG_NO_CHECK_TIME) == 1);
    X509_VERIFY_PARAM_set_auth_level(rules, 2);
    X509_VERIFY_PARAM_set_depth(rules, 1);  // certificates between the signer and the anchor
    return store;
}

}  // namespace

std::string library_reason() {
    const char* const reason = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    return reason == nullptr ? "no reason given" : reason;
}

Window verify_chain(const std::vector<std::string_view>& certificates, const Trust& trust) {
    std::vector<Certificate> anchors;
    for (const std::string& anchor : trust.anchors) anchors.push_back(read_certificate(anchor, "an anchor"));
    std::vector<Certificate> embedded;
    const Stack others(sk_X509_new_null());
    require(others != nullptr);
    for (const std::string_view certificate : certificates) {
        embedded.push_back(read_certificate(certificate, "a certificate in the seal"));
        if (embedded.size() > 1) require(sk_X509_push(others.get(), embedded.back().get()) > 0);
    }
    check_signer(embedded.front().get());

    const Store store = store_of(anchors);
    const Context context(X509_STORE_CTX_new());
    require(context != nullptr);
    require(X509_STORE_CTX_init(context.get(), store.get(), embedded.front().get(), others.get()) == 1);
    if (X509_verify_cert(context.get()) != 1) {
        ERR_clear_error();
        throw Untrusted(std::string("the signer does not lead to an anchor: ") +
                        X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get())));
    }

    STACK_OF(X509)* const chain = X509_STORE_CTX_get0_chain(context.get());
    Window window{std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()};
    std::vector<std::string> used;
    for (int i = 0; i < sk_X509_num(chain); ++i) {
        X509* const certificate = sk_X509_value(chain, i);
        check_key(certificate);
        if (i > 0) check_authority(certificate);
        used.push_back(der_of(certificate));
        if (std::find(trust.revoked.begin(), trust.revoked.end(), sha256(used.back())) != trust.revoked.end()) {
            throw Untrusted("a certificate of the chain is revoked: " + sha256(used.back()));
        }
        window.not_before = std::max(window.not_before, seconds_of(X509_get0_notBefore(certificate)));
        window.not_after = std::min(window.not_after, seconds_of(X509_get0_notAfter(certificate)));
    }
    const bool ends_well = used.size() >= 2 && used.size() <= 3 &&
                           std::find(trust.anchors.begin(), trust.anchors.end(), used.back()) != trust.anchors.end();
    if (!ends_well) throw Untrusted("the signer does not lead to an anchor over at most one authority");
    for (const std::string_view certificate : certificates) {
        if (std::find(used.begin(), used.end(), certificate) == used.end()) {
            throw Untrusted("the seal has a certificate that its signer does not need");
        }
    }
    return window;
}

}  // namespace makina
