#include "firstboot/bundle/digest.hpp"

#include <openssl/evp.h>

#include <array>
#include <fstream>
#include <vector>

#include "firstboot/bundle/encoding.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/handle.hpp"

namespace makina {
namespace {

using Context = Handle<EVP_MD_CTX, EVP_MD_CTX_free>;

void require(int code) {
    if (code != 1) throw Error("OpenSSL could not compute a checksum");
}

std::string digest_of(std::string_view bytes, const EVP_MD* kind) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned int size = 0;
    require(EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, kind, nullptr));
    return to_hex({reinterpret_cast<const char*>(digest.data()), size});
}

}  // namespace

struct Sha256::State {
    Context context{EVP_MD_CTX_new()};
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
    require(EVP_DigestInit_ex(state_->context.get(), EVP_sha256(), nullptr));
}

Sha256::~Sha256() = default;

void Sha256::update(std::string_view bytes) {
    require(EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size()));
}

std::string Sha256::hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned int size = 0;
    require(EVP_DigestFinal_ex(state_->context.get(), digest.data(), &size));
    return to_hex({reinterpret_cast<const char*>(digest.data()), size});
}

std::string sha256(std::string_view bytes) {
    Sha256 digest;
    digest.update(bytes);
    return digest.hex();
}

std::string sha256_of_file(const std::filesystem::path& file) {
    std::ifstream stream(file, std::ios::binary);
    if (!stream) throw Error(file.string() + " cannot be read");
    Sha256 digest;
    std::vector<char> buffer(1 << 20);
    while (stream.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) || stream.gcount() > 0) {
        digest.update({buffer.data(), static_cast<std::size_t>(stream.gcount())});
    }
    if (stream.bad()) throw Error(file.string() + " cannot be read");
    return digest.hex();
}

std::string md5(std::string_view bytes) {
    return digest_of(bytes, EVP_md5());
}

std::string sha1(std::string_view bytes) {
    return digest_of(bytes, EVP_sha1());
}

}  // namespace makina
