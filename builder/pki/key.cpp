#include "builder/pki/key.hpp"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

#include <array>
#include <vector>

#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/handle.hpp"

namespace makina {
namespace {

using Memory = Handle<BIO, BIO_free_all>;
using Plain = Handle<PKCS8_PRIV_KEY_INFO, PKCS8_PRIV_KEY_INFO_free>;
using Locked = Handle<X509_SIG, X509_SIG_free>;

// 16 MiB of memory, five times over: OWASP's second choice for scrypt, the largest that OpenSSL reads without being
// told that it may (SCRYPT_MAX_MEM, 32 MiB).
constexpr std::uint64_t scrypt_n = 16384;
constexpr std::uint64_t scrypt_r = 8;
constexpr std::uint64_t scrypt_p = 5;

Key owned(EVP_PKEY* key, const char* what) {
    if (key == nullptr) throw_openssl(what);
    return {key, EVP_PKEY_free};
}

Memory memory() {
    Memory bio(BIO_new(BIO_s_mem()));
    if (!bio) throw_openssl("getting memory");
    return bio;
}

std::string text_of(BIO* bio) {
    char* data = nullptr;
    const auto size = BIO_get_mem_data(bio, &data);
    return {data, static_cast<std::size_t>(size)};
}

Locked lock(const Plain& plain, const std::string& passphrase) {
    std::string salt = secret_bytes(16);
    std::string iv = secret_bytes(16);
    X509_ALGOR* const how = PKCS5_pbe2_set_scrypt(
        EVP_aes_256_cbc(), reinterpret_cast<unsigned char*>(salt.data()), static_cast<int>(salt.size()),
        reinterpret_cast<unsigned char*>(iv.data()), scrypt_n, scrypt_r, scrypt_p);
    if (how == nullptr) throw_openssl("encrypting a private key");
    Locked locked(PKCS8_set0_pbe(passphrase.data(), static_cast<int>(passphrase.size()), plain.get(), how));
    if (!locked) {
        X509_ALGOR_free(how);
        throw_openssl("encrypting a private key");
    }
    return locked;
}

/// What OpenSSL asks for a passphrase; without this it would ask on the terminal.
int give_passphrase(char* buffer, int size, int, void* passphrase) {
    const auto& text = *static_cast<const std::string*>(passphrase);
    if (text.size() > static_cast<std::size_t>(size)) return -1;
    text.copy(buffer, text.size());
    return static_cast<int>(text.size());
}

}  // namespace

void throw_openssl(const std::string& what) {
    std::array<char, 256> text{};
    const unsigned long code = ERR_peek_last_error();
    ERR_error_string_n(code, text.data(), text.size());
    ERR_clear_error();
    throw Error(what + ": " + (code == 0 ? "OpenSSL gives no reason" : text.data()));
}

Key make_p256() {
    return owned(EVP_EC_gen("P-256"), "making a P-256 key");
}

Key make_rsa_2048() {
    return owned(EVP_RSA_gen(2048), "making an RSA key");
}

std::string private_pem(const Key& key, const std::string& passphrase) {
    const Plain plain(EVP_PKEY2PKCS8(key.get()));
    if (!plain) throw_openssl("writing a private key");
    const Memory bio = memory();
    const int written = passphrase.empty() ? PEM_write_bio_PKCS8_PRIV_KEY_INFO(bio.get(), plain.get())
                                           : PEM_write_bio_PKCS8(bio.get(), lock(plain, passphrase).get());
    if (written != 1) throw_openssl("writing a private key");
    return text_of(bio.get());
}

std::string public_pem(const Key& key) {
    const Memory bio = memory();
    if (PEM_write_bio_PUBKEY(bio.get(), key.get()) != 1) throw_openssl("writing a public key");
    return text_of(bio.get());
}

Key key_from_pem(const std::string& pem, const std::string& passphrase) {
    const Memory bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    std::string copy = passphrase;
    EVP_PKEY* const key = PEM_read_bio_PrivateKey(bio.get(), nullptr, give_passphrase, &copy);
    if (key == nullptr) {
        ERR_clear_error();
        throw Error(is_encrypted_pem(pem) ? "the passphrase is wrong" : "no private key in PEM");
    }
    return owned(key, "reading a private key");
}

bool is_encrypted_pem(std::string_view pem) {
    return pem.find("-----BEGIN ENCRYPTED ") != std::string_view::npos;
}

std::string fingerprint(const Key& key) {
    unsigned char* der = nullptr;
    const int size = i2d_PUBKEY(key.get(), &der);
    if (size <= 0) throw_openssl("writing a public key");
    std::string bytes(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
    OPENSSL_free(der);
    return sha256(bytes);
}

std::string secret_bytes(std::size_t count) {
    std::string bytes(count, '\0');
    if (RAND_priv_bytes(reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(count)) != 1) {
        throw_openssl("getting random bytes");
    }
    return bytes;
}

}  // namespace makina
