#pragma once

#include <netinet/in.h>
#include <openssl/ssl.h>

#include <memory>
#include <optional>
#include <string>

#include "firstboot/bundle/handle.hpp"

// TLS of the peers in these tests: blocking, a thread a connection, everything within a time.
namespace makina::balancer {

using Context = std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)>;

[[nodiscard]] Context server_context(const std::string& certificate, const std::string& key);
/// One that believes this authority alone.
[[nodiscard]] Context client_context(const std::string& authority);

/// "192.168.3.240:9000".
[[nodiscard]] sockaddr_in endpoint_of(const std::string& text);

[[nodiscard]] double steady_now();

/// A connection; each step is over by a moment of the clock that never jumps. Throws Error with a word for it.
class Connection {
  public:
    /// Connects, and holds the other side to that address.
    Connection(SSL_CTX* context, const sockaddr_in& to, const std::string& name, double until);
    /// Takes one that came.
    Connection(SSL_CTX* context, Descriptor socket, double until);

    /// What there is to read next; empty at the end.
    [[nodiscard]] std::string read(double until);
    void write(const std::string& text, double until);

  private:
    void limit(double until);
    [[noreturn]] void fail(const std::string& what, int result) const;

    Descriptor socket_;
    std::unique_ptr<SSL, void (*)(SSL*)> ssl_;
};

}  // namespace makina::balancer
