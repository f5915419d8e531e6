#include "firstboot/machine/connection.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>

namespace makina {
namespace {

constexpr std::int64_t patience = 2'000;  // milliseconds
constexpr std::size_t most_ignored = std::size_t{64} << 10;

bool later() {
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

}  // namespace

Connection::Connection(Descriptor socket, Kind kind, const Documents& documents, std::int64_t now)
    : socket_(std::move(socket)),
      kind_(kind),
      step_(kind == Kind::page ? Step::reading : Step::writing),
      deadline_(now + patience),
      answer_(kind == Kind::page ? "" : documents.json) {}

short Connection::events() const {
    return step_ == Step::writing ? POLLOUT : POLLIN;
}

void Connection::go_on(const Documents& documents) {
    if (step_ == Step::reading) read_request(documents);
    if (step_ == Step::writing) write_answer();
    if (step_ == Step::closing) close_politely();
}

void Connection::read_request(const Documents& documents) {
    std::array<char, 512> buffer{};
    while (request_.size() < largest_request) {
        const ssize_t count = recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (count < 0 && later()) return;
        if (count < 0) {
            step_ = Step::over;
            return;
        }
        request_.append(buffer.data(), static_cast<std::size_t>(count));
        if (count == 0 || is_whole_request(request_)) break;
    }
    answer_ = http_answer(request_, documents);
    step_ = Step::writing;
}

void Connection::write_answer() {
    while (sent_ < answer_.size()) {
        const ssize_t count =
            send(socket_.get(), answer_.data() + sent_, answer_.size() - sent_, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count < 0 && later()) return;
        if (count < 0) {
            step_ = Step::over;
            return;
        }
        sent_ += static_cast<std::size_t>(count);
    }
    (void)shutdown(socket_.get(), SHUT_WR);
    step_ = Step::closing;
}

/// A socket that is closed with bytes unread resets the connection, and the client may lose the answer (RFC 9112, 9.6):
/// what else it sends is read and forgotten.
void Connection::close_politely() {
    std::array<char, 4096> buffer{};
    while (ignored_ < most_ignored) {
        const ssize_t count = recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (count < 0 && later()) return;
        if (count <= 0) break;
        ignored_ += static_cast<std::size_t>(count);
    }
    step_ = Step::over;
}

}  // namespace makina
