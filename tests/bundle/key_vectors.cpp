#include <openssl/core_names.h>

#include "tests/bundle/vectors.hpp"

namespace makina::forge {
namespace {

constexpr const char* wrong_key = "a certificate in the seal has a key that is not on P-256 or P-384";
constexpr const char* wrong_signature = "the seal is not signed by ECDSA with its digest";
constexpr const char* wrong_hash = "a certificate in the seal is not signed by ECDSA with SHA-256 or SHA-384";
constexpr const char* wrong_chain = "a certificate of the chain is not ECDSA on P-256 or P-384 with SHA-256 or SHA-384";

Case by(const World& world, const Certificate& signer, const EVP_MD* digest = EVP_sha256()) {
    Seal seal = good_seal(world.content, signer);
    seal.signers.front().digest = digest;
    return {message(seal), world.trust};
}

/// A signer with a key of this kind.
std::function<Case(const World&)> key(const std::string& kind, const EVP_MD* digest = EVP_sha256()) {
    return [=](const World& world) { return by(world, issue(signer_wish("signer", kind), &world.root), digest); };
}

/// A signer whose key is written in another way.
std::function<Case(const World&)> written(const char* parameter, const char* value) {
    return [=](const World& world) {
        const Wish wish = signer_wish();
        require(EVP_PKEY_set_utf8_string_param(wish.key.get(), parameter, value) == 1);
        return by(world, issue(wish, &world.root));
    };
}

/// A signer below a root with a key of this kind that signs with this digest.
std::function<Case(const World&)> root(const std::string& kind, const EVP_MD* of_root, const EVP_MD* of_signer) {
    return [=](const World& world) {
        Wish above = authority_wish("root", kind);
        above.digest = of_root;
        const Certificate anchor = issue(above);
        Wish below = signer_wish();
        below.digest = of_signer;
        Case made = by(world, issue(below, &anchor));
        made.trust.anchors = {anchor.der};
        return made;
    };
}

}  // namespace

std::vector<Vector> key_vectors() {
    constexpr auto accepts = Openssl::accepts;
    constexpr auto refuses = Openssl::refuses;
    return {
        {"a signer on P-384", "", accepts, key("P-384")},
        {"a signer on P-384 with SHA-384", "", accepts, key("P-384", EVP_sha384())},
        {"a signer on P-256 with SHA-384", "", accepts, key("P-256", EVP_sha384())},
        {"a root on P-384 with SHA-384", "", accepts, root("P-384", EVP_sha384(), EVP_sha384())},
        {"a signer on P-521", wrong_key, accepts, key("P-521")},
        {"a signer on secp256k1", wrong_key, accepts, key("secp256k1")},
        {"a signer on P-224", wrong_key, accepts, key("P-224")},
        {"a signer on brainpoolP256r1", wrong_key, accepts, key("brainpoolP256r1")},
        {"a signer with RSA-2048", wrong_signature, accepts, key("rsa:2048")},
        {"a signer with RSA-1024", wrong_signature, refuses, key("rsa:1024")},
        {"a signer with Ed25519", wrong_signature, refuses, key("ed25519")},
        {"a curve by its parameters", wrong_key, refuses, written(OSSL_PKEY_PARAM_EC_ENCODING, "explicit")},
        {"a compressed point", wrong_key, accepts,
         written(OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, OSSL_PKEY_EC_POINT_CONVERSION_FORMAT_COMPRESSED)},
        {"a certificate signed with SHA-1", wrong_hash, refuses, root("P-256", EVP_sha256(), EVP_sha1())},
        {"a certificate signed with SHA-512", wrong_hash, accepts, root("P-256", EVP_sha256(), EVP_sha512())},
        {"a certificate signed with RSA", wrong_hash, accepts, root("rsa:2048", EVP_sha256(), EVP_sha256())},
        {"a root on P-521", wrong_chain, accepts, root("P-521", EVP_sha256(), EVP_sha256())},
        {"a root that signed itself with SHA-512", wrong_chain, accepts, root("P-256", EVP_sha512(), EVP_sha256())},
        {"a certificate of version 1", "a certificate in the seal is not of version 3", accepts,
         [](const World& w) {
             Wish wish = signer_wish();
             wish.version = 0;
             wish.extensions.clear();
             return by(w, issue(wish, &w.root));
         }},
    };
}

}  // namespace makina::forge
