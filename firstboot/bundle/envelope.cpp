#include "firstboot/bundle/envelope.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "firstboot/bundle/bundle.hpp"
#include "firstboot/bundle/der.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

using namespace std::string_view_literals;

// Object identifiers as DER elements: RFC 5652, 3, 5.1 and 11.
constexpr auto id_signed_data = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"sv;
constexpr auto id_data = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01"sv;
constexpr auto id_content_type = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03"sv;
constexpr auto id_message_digest = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04"sv;
constexpr auto id_signing_time = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x05"sv;
constexpr auto version_1 = "\x02\x01\x01"sv;

/// A digest and what is signed with it, as AlgorithmIdentifiers without parameters: RFC 5754, 2 and 3.3.
struct Algorithms {
    std::string_view digest;
    std::string_view signature;
    std::size_t digest_size;
};
constexpr std::array<Algorithms, 2> known = {{{"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01"sv,
                                               "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"sv, 32},
                                              {"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02"sv,
                                               "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03"sv, 48}}};

/// A public key's AlgorithmIdentifier with its named curve (RFC 5480, 2.1.1), and the size of an uncompressed point.
constexpr std::array<std::pair<std::string_view, std::size_t>, 2> curves = {
    {{"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"sv, 65},
     {"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22"sv, 97}}};

const Algorithms& algorithms_of(std::string_view digest) {
    const auto* const found =
        std::find_if(known.begin(), known.end(), [&](const Algorithms& each) { return each.digest == digest; });
    if (found == known.end()) throw Untrusted("the seal's digest is neither SHA-256 nor SHA-384");
    return *found;
}

/// Issuer and serial number, as a SignerInfo names a certificate, in DER.
std::string name_of_certificate(std::string_view certificate) {
    Der outer(certificate, "a certificate");
    Der parts(outer.content(Der::sequence), "a certificate");
    Der body(parts.content(Der::sequence), "a certificate");
    if (!body.follows(Der::context_0) || body.content(Der::context_0) != "\x02\x01\x02"sv) {
        throw Untrusted("a certificate in the seal is not of version 3");
    }
    const std::string_view serial = body.element(Der::integer);
    const std::string_view signature = body.element(Der::sequence);
    const std::string_view issuer = body.element(Der::sequence);
    if (std::none_of(known.begin(), known.end(), [&](const auto& each) { return each.signature == signature; })) {
        throw Untrusted("a certificate in the seal is not signed by ECDSA with SHA-256 or SHA-384");
    }
    static_cast<void>(body.element(Der::sequence));  // validity
    static_cast<void>(body.element(Der::sequence));  // subject
    Der key(body.content(Der::sequence), "a certificate's key");
    const std::string_view curve = key.element(Der::sequence);
    const std::string_view point = key.content(Der::bits);
    key.end();
    // A compressed point or parameters of its own would be work for a parser that has had faults (CVE-2022-0778).
    if (std::none_of(curves.begin(), curves.end(), [&](const auto& each) {
            return each.first == curve && point.size() == each.second + 1 && point.substr(0, 2) == "\0\4"sv;
        })) {
        throw Untrusted("a certificate in the seal has a key that is not on P-256 or P-384");
    }
    return std::string(issuer) + std::string(serial);
}

std::string_view read_content(Der& data) {
    Der encapsulated(data.content(Der::sequence), "content");
    if (encapsulated.element(Der::object) != id_data) throw Untrusted("the sealed content's type is not data");
    if (encapsulated.empty()) throw Untrusted("the sealed content is not in the message");
    Der wrapped(encapsulated.content(Der::context_0), "content");
    encapsulated.end();
    const std::string_view content = wrapped.content(Der::octets);
    wrapped.end();
    const std::string_view context = Bundle::context;
    if (content.substr(0, context.size()) != context || content.substr(context.size(), 1) != "\n") {
        throw Untrusted("the sealed content does not begin with " + std::string(context));
    }
    return content;
}

std::vector<std::string_view> read_certificates(Der& data) {
    if (!data.follows(Der::context_0)) throw Untrusted("the seal has no certificate of its signer");
    Der list(data.content(Der::context_0), "certificates");
    std::vector<std::string_view> certificates;
    while (!list.empty()) {
        if (!list.follows(Der::sequence)) throw Untrusted("the seal has a certificate that is not X.509");
        certificates.push_back(list.element(Der::sequence));
        if (certificates.size() > 3) throw Untrusted("the seal has more than 3 certificates");
    }
    // DER's order of a set (X.690, 11.6), which also lets no certificate be there twice.
    const auto out_of_order = [](std::string_view one, std::string_view next) { return one >= next; };
    if (std::adjacent_find(certificates.begin(), certificates.end(), out_of_order) != certificates.end()) {
        throw Untrusted("the seal's certificates are repeated or not in DER's order");
    }
    if (certificates.empty()) throw Untrusted("the seal has no certificate of its signer");
    return certificates;
}

