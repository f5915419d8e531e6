#include "tests/balancer/programs/tls.hpp"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>

#include "firstboot/bundle/error.hpp"

namespace makina::balancer {
namespace {

Context context_for(const SSL_METHOD* method) {
    Context context(SSL_CTX_new(method), SSL_CTX_free);
    if (!context) throw Error("no-context");
    return context;
}

}  // namespace

Context server_context(const std::string& certificate, const std::string& key) {
    Context context = context_for(TLS_server_method());
    if (SSL_CTX_use_certificate_chain_file(context.get(), certificate.c_str()) != 1 ||
        SSL_CTX_use_PrivateKey_file(context.get(), key.c_str(), SSL_FILETYPE_PEM) != 1) {
        throw Error("reading " + certificate);
    }
    return context;
}

Context client_context(const std::string& authority) {
    Context context = context_for(TLS_client_method());
    if (SSL_CTX_load_verify_locations(context.get(), authority.c_str(), nullptr) != 1) {
        throw Error("reading " + authority);
    }
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
    return context;
}

sockaddr_in endpoint_of(const std::string& text) {
    sockaddr_in endpoint{};
    endpoint.sin_family = AF_INET;
    const auto colon = text.find(':');
    endpoint.sin_port = htons(static_cast<std::uint16_t>(std::stoi(text.substr(colon + 1))));
    if (inet_pton(AF_INET, text.substr(0, colon).c_str(), &endpoint.sin_addr) != 1) throw Error("no address: " + text);
    return endpoint;
}

double steady_now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// socket(7): a connect that takes longer than SO_SNDTIMEO ends as one that is under way.
void Connection::limit(double until) {
    const double left = std::max(until - steady_now(), 0.001);
    timeval time{};
    time.tv_sec = static_cast<time_t>(left);
    time.tv_usec = static_cast<suseconds_t>((left - std::floor(left)) * 1e6);
    for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
        if (setsockopt(socket_.get(), SOL_SOCKET, option, &time, sizeof time) != 0) throw Error("no-timeout");
    }
}

void Connection::fail(const std::string& what, int result) const {
    const int code = errno;
    const int error = SSL_get_error(ssl_.get(), result);
    const bool late = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE || code == EAGAIN;
    ERR_clear_error();
    throw Error(what + (late                     ? ":too-late"
                        : error == SSL_ERROR_SSL ? ":not-genuine"
                        : code == ECONNRESET     ? ":reset"
                                                 : ":closed"));
}

Connection::Connection(SSL_CTX* context, const sockaddr_in& to, const std::string& name, double until)
    : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), ssl_(SSL_new(context), SSL_free) {
    if (!socket_ || !ssl_) throw Error("no-socket");
    limit(until);
    if (connect(socket_.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
        const int code = errno;
        throw Error(code == ECONNREFUSED   ? "connecting:refused"
                    : code == EINPROGRESS  ? "connecting:too-late"
                    : code == EHOSTUNREACH ? "connecting:nobody"
                                           : "connecting:" + std::to_string(code));
    }
    SSL_set_fd(ssl_.get(), socket_.get());
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_.get()), name.c_str());
    limit(until);
    if (const int result = SSL_connect(ssl_.get()); result != 1) fail("greeting", result);
}

Connection::Connection(SSL_CTX* context, Descriptor socket, double until)
    : socket_(std::move(socket)), ssl_(SSL_new(context), SSL_free) {
    if (!ssl_) throw Error("no-socket");
    limit(until);
    SSL_set_fd(ssl_.get(), socket_.get());
    if (const int result = SSL_accept(ssl_.get()); result != 1) fail("greeting", result);
}

std::string Connection::read(double until) {
    std::array<char, 4096> buffer{};
    limit(until);
    const int count = SSL_read(ssl_.get(), buffer.data(), static_cast<int>(buffer.size()));
    if (count > 0) return {buffer.data(), static_cast<std::size_t>(count)};
    if (SSL_get_error(ssl_.get(), count) == SSL_ERROR_ZERO_RETURN) return "";
    fail("reading", count);
}

void Connection::write(const std::string& text, double until) {
    limit(until);
    const int count = SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size()));
    if (count != static_cast<int>(text.size())) fail("writing", count);
}

}  // namespace makina::balancer
