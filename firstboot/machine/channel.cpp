#include "firstboot/machine/channel.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "firstboot/bundle/error.hpp"

namespace makina {

Channel::Channel(Descriptor socket, std::shared_ptr<ssl_st> tls)
    : socket_(std::move(socket)), tls_(std::move(tls)), events_(POLLIN) {
    if (tls_ != nullptr && SSL_set_fd(tls_.get(), socket_.get()) != 1) throw Error("TLS does not take the socket");
}

Channel::Progress Channel::plain(ssize_t count, short wanted) {
    if (count >= 0) return Progress::on;
    events_ = wanted;
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return Progress::later;
    fault_ = system_message(errno);
    return Progress::broken;
}

Channel::Progress Channel::secured(int code) {
    // SSL_get_error(3): errno and the queue of errors must be those of the call that just returned.
    const int number = errno;
    switch (SSL_get_error(tls_.get(), code)) {
        case SSL_ERROR_NONE:
            return Progress::on;
        case SSL_ERROR_WANT_READ:
            events_ = POLLIN;
            return Progress::later;
        case SSL_ERROR_WANT_WRITE:
            events_ = POLLOUT;
            return Progress::later;
        case SSL_ERROR_ZERO_RETURN:
            return Progress::ended;
        case SSL_ERROR_SYSCALL:
            fault_ = number == 0 ? "the connection was closed" : system_message(number);
            break;
        default: {
            const long verdict = SSL_get_verify_result(tls_.get());
            const char* const reason = ERR_reason_error_string(ERR_peek_last_error());
            fault_ = verdict != X509_V_OK ? std::string("its certificate: ") + X509_verify_cert_error_string(verdict)
                     : reason == nullptr  ? "TLS failed"
                                          : reason;
        }
    }
    ERR_clear_error();
    return Progress::broken;
}

Channel::Progress Channel::receive(std::string& into) {
    std::array<char, 4096> buffer{};
    Progress progress{};
    std::size_t count = 0;
    if (tls_ == nullptr) {
        const ssize_t got = recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        progress = got == 0 ? Progress::ended : plain(got, POLLIN);
        count = got > 0 ? static_cast<std::size_t>(got) : 0;
    } else {
        ERR_clear_error();
        errno = 0;
        progress = secured(SSL_read_ex(tls_.get(), buffer.data(), buffer.size(), &count));
    }
    if (progress == Progress::on) into.append(buffer.data(), count);
    return progress;
}

Channel::Progress Channel::send(std::string_view& bytes) {
    if (bytes.empty()) return Progress::on;
    Progress progress{};
    std::size_t count = 0;
    if (tls_ == nullptr) {
        const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        progress = plain(sent, POLLOUT);
        count = sent > 0 ? static_cast<std::size_t>(sent) : 0;
    } else {
        ERR_clear_error();
        errno = 0;
        progress = secured(SSL_write_ex(tls_.get(), bytes.data(), bytes.size(), &count));
    }
    if (progress == Progress::on) bytes.remove_prefix(count);
    return progress;
}

void Channel::finish() {
    if (tls_ != nullptr) {
        ERR_clear_error();
        (void)SSL_shutdown(tls_.get());
        ERR_clear_error();
    }
    (void)shutdown(socket_.get(), SHUT_WR);
}

}  // namespace makina
