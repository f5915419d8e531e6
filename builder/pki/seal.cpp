#include "builder/pki/seal.hpp"

#include <openssl/bio.h>
#include <openssl/cms.h>

#include "firstboot/bundle/handle.hpp"

namespace makina {
namespace {

using Memory = Handle<BIO, BIO_free_all>;
using Message = Handle<CMS_ContentInfo, CMS_ContentInfo_free>;
using Time = Handle<ASN1_TIME, ASN1_TIME_free>;

void require(bool done) {
    if (!done) throw_openssl("sealing a bundle");
}

}  // namespace

std::string seal(std::string_view content, const Credential& signer, std::int64_t now) {
    constexpr unsigned int flags = CMS_BINARY | CMS_NOSMIMECAP | CMS_PARTIAL;
    const Memory bytes(BIO_new_mem_buf(content.data(), static_cast<int>(content.size())));
    const Message message(CMS_sign(nullptr, nullptr, nullptr, nullptr, flags));
    require(bytes && message);
    CMS_SignerInfo* const info =
        CMS_add1_signer(message.get(), signer.certificate.get(), signer.key.get(), EVP_sha256(), flags);
    require(info != nullptr);
    // OpenSSL would put its own clock's time here.
    const Time time(ASN1_TIME_set(nullptr, now));
    require(time && CMS_signed_add1_attr_by_NID(info, NID_pkcs9_signingTime, time->type, time.get(), -1) == 1);
    require(CMS_final(message.get(), bytes.get(), nullptr, flags) == 1);
    const Memory out(BIO_new(BIO_s_mem()));
    require(out && i2d_CMS_bio(out.get(), message.get()) == 1);
    char* data = nullptr;
    const auto size = BIO_get_mem_data(out.get(), &data);
    return {data, static_cast<std::size_t>(size)};
}

}  // namespace makina
