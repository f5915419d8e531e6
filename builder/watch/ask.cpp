#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "builder/watch/watch.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/handle.hpp"

namespace makina {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t largest = std::size_t{64} << 10;

/// One question, from connecting to the last byte. Never waits.
class Question {
  public:
    explicit Question(const AskedNode& node)
        : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)),
          request_("GET /status.json HTTP/1.1\r\nHost: " + to_string(node.address) + "\r\nConnection: close\r\n\r\n") {
        if (!socket_) throw_system("making a socket");
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(node.port);
        if (inet_pton(AF_INET, to_string(node.address).c_str(), &address.sin_addr) != 1) {
            fail("no address");
        } else if (connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
                   errno != EINPROGRESS) {
            fail(system_message(errno));
        }
    }

    [[nodiscard]] bool over() const { return over_; }
    [[nodiscard]] pollfd waiting() const {
        // poll(2) skips -1.
        return {over_ ? -1 : socket_.get(), static_cast<short>(sent_ < request_.size() ? POLLOUT : POLLIN), 0};
    }
    void go_on() {
        if (sent_ < request_.size()) {
            ask();
        } else {
            listen();
        }
    }
    void fail(const std::string& why) {
        reply_ = {"", why};
        over_ = true;
    }
    [[nodiscard]] const StatusReply& reply() const { return reply_; }

  private:
    void ask() {
        int error = 0;
        socklen_t size = sizeof error;
        if (getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
            return fail(system_message(error));
        }
        const ssize_t count = send(socket_.get(), request_.data() + sent_, request_.size() - sent_, MSG_NOSIGNAL);
        if (count < 0 && errno != EAGAIN && errno != EINTR) return fail(system_message(errno));
        if (count > 0) sent_ += static_cast<std::size_t>(count);
    }
    void listen() {
        std::array<char, 8192> buffer{};
        const ssize_t count = recv(socket_.get(), buffer.data(), buffer.size(), 0);
        if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (count < 0) return fail(system_message(errno));
        if (count == 0) return read_answer();
        answer_.append(buffer.data(), static_cast<std::size_t>(count));
        if (answer_.size() > largest) fail("too long an answer");
    }
    void read_answer() {
        const std::size_t end = answer_.find("\r\n\r\n");
        const bool http = answer_.rfind("HTTP/1.", 0) == 0 && end != std::string::npos;
        if (!http || answer_.compare(8, 5, " 200 ") != 0) return fail("what answers is not makina-firstboot");
        reply_ = {answer_.substr(end + 4), ""};
        over_ = true;
    }

    Descriptor socket_;
    std::string request_;
    std::size_t sent_ = 0;
    std::string answer_;
    StatusReply reply_;
    bool over_ = false;
};

std::string in_seconds(std::chrono::milliseconds patience) {
    return std::to_string(std::chrono::ceil<std::chrono::seconds>(patience).count()) + " s";
}

}  // namespace

std::vector<StatusReply> ask_nodes(const std::vector<AskedNode>& nodes, std::chrono::milliseconds patience) {
    std::vector<Question> questions;
    questions.reserve(nodes.size());
    for (const AskedNode& node : nodes) questions.emplace_back(node);
    const Clock::time_point end = Clock::now() + patience;
    const auto over = [](const Question& question) { return question.over(); };
    while (!std::all_of(questions.begin(), questions.end(), over)) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now());
        if (left.count() <= 0) break;
        std::vector<pollfd> waiting;
        waiting.reserve(questions.size());
        for (const Question& question : questions) waiting.push_back(question.waiting());
        if (poll(waiting.data(), waiting.size(), static_cast<int>(left.count())) < 0 && errno != EINTR) {
            throw_system("waiting for nodes");
        }
        for (std::size_t at = 0; at < questions.size(); ++at) {
            if (waiting[at].revents != 0) questions[at].go_on();
        }
    }
    std::vector<StatusReply> replies;
    for (Question& question : questions) {
        if (!question.over()) question.fail("no answer within " + in_seconds(patience));
        replies.push_back(question.reply());
    }
    return replies;
}

}  // namespace makina
