#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "firstboot/machine/channel.hpp"
#include "firstboot/machine/http.hpp"

namespace makina {

/// One client of the status server, from its connection to its end. Never waits.
class Connection {
  public:
    enum class Kind { local, page, peer };
    Connection(Channel channel, Kind kind, const Documents& documents, std::int64_t now);

    /// What poll(2) should wait for.
    [[nodiscard]] short events() const { return channel_.events(); }
    [[nodiscard]] int socket() const { return channel_.socket(); }
    [[nodiscard]] Kind kind() const { return kind_; }
    /// Does what can be done now.
    void go_on(const Documents& documents);
    /// True if there is nothing left to do, or the time is over.
    [[nodiscard]] bool over(std::int64_t now) const { return step_ == Step::over || now >= deadline_; }

  private:
    enum class Step { reading, writing, closing, over };
    void read_request(const Documents& documents);
    void write_answer();
    void close_politely();

    Channel channel_;
    Kind kind_;
    Step step_;
    std::int64_t deadline_;  ///< milliseconds, of steady_milliseconds
    std::string request_;
    std::string answer_;
    std::size_t sent_ = 0;
    std::string ignored_;
};

}  // namespace makina
