#include "builder/pki/tls_answer.hpp"

#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>

#include "builder/pki/certificate.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/handle.hpp"

namespace makina {
namespace {

using Context = Handle<SSL_CTX, SSL_CTX_free>;
using Connection = Handle<SSL, SSL_free>;

constexpr std::size_t longest_request = 16384;

void require(bool done) {
    if (!done) throw_openssl("answering over TLS");
}

/// The request's lines, which an empty one ends.
void read_request(SSL* connection) {
    std::string request;
    while (request.find("\r\n\r\n") == std::string::npos) {
        std::array<char, 4096> buffer{};
        const int count = SSL_read(connection, buffer.data(), static_cast<int>(buffer.size()));
        require(count > 0);
        request.append(buffer.data(), static_cast<std::size_t>(count));
        if (request.size() > longest_request) throw Error("a request of more than 16 KiB");
    }
}

}  // namespace

void answer_over_tls(int socket, const std::string& body, std::int64_t now) {
    const timeval patience{10, 0};
    for (const int way : {SO_RCVTIMEO, SO_SNDTIMEO}) {
        if (setsockopt(socket, SOL_SOCKET, way, &patience, sizeof patience) != 0) throw_system("answering over TLS");
    }
    const Credential credential = make_authority("makina-stand-in", now);
    const Context context(SSL_CTX_new(TLS_server_method()));
    require(context && SSL_CTX_use_certificate(context.get(), credential.certificate.get()) == 1 &&
            SSL_CTX_use_PrivateKey(context.get(), credential.key.get()) == 1);
    const Connection connection(SSL_new(context.get()));
    require(connection && SSL_set_fd(connection.get(), socket) == 1 && SSL_accept(connection.get()) == 1);
    read_request(connection.get());
    const std::string answer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: " +
                               std::to_string(body.size()) + "\r\n\r\n" + body;
    require(SSL_write(connection.get(), answer.data(), static_cast<int>(answer.size())) > 0);
    // The other side need not wait for our end.
    (void)SSL_shutdown(connection.get());
}

}  // namespace makina
