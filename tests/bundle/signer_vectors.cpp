#include "tests/bundle/vectors.hpp"

namespace makina::forge {
namespace {

Case by(const World& world, const Wish& wish) {
    return {message(good_seal(world.content, issue(wish, &world.root))), world.trust};
}

/// A signer whose key usage is another.
std::function<Case(const World&)> usage(const std::string& value) {
    return [=](const World& world) { return by(world, signer_wish().with("keyUsage", value)); };
}

/// A signer whose purposes are others.
std::function<Case(const World&)> purpose(const std::string& value) {
    return [=](const World& world) { return by(world, signer_wish().with("extendedKeyUsage", value)); };
}

constexpr const char* wrong_usage = "the signer's key usage is not digitalSignature alone, and critical";
constexpr const char* wrong_purpose = "the signer's purpose is not the signing of bundles alone, and critical";
const std::string right = bundle_signing_oid;

}  // namespace

std::vector<Vector> signer_vectors() {
    constexpr auto accepts = Openssl::accepts;
    constexpr auto refuses = Openssl::refuses;
    return {
        {"no key usage", wrong_usage, accepts, usage("")},
        {"key usage keyAgreement", wrong_usage, accepts, usage("critical,keyAgreement")},
        {"key usage nonRepudiation", wrong_usage, accepts, usage("critical,nonRepudiation")},
        {"key usage digitalSignature and nonRepudiation", wrong_usage, accepts,
         usage("critical,digitalSignature,nonRepudiation")},
        {"key usage digitalSignature and keyCertSign", wrong_usage, accepts,
         usage("critical,digitalSignature,keyCertSign")},
        {"key usage not critical", wrong_usage, accepts, usage("digitalSignature")},
        {"no purpose", wrong_purpose, accepts, purpose("")},
        {"purpose codeSigning", wrong_purpose, accepts, purpose("critical,codeSigning")},
        {"purpose emailProtection", wrong_purpose, accepts, purpose("critical,emailProtection")},
        {"purpose serverAuth", wrong_purpose, accepts, purpose("critical,serverAuth")},
        {"purpose clientAuth", wrong_purpose, accepts, purpose("critical,clientAuth")},
        {"purpose anyExtendedKeyUsage", wrong_purpose, accepts, purpose("critical,anyExtendedKeyUsage")},
        {"purpose timeStamping", wrong_purpose, accepts, purpose("critical,timeStamping")},
        {"this purpose and another", wrong_purpose, accepts, purpose("critical," + right + ",codeSigning")},
        {"this purpose twice", wrong_purpose, accepts, purpose("critical," + right + "," + right)},
        {"this purpose, not critical", wrong_purpose, accepts, purpose(right)},
        {"a purpose one number away", wrong_purpose, accepts,
         purpose("critical,2.25.166428924146714031404740292906645797918")},
        {"a purpose below this one", wrong_purpose, accepts, purpose("critical," + right + ".1")},
        {"the extension of purposes twice", wrong_usage, refuses,
         [](const World& w) {
             Wish wish = signer_wish();
             wish.extensions.emplace_back("extendedKeyUsage", "critical," + right);
             return by(w, wish);
         }},
        {"neither key usage nor purpose", wrong_usage, accepts,
         [](const World& w) { return by(w, signer_wish().with("keyUsage", "").with("extendedKeyUsage", "")); }},
        {"an authority as signer", "the signer is an authority", accepts,
         [](const World& w) {
             return by(w, signer_wish()
                              .with("basicConstraints", "critical,CA:TRUE")
                              .with("keyUsage", "critical,digitalSignature,keyCertSign"));
         }},
        {"the anchor as signer", "the signer is an authority", accepts,
         [](const World& w) {
             Wish wish =
                 signer_wish("both").with("basicConstraints", "critical,CA:TRUE").with("authorityKeyIdentifier", "");
             wish = wish.with("keyUsage", "critical,digitalSignature,keyCertSign");
             const Certificate both = issue(wish);
             Case made{message(good_seal(w.content, both)), w.trust};
             made.trust.anchors = {both.der};
             return made;
         }},
        {"no basic constraints", "", accepts,
         [](const World& w) { return by(w, signer_wish().with("basicConstraints", "")); }},
        {"no authority key id", "the signer does not lead to an anchor: Missing Authority Key Identifier", accepts,
         [](const World& w) { return by(w, signer_wish().with("authorityKeyIdentifier", "")); }},
        {"a critical extension that nobody knows",
         "the signer does not lead to an anchor: unhandled critical extension", refuses,
         [](const World& w) { return by(w, signer_wish().with("1.2.3.4", "critical,DER:0500")); }},
        {"an issuer of another name", "the signer does not lead to an anchor: unable to get local issuer certificate",
         refuses,
         [](const World& w) {
             Wish wish = signer_wish();
             wish.issuer = "bundle authorities";
             return by(w, wish);
         }},
    };
}

}  // namespace makina::forge