/// One value of each attribute: contentType and messageDigest always, signingTime if its maker wanted.
void check_attributes(std::string_view attributes, const Algorithms& algorithms) {
    bool has_type = false;
    bool has_digest = false;
    bool has_time = false;
    Der list(attributes, "signed attributes");
    while (!list.empty()) {
        Der attribute(list.content(Der::sequence), "a signed attribute");
        const std::string_view type = attribute.element(Der::object);
        Der value(attribute.content(Der::set), "a signed attribute");
        attribute.end();
        bool* const seen = type == id_content_type     ? &has_type
                           : type == id_message_digest ? &has_digest
                           : type == id_signing_time   ? &has_time
                                                       : nullptr;
        if (seen == nullptr) throw Untrusted("the seal has a signed attribute that no bundle has");
        if (std::exchange(*seen, true)) throw Untrusted("the seal has a signed attribute twice");
        if (seen == &has_type && value.element(Der::object) != id_data) {
            throw Untrusted("the seal's contentType is not data");
        }
        if (seen == &has_digest && value.content(Der::octets).size() != algorithms.digest_size) {
            throw Untrusted("the seal's messageDigest has a wrong size");
        }
        // UTCTime or GeneralizedTime. Nothing is decided by what a signer says of the time.
        if (seen == &has_time) static_cast<void>(value.element(value.follows(0x18) ? 0x18 : 0x17));
        value.end();
    }
    if (!has_type || !has_digest) throw Untrusted("the seal's contentType or messageDigest is missing");
}

/// Gives the name of the signer's certificate: issuer and serial number in DER.
std::string_view read_signer(Der& data, const Algorithms& algorithms) {
    Der list(data.content(Der::set), "signers");
    if (list.empty()) throw Untrusted("the seal has no signer");
    Der signer(list.content(Der::sequence), "signer");
    if (!list.empty()) throw Untrusted("the seal has more than one signer");
    const std::string_view version = signer.element(Der::integer);
    if (!signer.follows(Der::sequence)) throw Untrusted("the signer is not named by issuer and serial number");
    if (version != version_1) throw Untrusted("the signer's version is not 1");
    const std::string_view name = signer.content(Der::sequence);
    if (signer.element(Der::sequence) != algorithms.digest) {
        throw Untrusted("the signer's digest is not the seal's");
    }
    if (!signer.follows(Der::context_0)) throw Untrusted("the seal has no signed attributes");
    check_attributes(signer.content(Der::context_0), algorithms);
    if (signer.element(Der::sequence) != algorithms.signature) {
        throw Untrusted("the seal is not signed by ECDSA with its digest");
    }
    static_cast<void>(signer.element(Der::octets));  // the signature
    if (signer.follows(Der::context_1)) throw Untrusted("the seal has unsigned attributes");
    signer.end();
    return name;
}

std::string_view signed_data(std::string_view sealed) {
    if (sealed.size() > Bundle::largest) {
        throw Untrusted("the bundle is larger than " + std::to_string(Bundle::largest) + " bytes");
    }
    Der whole(sealed, "the whole is cut off, or begins wrong");
    Der info(whole.content(Der::sequence), "outermost part");
    if (!whole.empty()) throw Untrusted("the bundle has bytes behind its end");
    if (info.element(Der::object) != id_signed_data) throw Untrusted("the bundle's outer type is not signedData");
    Der wrapped(info.content(Der::context_0), "outermost part");
    info.end();
    const std::string_view data = wrapped.content(Der::sequence);
    wrapped.end();
    return data;
}

}  // namespace

Envelope read_envelope(std::string_view sealed) {
    Der data(signed_data(sealed), "signedData");
    if (data.element(Der::integer) != version_1) throw Untrusted("the seal's version is not 1");
    Der digests(data.content(Der::set), "digests");
    const Algorithms& algorithms = algorithms_of(digests.empty() ? ""sv : digests.element(Der::sequence));
    if (!digests.empty()) throw Untrusted("the seal has more than one digest");
    Envelope envelope;
    envelope.content = read_content(data);
    envelope.certificates = read_certificates(data);
    if (data.follows(Der::context_1)) throw Untrusted("the seal has revocation lists in it");
    const std::string_view signer = read_signer(data, algorithms);
    data.end();
    // Compared byte for byte: a library's comparison of names overlooks case and spaces, which no signature covers.
    std::vector<std::string> names;
    for (const std::string_view certificate : envelope.certificates) names.push_back(name_of_certificate(certificate));
    if (std::count(names.begin(), names.end(), signer) != 1) {
        throw Untrusted("the signer's certificate is not in the seal exactly once");
    }
    const auto at = envelope.certificates.begin() + (std::find(names.begin(), names.end(), signer) - names.begin());
    std::rotate(envelope.certificates.begin(), at, at + 1);
    return envelope;
}

}  // namespace makina
