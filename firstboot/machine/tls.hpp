#pragma once

#include <memory>
#include <string>

#include "firstboot/host.hpp"
#include "firstboot/machine/files.hpp"

struct ssl_ctx_st;
struct ssl_st;

namespace makina {

/// Our side of TLS (RFC 8446, at least 1.2): our certificate, and whom we believe. Both sides show certificates.
class Tls {
  public:
    /// Reads the files. Throws Error "<path>: <OpenSSL's own words>".
    Tls(const Files& files, const Credentials& credentials);

    /// For a connection that we began: the other side must be `name`, or with an empty one have `address`.
    [[nodiscard]] std::shared_ptr<ssl_st> client(const std::string& name, const std::string& address) const;
    /// For a connection that was begun by whoever has a certificate of the same authority.
    [[nodiscard]] std::shared_ptr<ssl_st> server() const;

  private:
    std::shared_ptr<ssl_ctx_st> context_;
};

}  // namespace makina
