#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "firstboot/bundle/handle.hpp"

struct ssl_st;

namespace makina {

/// A connected socket, with TLS on it or not. Never waits.
class Channel {
  public:
    /// How far it came.
    enum class Progress {
        on,      ///< something was done
        later,   ///< poll(2) has to wait for `events` first
        ended,   ///< the other side has said that nothing more comes
        broken,  ///< `fault` says why
    };

    /// The socket does not block; `tls` is for it alone, or null.
    explicit Channel(Descriptor socket, std::shared_ptr<ssl_st> tls = nullptr);

    [[nodiscard]] int socket() const { return socket_.get(); }
    /// What poll(2) should wait for after `later`.
    [[nodiscard]] short events() const { return events_; }
    [[nodiscard]] const std::string& fault() const { return fault_; }

    /// Appends what has come, a few KiB at the most.
    [[nodiscard]] Progress receive(std::string& into);
    /// Sends the front of `bytes` and takes it away from there.
    [[nodiscard]] Progress send(std::string_view& bytes);
    /// Says that nothing more comes from us.
    void finish();

  private:
    [[nodiscard]] Progress plain(ssize_t count, short wanted);
    [[nodiscard]] Progress secured(int code);

    Descriptor socket_;
    std::shared_ptr<ssl_st> tls_;
    short events_;
    std::string fault_;
};

}  // namespace makina
