#include "builder/pki/envelope.hpp"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include <array>
#include <cstdint>

#include "builder/pki/key.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/handle.hpp"

namespace makina {
namespace {

using Cipher = Handle<EVP_CIPHER_CTX, EVP_CIPHER_CTX_free>;

constexpr std::size_t salt_size = 16;
constexpr std::size_t nonce_size = 12;
constexpr std::size_t tag_size = 16;
constexpr std::uint64_t scrypt_n = 131072;
constexpr std::uint64_t scrypt_r = 8;
constexpr std::uint64_t scrypt_p = 1;
constexpr std::uint64_t scrypt_memory = std::uint64_t{192} << 20;

const unsigned char* bytes_of(std::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());
}

/// A key of AES-256 that is wiped when it is not needed any more.
class DerivedKey {
  public:
    DerivedKey(const std::string& passphrase, std::string_view salt) {
        if (EVP_PBE_scrypt(passphrase.data(), passphrase.size(), bytes_of(salt), salt.size(), scrypt_n, scrypt_r,
                           scrypt_p, scrypt_memory, key_.data(), key_.size()) != 1) {
            throw_openssl("deriving a key from the passphrase");
        }
    }
    DerivedKey(const DerivedKey&) = delete;
    DerivedKey& operator=(const DerivedKey&) = delete;
    ~DerivedKey() { OPENSSL_cleanse(key_.data(), key_.size()); }
    [[nodiscard]] const unsigned char* data() const { return key_.data(); }

  private:
    std::array<unsigned char, 32> key_{};
};

Cipher begin(const DerivedKey& key, std::string_view nonce, std::string_view kind, int encrypt) {
    Cipher cipher(EVP_CIPHER_CTX_new());
    int size = 0;
    if (!cipher ||
        EVP_CipherInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, key.data(), bytes_of(nonce), encrypt) != 1 ||
        EVP_CipherUpdate(cipher.get(), nullptr, &size, bytes_of(kind), static_cast<int>(kind.size())) != 1) {
        throw_openssl("AES-256-GCM");
    }
    return cipher;
}

std::string update(const Cipher& cipher, std::string_view input) {
    std::string output(input.size(), '\0');
    int size = 0;
    if (EVP_CipherUpdate(cipher.get(), reinterpret_cast<unsigned char*>(output.data()), &size, bytes_of(input),
                         static_cast<int>(input.size())) != 1) {
        throw_openssl("AES-256-GCM");
    }
    return output;
}

}  // namespace

std::string put_in_envelope(std::string_view content, std::string_view kind, const std::string& passphrase) {
    const std::string salt = secret_bytes(salt_size);
    const std::string nonce = secret_bytes(nonce_size);
    const Cipher cipher = begin(DerivedKey(passphrase, salt), nonce, kind, 1);
    const std::string hidden = update(cipher, content);
    std::array<unsigned char, tag_size> tag{};
    int size = 0;
    if (EVP_CipherFinal_ex(cipher.get(), tag.data(), &size) != 1 ||
        EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_GET_TAG, static_cast<int>(tag.size()), tag.data()) != 1) {
        throw_openssl("AES-256-GCM");
    }
    return salt + nonce + hidden + std::string(tag.begin(), tag.end());
}

std::string open_envelope(std::string_view envelope, std::string_view kind, const std::string& passphrase) {
    if (envelope.size() < salt_size + nonce_size + tag_size) throw Untrusted("it is too short");
    const std::string_view salt = envelope.substr(0, salt_size);
    const std::string_view nonce = envelope.substr(salt_size, nonce_size);
    std::string tag(envelope.substr(envelope.size() - tag_size));
    const std::string_view hidden =
        envelope.substr(salt_size + nonce_size, envelope.size() - salt_size - nonce_size - tag_size);
    const Cipher cipher = begin(DerivedKey(passphrase, salt), nonce, kind, 0);
    std::string content = update(cipher, hidden);
    int size = 0;
    if (EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_SET_TAG, static_cast<int>(tag.size()), tag.data()) != 1 ||
        EVP_CipherFinal_ex(cipher.get(), reinterpret_cast<unsigned char*>(tag.data()), &size) != 1) {
        OPENSSL_cleanse(content.data(), content.size());
        ERR_clear_error();
        throw Untrusted("the passphrase is wrong, or a byte has changed");
    }
    return content;
}

}  // namespace makina
