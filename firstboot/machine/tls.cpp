#include "firstboot/machine/tls.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/handle.hpp"

namespace makina {
namespace {

using Bio = Handle<BIO, BIO_free_all>;
using Certificate = Handle<X509, X509_free>;
using PrivateKey = Handle<EVP_PKEY, EVP_PKEY_free>;

constexpr std::size_t largest = std::size_t{64} << 10;

[[noreturn]] void throw_openssl(const std::string& what) {
    const char* const reason = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    throw Error(what + ": " + (reason == nullptr ? "OpenSSL does not say why" : reason));
}

Bio opened(const Files& files, const std::string& path) {
    const auto text = files.read(path, largest);
    if (!text) throw Error(path + ": no such file");
    Bio bio(BIO_new(BIO_s_mem()));
    if (!bio || BIO_write(bio.get(), text->data(), static_cast<int>(text->size())) != static_cast<int>(text->size())) {
        throw_openssl(path);
    }
    return bio;
}

Certificate certificate_in(const Files& files, const std::string& path) {
    const Bio bio = opened(files, path);
    Certificate certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    if (!certificate) throw_openssl(path);
    return certificate;
}

}  // namespace

Tls::Tls(const Files& files, const Credentials& credentials)
    : context_(SSL_CTX_new(TLS_method()), [](SSL_CTX* context) { SSL_CTX_free(context); }) {
    SSL_CTX* const context = context_.get();
    if (context == nullptr || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1) throw_openssl("TLS");
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    // Each connection is for one question.
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 0);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    const Certificate authority = certificate_in(files, credentials.authority);
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), authority.get()) != 1)
        throw_openssl(credentials.authority);
    const Certificate own = certificate_in(files, credentials.certificate);
    if (SSL_CTX_use_certificate(context, own.get()) != 1) throw_openssl(credentials.certificate);
    const Bio bio = opened(files, credentials.key);
    const PrivateKey key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
    if (!key || SSL_CTX_use_PrivateKey(context, key.get()) != 1) throw_openssl(credentials.key);
}

std::shared_ptr<ssl_st> Tls::client(const std::string& name, const std::string& address) const {
    std::shared_ptr<SSL> connection(SSL_new(context_.get()), [](SSL* ssl) { SSL_free(ssl); });
    if (!connection) throw_openssl("TLS");
    X509_VERIFY_PARAM* const rules = SSL_get0_param(connection.get());
    const int set = name.empty() ? X509_VERIFY_PARAM_set1_ip_asc(rules, address.c_str())
                                 : X509_VERIFY_PARAM_set1_host(rules, name.c_str(), name.size());
    if (set != 1) throw_openssl("TLS to " + (name.empty() ? address : name));
    SSL_set_connect_state(connection.get());
    return connection;
}

std::shared_ptr<ssl_st> Tls::server() const {
    std::shared_ptr<SSL> connection(SSL_new(context_.get()), [](SSL* ssl) { SSL_free(ssl); });
    if (!connection) throw_openssl("TLS");
    SSL_set_accept_state(connection.get());
    return connection;
}

}  // namespace makina
