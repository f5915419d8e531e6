#include "firstboot/machine/fetch.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "firstboot/bundle/error.hpp"
#include "firstboot/machine/channel.hpp"
#include "firstboot/machine/http.hpp"
#include "firstboot/machine/supervisor.hpp"
#include "firstboot/machine/tls.hpp"

namespace makina {
namespace {

std::string head_of(const Request& request) {
    std::string text = request.body.empty() ? "GET " : "POST ";
    text += request.target + " HTTP/1.0\r\nHost: " + request.address + ":" + std::to_string(request.port) + "\r\n";
    if (!request.body.empty()) {
        text += "Content-Type: application/json\r\nContent-Length: " + std::to_string(request.body.size()) + "\r\n";
    }
    return text + "\r\n" + request.body;
}

/// One question on its way.
class Exchange {
  public:
    Exchange(const Request& request, const std::optional<Tls>& tls)
        : request_(request),
          text_(head_of(request)),
          rest_(text_),
          deadline_(steady_milliseconds() + request.milliseconds) {
        connect(tls);
    }
    Exchange(const Exchange&) = delete;
    Exchange& operator=(const Exchange&) = delete;
    ~Exchange() = default;

    [[nodiscard]] bool over() const { return over_; }
    [[nodiscard]] pollfd waiting() const {
        return {channel_->socket(), connecting_ ? short{POLLOUT} : channel_->events(), 0};
    }
    [[nodiscard]] std::int64_t deadline() const { return deadline_; }
    void go_on();
    void give_up(std::int64_t now) {
        if (!over_ && now >= deadline_) fail(response_.connected ? "no answer in time" : "no connection in time");
    }
    [[nodiscard]] Response take() { return std::move(response_); }

  private:
    void connect(const std::optional<Tls>& tls);
    void connected();
    void finish();
    void fail(const std::string& fault) {
        response_.fault = fault;
        over_ = true;
    }

    const Request& request_;
    std::string text_;
    std::string_view rest_;  ///< what is still to be sent
    std::int64_t deadline_;
    std::optional<Channel> channel_;
    bool connecting_ = true;
    bool over_ = false;
    std::string received_;
    Response response_;
};

void Exchange::connect(const std::optional<Tls>& tls) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(request_.port);
    if (inet_pton(AF_INET, request_.address.c_str(), &address.sin_addr) != 1) {
        return fail("\"" + request_.address + "\" is not an address");
    }
    Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) return fail(system_message(errno));
    const int code = ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    if (code != 0 && errno != EINPROGRESS) return fail(system_message(errno));
    channel_.emplace(std::move(socket), tls ? tls->client(request_.name, request_.address) : nullptr);
}

void Exchange::connected() {
    int number = 0;
    socklen_t size = sizeof number;
    if (getsockopt(channel_->socket(), SOL_SOCKET, SO_ERROR, &number, &size) != 0) number = errno;
    if (number != 0) return fail(system_message(number));
    connecting_ = false;
    response_.connected = true;
}

void Exchange::go_on() {
    if (connecting_) connected();
    while (!over_) {
        const Channel::Progress progress = rest_.empty() ? channel_->receive(received_) : channel_->send(rest_);
        if (progress == Channel::Progress::later) return;
        if (progress == Channel::Progress::broken) return fail(channel_->fault());
        if (progress == Channel::Progress::ended) return finish();
        if (received_.size() > request_.largest) return fail("the answer is too long");
    }
}

void Exchange::finish() {
    const HttpAnswer answer = read_http_answer(received_);
    if (answer.status == 0) return fail("the answer is not HTTP, or a part of it is missing");
    response_.status = answer.status;
    response_.body = answer.body;
    over_ = true;
}

}  // namespace

std::vector<Response> fetch_all(const Files& files, const std::vector<Request>& requests) {
    // Several questions usually speak with the same files.
    std::vector<std::pair<Credentials, Tls>> all_tls;
    const auto tls_of = [&](const Request& request) -> std::optional<Tls> {
        if (!request.tls) return std::nullopt;
        for (const auto& [credentials, tls] : all_tls) {
            if (credentials == *request.tls) return tls;
        }
        all_tls.emplace_back(*request.tls, Tls(files, *request.tls));
        return all_tls.back().second;
    };
    std::vector<std::unique_ptr<Exchange>> exchanges;
    exchanges.reserve(requests.size());
    for (const Request& request : requests) exchanges.push_back(std::make_unique<Exchange>(request, tls_of(request)));
    for (;;) {
        std::vector<pollfd> waiting;
        std::vector<Exchange*> theirs;
        std::int64_t next = 0;
        for (const auto& exchange : exchanges) {
            if (exchange->over()) continue;
            next = theirs.empty() ? exchange->deadline() : std::min(next, exchange->deadline());
            theirs.push_back(exchange.get());
            waiting.push_back(exchange->waiting());
        }
        if (theirs.empty()) break;
        const std::int64_t left = std::max<std::int64_t>(0, next - steady_milliseconds());
        if (poll(waiting.data(), waiting.size(), static_cast<int>(left)) < 0 && errno != EINTR) throw_system("poll");
        for (std::size_t at = 0; at < theirs.size(); ++at) {
            if (waiting[at].revents != 0) theirs[at]->go_on();
            theirs[at]->give_up(steady_milliseconds());
        }
    }
    std::vector<Response> responses;
    responses.reserve(exchanges.size());
    for (const auto& exchange : exchanges) responses.push_back(exchange->take());
    return responses;
}

}  // namespace makina
