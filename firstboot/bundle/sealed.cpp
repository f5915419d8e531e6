#include "firstboot/bundle/sealed.hpp"

#include <openssl/cms.h>
#include <openssl/crypto.h>
#include <openssl/err.h>

#include <charconv>

#include "firstboot/bundle/confined.hpp"
#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/envelope.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/handle.hpp"
#include "firstboot/bundle/lines.hpp"

namespace makina {
namespace {

using Message = Handle<CMS_ContentInfo, CMS_ContentInfo_free>;
using Stream = Handle<BIO, BIO_free_all>;

void free_stack(STACK_OF(X509) * stack) {
    sk_X509_free(stack);
}
using Signers = Handle<STACK_OF(X509), free_stack>;

/// The bytes that `write` (one of OpenSSL's i2d functions) makes of `object`; empty if it fails.
template <typename T>
std::string der_of(T* object, int (*write)(const T*, unsigned char**)) {
    unsigned char* bytes = nullptr;
    const int size = write(object, &bytes);
    if (size <= 0) return {};
    std::string der(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
    OPENSSL_free(bytes);
    return der;
}

Message read_message(std::string_view sealed) {
    const auto* at = reinterpret_cast<const unsigned char*>(sealed.data());
    Message message(d2i_CMS_ContentInfo(nullptr, &at, static_cast<long>(sealed.size())));
    if (!message) throw Untrusted("the seal cannot be read: " + library_reason());
    if (der_of(message.get(), i2d_CMS_ContentInfo) != sealed) {
        ERR_clear_error();
        throw Untrusted("the seal is not strict DER: written again it is another");
    }
    return message;
}

/// The content over which the signature was verified.
std::string verified_content(CMS_ContentInfo* message) {
    const Stream out(BIO_new(BIO_s_mem()));
    if (!out) throw Error("OpenSSL has no memory");
    // The chain has been verified already, by rules that CMS_verify does not know.
    if (CMS_verify(message, nullptr, nullptr, nullptr, out.get(), CMS_BINARY | CMS_NO_SIGNER_CERT_VERIFY) != 1) {
        throw Untrusted("the signature does not fit the content: " + library_reason());
    }
    char* bytes = nullptr;
    const long size = BIO_get_mem_data(out.get(), &bytes);
    return {bytes, static_cast<std::size_t>(size)};
}

void check_addressee(const Bundle& bundle, const Trust& trust) {
    const auto check = [](const char* what, const std::string& is, const std::string& wanted) {
        if (is != wanted) throw Untrusted(std::string("the bundle is for ") + what + " " + is + ", not " + wanted);
    };
    check("the cluster with the id", bundle.cluster_id, trust.cluster_id);
    check("the node", bundle.node, trust.node);
    check("a node of the role", bundle.role, trust.role);
}

/// Neither a configuration file nor a module of the machine decides what is verified.
void start_library() {
    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr);
}

std::int64_t read_seconds(Lines& lines, std::string_view key) {
    const std::string_view text = lines.value(key);
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size()) lines.refuse("no number of seconds");
    return number;
}

}  // namespace

Sealed verify_seal(std::string_view sealed, const Trust& trust) {
    start_library();
    const Envelope envelope = read_envelope(sealed);
    const Window window = verify_chain(envelope.certificates, trust);
    const Message message = read_message(sealed);
    Sealed result;
    result.content = verified_content(message.get());
    const Signers signers(CMS_get0_signers(message.get()));
    if (sk_X509_num(signers.get()) != 1 ||
        der_of(sk_X509_value(signers.get(), 0), i2d_X509) != envelope.certificates.front() ||
        result.content != envelope.content) {
        throw Untrusted("the signature was verified over something else than was read");
    }
    result.signer = sha256(envelope.certificates.front());
    result.not_before = window.not_before;
    result.not_after = window.not_after;
    return result;
}

Opened open_sealed(std::string_view sealed, const Trust& trust) {
    const Sealed verified = verify_seal(sealed, trust);
    Opened opened{decode_bundle(verified.content), verified.signer, verified.not_before, verified.not_after};
    check_addressee(opened.bundle, trust);
    if (opened.bundle.issued < opened.not_before || opened.bundle.issued > opened.not_after) {
        throw Untrusted("the signer's chain was not valid when the bundle was issued");
    }
    return opened;
}

Opened open_sealed_confined(std::string_view sealed, const Trust& trust) {
    start_library();  // before the fork: what it asks of the machine, the child may not
    const std::string answer = confined("reading the bundle", [&] {
        const Opened opened = open_sealed(sealed, trust);
        return "signer " + opened.signer + "\nnot-before " + std::to_string(opened.not_before) + "\nnot-after " +
               std::to_string(opened.not_after) + "\n" + encode(opened.bundle);
    });
    Lines lines(answer);
    Opened opened;
    opened.signer = lines.hex("signer", 64);
    opened.not_before = read_seconds(lines, "not-before");
    opened.not_after = read_seconds(lines, "not-after");
    opened.bundle = decode_bundle(lines.rest());
    return opened;
}

}  // namespace makina
