#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "firstboot/bundle/handle.hpp"
#include "firstboot/machine/files.hpp"
#include "firstboot/machine/http.hpp"
#include "firstboot/machine/tls.hpp"

namespace makina {

/// Where the status is kept on the node.
inline constexpr const char* status_folder = "/run/makina";
inline constexpr const char* status_file = "status.json";
inline constexpr const char* status_socket = "status";

/// Gives the status to whoever asks: whole documents at the Unix socket, and a page by HTTP; and the statement to other
/// nodes, by HTTP over TLS. Each of the three serves at most 16 at once, for 2 s each; it reads at most 2 KiB of a
/// request. Nothing that a client does can change anything.
class StatusServer {
  public:
    /// Makes the socket and starts a thread. Throws Error.
    explicit StatusServer(const Files& files);
    StatusServer(const StatusServer&) = delete;
    StatusServer& operator=(const StatusServer&) = delete;
    ~StatusServer();

    /// The statement is kept.
    void publish(std::string json, std::string html);
    void state(std::string statement);
    /// Opens the page on these IPv4 addresses, which need not be on an interface yet (IP_FREEBIND, ip(7)). On any other
    /// it is closed. Throws Error.
    void open_page(const std::vector<std::string>& addresses, std::uint16_t port);
    /// The same on one address for other nodes; `tls` is used from the next connection on.
    void open_peers(const std::string& address, std::uint16_t port, const Tls& tls);

  private:
    /// TCP listeners by their places. One that is left out is closed when the thread has seen it.
    using Door = std::map<std::string, std::shared_ptr<const Descriptor>>;
    void open(Door& door, const std::vector<std::string>& addresses, std::uint16_t port);
    void serve();
    void wake() const;

    std::mutex mutex_;
    std::shared_ptr<const Documents> documents_;
    std::optional<Tls> tls_;
    Descriptor local_;
    Door page_, peers_;  ///< changed by the owner's thread alone
    bool stopping_ = false;
    Descriptor wake_;
    std::thread thread_;
};

}  // namespace makina
