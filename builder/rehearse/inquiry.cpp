#include "builder/rehearse/inquiry.hpp"

#include <sys/socket.h>

#include <array>

#include "builder/rehearse/probe.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {

Inquiry::Inquiry(const std::vector<Question>& questions) {
    std::array<int, 2> ends{};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) throw_system("making a pair of sockets");
    ours_ = Descriptor(ends[0]);
    other_ = Descriptor(ends[1]);
    for (const Question& question : questions) replies_.push_back({question, -1, {}});
}

void Inquiry::ask() {
    for (Reply& reply : replies_) reply = {reply.question, -1, {}};
    over_ = false;
    if (send(ours_.get(), "again\n", 6, MSG_NOSIGNAL | MSG_DONTWAIT) != 6) throw_system("asking a machine");
}

bool Inquiry::answered() {
    std::array<char, 65536> buffer{};
    ssize_t count = 0;
    while ((count = recv(ours_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT)) > 0) {
        for (ssize_t i = 0; i < count; ++i) {
            if (buffer[static_cast<std::size_t>(i)] != '\n') {
                line_ += buffer[static_cast<std::size_t>(i)];
                continue;
            }
            hear(line_);
            line_.clear();
        }
    }
    return over_;
}

void Inquiry::hear(const std::string& line) {
    const auto word = parse_probe_line(line);
    if (!word) return;
    if (word->kind == ProbeWord::Kind::end) over_ = true;
    if (word->kind != ProbeWord::Kind::answer || word->index >= replies_.size()) return;
    replies_[word->index].status = word->status;
    replies_[word->index].output = word->text;
}

}  // namespace makina
