#include "firstboot/bundle/bundle.hpp"
#include "tests/bundle/vectors.hpp"

namespace makina::forge {
namespace {

constexpr auto accepts = Openssl::accepts;
constexpr auto refuses = Openssl::refuses;

/// The world's good message after `change`.
std::function<Case(const World&)> seal(const std::function<void(Seal&)>& change) {
    return [=](const World& world) {
        Seal changed = good_seal(world.content, world.signer);
        change(changed);
        return Case{message(changed), world.trust};
    };
}

/// As seal, of its only signer.
std::function<Case(const World&)> signer(const std::function<void(Signer&)>& change) {
    return [=](const World& world) {
        Seal changed = good_seal(world.content, world.signer);
        change(changed.signers.front());
        return Case{message(changed), world.trust};
    };
}

/// The world's good message, its finished bytes changed.
std::function<Case(const World&)> bytes(const std::function<std::string(const std::string&)>& change) {
    return [=](const World& world) { return Case{change(world.sealed()), world.trust}; };
}

/// An empty revocation list of the world's root.
std::string list_of(const World& world) {
    const std::unique_ptr<X509_CRL, decltype(&X509_CRL_free)> list(X509_CRL_new(), X509_CRL_free);
    const Parsed root(parse(world.root.der), X509_free);
    const std::unique_ptr<ASN1_TIME, decltype(&ASN1_TIME_free)> time(ASN1_TIME_set(nullptr, issue_time),
                                                                     ASN1_TIME_free);
    require(X509_CRL_set_version(list.get(), 1) == 1);
    require(X509_CRL_set_issuer_name(list.get(), X509_get_subject_name(root.get())) == 1);
    require(X509_CRL_set1_lastUpdate(list.get(), time.get()) == 1);
    require(X509_CRL_sign(list.get(), world.root.key.get(), EVP_sha256()) > 0);
    unsigned char* written = nullptr;
    const int size = i2d_X509_CRL(list.get(), &written);
    std::string der(reinterpret_cast<char*>(written), static_cast<std::size_t>(size));
    OPENSSL_free(written);
    return der;
}

std::string with_crlf(const std::string& text) {
    std::string other;
    for (const char c : text) other += c == '\n' ? std::string("\r\n") : std::string(1, c);
    return other;
}

std::vector<Vector> outer_vectors() {
    constexpr const char* outer = "the bundle's outer type is not signedData";
    return {
        {"EnvelopedData", outer, refuses, seal([](Seal& s) { s.outer = id_enveloped_data; })},
        {"AuthEnvelopedData", outer, refuses, seal([](Seal& s) { s.outer = "1.2.840.113549.1.9.16.1.23"; })},
        {"CompressedData", outer, refuses, seal([](Seal& s) { s.outer = "1.2.840.113549.1.9.16.1.9"; })},
        {"DigestedData", outer, refuses, seal([](Seal& s) { s.outer = "1.2.840.113549.1.7.5"; })},
        {"EncryptedData", outer, refuses, seal([](Seal& s) { s.outer = "1.2.840.113549.1.7.6"; })},
        {"Data", outer, refuses, seal([](Seal& s) { s.outer = id_data; })},
        {"bytes behind the end", "the bundle has bytes behind its end", accepts,
         bytes([](const std::string& sealed) { return sealed + "more"; })},
        {"an indefinite length", "the seal is not strict DER: the whole is cut off, or begins wrong", accepts,
         bytes([](const std::string& sealed) {
             return std::string("\x30\x80", 2) + sealed.substr(4) + std::string(2, '\0');
         })},
        {"a length in a longer form than needed", "the seal is not strict DER: the whole is cut off, or begins wrong",
         accepts, bytes([](const std::string& sealed) { return std::string("\x30\x83\0", 3) + sealed.substr(2); })},
        {"an inner length in a longer form than needed", "the seal is not strict DER: signedData", accepts,
         [](const World& w) {
             // The version, 02 01 01, as 02 81 01 01: everything around it grows by a byte.
             const std::string sealed = w.sealed();
             const std::size_t data = 4 + 11 + 4;
             const std::string inner = sealed.substr(data + 4);
             const std::string changed = std::string("\x02\x81", 2) + inner.substr(1);
             return Case{sequence(object(id_signed_data) + tlv(0xa0, sequence(changed))), w.trust};
         }},
        {"PEM instead of DER", "the seal is not strict DER: the whole is cut off, or begins wrong", refuses,
         bytes([](const std::string&) { return std::string("-----BEGIN CMS-----\n"); })},
        {"nothing", "the seal is not strict DER: the whole is cut off, or begins wrong", refuses,
         bytes([](const std::string&) { return std::string(); })},
    };
}

std::vector<Vector> content_vectors() {
    constexpr const char* context = "the sealed content does not begin with MAKINA-BOOTSTRAP-v1";
    return {
        {"content that is not in the message", "the sealed content is not in the message", refuses,
         seal([](Seal& s) { s.detached = true; })},
        {"content of another type", "the seal's version is not 1", accepts, seal([](Seal& s) {
             s.type = s.signers.front().type = "1.2.840.113549.1.9.16.1.4";
             s.version = "\3";
         })},
        {"content of another type, version 1", "the sealed content's type is not data", accepts,
         seal([](Seal& s) { s.type = s.signers.front().type = "1.2.840.113549.1.9.16.1.4"; })},
        {"content in pieces", "the seal is not strict DER: content", accepts,
         seal([](Seal& s) { s.octets = tlv(0x24, tlv(0x04, s.content)); })},
        {"content of another context", context, accepts, seal([](Seal& s) { s.content.replace(0, 6, "SYSTEM"); })},
        {"content whose context goes on", context, accepts, seal([](Seal& s) { s.content.insert(19, "0"); })},
        {"content that is empty", context, accepts, seal([](Seal& s) { s.content.clear(); })},
        {"content with other line ends", "the sealed content does not begin with MAKINA-BOOTSTRAP-v1", accepts,
         seal([](Seal& s) {
             // Signed without -binary, the library may convert what it signs.
             s.signers.front().signed_content = s.content = with_crlf(s.content);
         })},
        {"content that was changed", "the signature does not fit the content: content verify error", refuses,
         seal([](Seal& s) {
             s.signers.front().signed_content = s.content;
             s.content.back() ^= 1;
         })},
        {"attributes of another message as content", context, refuses,
         [](const World& w) {
             // A signature over attributes is one over their bytes as content too, if none are demanded.
             Seal other = good_seal(w.content, w.signer);
             other.content = set_of({attribute(id_content_type, object(id_data)),
                                     attribute(id_message_digest, tlv(0x04, digest_of(w.content, EVP_sha256())))});
             other.signers.front().attributes = false;
             other.signers.front().signed_content = w.content;
             return Case{message(other), w.trust};
         }},
    };
}

std::vector<Vector> certificate_vectors() {
    return {
        {"no certificates", "the seal has no certificate of its signer", refuses,
         seal([](Seal& s) { s.certificates.clear(); })},
        {"a certificate twice", "the seal's certificates are repeated or not in DER's order", accepts,
         seal([](Seal& s) { s.certificates.push_back(s.certificates.front()); })},
        {"certificates not in order", "the seal's certificates are repeated or not in DER's order", accepts,
         [](const World& w) {
             Seal s = good_seal(w.content, w.signer);
             s.certificates.push_back(w.root.der);
             s.sorted = false;
             return Case{message(s), w.trust};
         }},
        {"four certificates", "the seal has more than 3 certificates", accepts, seal([](Seal& s) {
             for (const char* const name : {"a", "b", "c"}) s.certificates.push_back(issue(authority_wish(name)).der);
         })},
        {"a certificate that is not X.509", "the seal has a certificate that is not X.509", accepts,
         seal([](Seal& s) { s.certificates.push_back(tlv(0xa2, "")); })},
        {"two certificates that the signer's name fits", "the signer's certificate is not in the seal exactly once",
         Openssl::either,
         [](const World& w) {
             Wish wish = signer_wish();
             wish.serial = 7;
             const Certificate one = issue(wish, &w.root);
             wish.key = make_key("P-256");
             Seal s = good_seal(w.content, one);
             s.certificates.push_back(issue(wish, &w.root).der);
             return Case{message(s), w.trust};
         }},
        {"the certificate of another signer", "the signer's certificate is not in the seal exactly once", refuses,
         [](const World& w) {
             Seal s = good_seal(w.content, w.signer);
             s.certificates = {issue(signer_wish(), &w.root).der};
             return Case{message(s), w.trust};
         }},
        {"a revocation list", "the seal has revocation lists in it", accepts,
         [](const World& w) {
             Seal s = good_seal(w.content, w.signer);
             s.lists = list_of(w);
             return Case{message(s), w.trust};
         }},
    };
}

std::vector<Vector> name_vectors() {
    return {
        {"two good signers", "the seal has more than one signer", accepts,
         [](const World& w) {
             Seal s = good_seal(w.content, w.signer);
             const Certificate second = issue(signer_wish("second"), &w.root);
             s.certificates.push_back(second.der);
             s.signers.push_back(Signer{second});
             return Case{message(s), w.trust};
         }},
        {"two signers, one of them a stranger", "the seal has more than one signer", refuses,
         [](const World& w) {
             Seal s = good_seal(w.content, w.signer);
             const Certificate stranger = issue(signer_wish("stranger").with("authorityKeyIdentifier", ""));
             s.certificates.push_back(stranger.der);
             s.signers.push_back(Signer{stranger});
             return Case{message(s), w.trust};
         }},
        {"one signer twice", "the seal has more than one signer", accepts,
         seal([](Seal& s) { s.signers.push_back(s.signers.front()); })},
        {"no signer", "the seal has no signer", refuses, seal([](Seal& s) {
             s.signers.clear();
             s.digests = {algorithm(digest_oid(EVP_sha256()))};
         })},
        {"a signer named by key id", "the signer is not named by issuer and serial number", accepts, seal([](Seal& s) {
             s.version = "\1";
             s.signers.front().version = "\3";
             s.signers.front().by_key_id = true;
         })},
        {"a signer of version 3", "the signer's version is not 1", accepts,
         signer([](Signer& s) { s.version = "\3"; })},
        {"an issuer's name in other letters", "the signer's certificate is not in the seal exactly once", accepts,
         signer([](Signer& s) {
             s.issuer = sequence(tlv(0x31, sequence(object("2.5.4.3") + tlv(0x0c, "Bundle  AUTHORITY"))));
         })},
        {"an issuer's name as another kind of string", "the signer's certificate is not in the seal exactly once",
         accepts, signer([](Signer& s) {
             s.issuer = sequence(tlv(0x31, sequence(object("2.5.4.3") + tlv(0x13, "bundle authority"))));
         })},
        {"the signature of another key", "the signature does not fit the content: verification failure", refuses,
         signer([](Signer& s) { s.certificate.key = make_key("P-256"); })},
    };
}

std::vector<Vector> attribute_vectors() {
    constexpr const char* missing = "the seal's contentType or messageDigest is missing";
    return {
        {"a signing time", "", accepts, signer([](Signer& s) { s.has_time = true; })},
        {"no signed attributes", "the seal has no signed attributes", accepts,
         signer([](Signer& s) { s.attributes = false; })},
        {"a signed attribute more", "the seal has a signed attribute that no bundle has", accepts,
         signer([](Signer& s) { s.more = {attribute("1.2.840.113549.1.9.15", sequence(""))}; })},
        {"an unsigned attribute", "the seal has unsigned attributes", accepts,
         signer([](Signer& s) { s.unsigned_attributes = attribute("1.2.3.4", tlv(0x0c, "text")); })},
        {"no contentType", missing, refuses, signer([](Signer& s) { s.has_type = false; })},
        {"no messageDigest", missing, refuses, signer([](Signer& s) { s.has_digest = false; })},
        {"a contentType that is not data", "the seal's contentType is not data", accepts,
         signer([](Signer& s) { s.type = id_signed_data; })},
        {"a signing time twice", "the seal has a signed attribute twice", refuses, signer([](Signer& s) {
             s.has_time = true;
             s.more = {attribute(id_signing_time, tlv(0x17, "260102000000Z"))};
         })},
        {"two values of one attribute", "the seal is not strict DER: a signed attribute", refuses,
         signer([](Signer& s) {
             s.more = {attribute(id_signing_time, tlv(0x17, "260102000000Z") + tlv(0x17, "260103000000Z"))};
         })},
        {"a messageDigest of another size", "the seal's messageDigest has a wrong size", refuses, signer([](Signer& s) {
             s.has_digest = false;
             s.more = {attribute(id_message_digest, tlv(0x04, std::string(31, 'x')))};
         })},
        {"attributes not in DER's order", "the seal is not strict DER: written again it is another", refuses,
         signer([](Signer& s) { s.sorted = false; })},
    };
}

std::vector<Vector> algorithm_vectors() {
    constexpr const char* digest = "the seal's digest is neither SHA-256 nor SHA-384";
    constexpr const char* signature = "the seal is not signed by ECDSA with its digest";
    return {
        {"a digest of SHA-1", digest, accepts, signer([](Signer& s) { s.digest = EVP_sha1(); })},
        {"a digest of SHA-512", digest, accepts, signer([](Signer& s) { s.digest = EVP_sha512(); })},
        {"a digest of SHA-224", digest, accepts, signer([](Signer& s) { s.digest = EVP_sha224(); })},
        {"a digest of SHA3-256", digest, accepts, signer([](Signer& s) {
             s.digest = EVP_sha3_256();
             s.signature_algorithm = "2.16.840.1.101.3.4.3.10";
         })},
        {"a digest with parameters", digest, accepts, signer([](Signer& s) { s.null_parameters = true; })},
        {"two digests", "the seal has more than one digest", accepts, seal([](Seal& s) {
             s.digests = {algorithm(digest_oid(EVP_sha256())), algorithm(digest_oid(EVP_sha384()))};
         })},
        {"no digest", digest, refuses, seal([](Seal& s) { s.digests = {""}; })},
        {"a digest that is not the signer's", "the signer's digest is not the seal's", refuses,
         seal([](Seal& s) { s.digests = {algorithm(digest_oid(EVP_sha384()))}; })},
        {"a signature said to be of another digest", signature, accepts,
         signer([](Signer& s) { s.signature_algorithm = "1.2.840.10045.4.3.3"; })},
        {"a signature said to be a key", signature, accepts,
         signer([](Signer& s) { s.signature_algorithm = "1.2.840.10045.2.1"; })},
        {"a seal of version 0", "the seal's version is not 1", accepts,
         seal([](Seal& s) { s.version = std::string(1, '\0'); })},
        {"a seal of version 3", "the seal's version is not 1", accepts, seal([](Seal& s) { s.version = "\3"; })},
    };
}

}  // namespace

std::vector<Vector> message_vectors() {
    std::vector<Vector> all;
    for (const auto& part : {outer_vectors(), content_vectors(), certificate_vectors(), name_vectors(),
                             attribute_vectors(), algorithm_vectors()}) {
        all.insert(all.end(), part.begin(), part.end());
    }
    return all;
}

std::vector<Vector> all_vectors() {
    std::vector<Vector> all;
    for (const auto& part : {chain_vectors(), signer_vectors(), key_vectors(), message_vectors()}) {
        all.insert(all.end(), part.begin(), part.end());
    }
    return all;
}

}  // namespace makina::forge
