#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "firstboot/bundle/handle.hpp"
#include "firstboot/machine/http.hpp"

namespace makina {

/// One client of the status server, from its connection to its end. Never waits.
class Connection {
  public:
    enum class Kind { local, page };
    Connection(Descriptor socket, Kind kind, const Documents& documents, std::int64_t now);

    /// What poll(2) should wait for.
    [[nodiscard]] short events() const;
    [[nodiscard]] int socket() const { return socket_.get(); }
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

    Descriptor socket_;
    Kind kind_;
    Step step_;
    std::int64_t deadline_;  ///< milliseconds, of steady_milliseconds
    std::string request_;
    std::string answer_;
    std::size_t sent_ = 0;
    std::size_t ignored_ = 0;
};

}  // namespace makina
