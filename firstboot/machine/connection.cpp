#include "firstboot/machine/connection.hpp"

#include <utility>

namespace makina {
namespace {

constexpr std::int64_t patience = 2'000;  // milliseconds
constexpr std::size_t most_ignored = std::size_t{64} << 10;

}  // namespace

Connection::Connection(Channel channel, Kind kind, const Documents& documents, std::int64_t now)
    : channel_(std::move(channel)),
      kind_(kind),
      step_(kind == Kind::local ? Step::writing : Step::reading),
      deadline_(now + patience),
      answer_(kind == Kind::local ? documents.json : "") {}

void Connection::go_on(const Documents& documents) {
    if (step_ == Step::reading) read_request(documents);
    if (step_ == Step::writing) write_answer();
    if (step_ == Step::closing) close_politely();
}

void Connection::read_request(const Documents& documents) {
    while (request_.size() < largest_request && !is_whole_request(request_)) {
        const Channel::Progress progress = channel_.receive(request_);
        if (progress == Channel::Progress::later) return;
        if (progress == Channel::Progress::broken) {
            step_ = Step::over;
            return;
        }
        if (progress == Channel::Progress::ended) break;
    }
    answer_ = kind_ == Kind::peer ? peer_answer(request_, documents) : http_answer(request_, documents);
    step_ = Step::writing;
}

void Connection::write_answer() {
    while (sent_ < answer_.size()) {
        std::string_view rest = std::string_view(answer_).substr(sent_);
        const Channel::Progress progress = channel_.send(rest);
        sent_ = answer_.size() - rest.size();
        if (progress == Channel::Progress::later) return;
        if (progress != Channel::Progress::on) {
            step_ = Step::over;
            return;
        }
    }
    channel_.finish();
    step_ = Step::closing;
}

/// A socket that is closed with bytes unread resets the connection, and the client may lose the answer (RFC 9112, 9.6):
/// what else it sends is read and forgotten.
void Connection::close_politely() {
    while (ignored_.size() < most_ignored) {
        const Channel::Progress progress = channel_.receive(ignored_);
        if (progress == Channel::Progress::later) return;
        if (progress != Channel::Progress::on) break;
    }
    step_ = Step::over;
}

}  // namespace makina
