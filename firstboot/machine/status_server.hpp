#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "firstboot/bundle/handle.hpp"
#include "firstboot/machine/files.hpp"
#include "firstboot/machine/http.hpp"

namespace makina {

/// Where the status is kept on the node.
inline constexpr const char* status_folder = "/run/makina";
inline constexpr const char* status_file = "status.json";
inline constexpr const char* status_socket = "status";

/// Gives the status to whoever asks: whole documents at the Unix socket, and a page by HTTP. Each of the two serves at
/// most 16 at once, for 2 s each; it reads at most 2 KiB of a request. Nothing that a client does can change anything.
class StatusServer {
  public:
    /// Makes the socket and starts a thread. Throws Error.
    explicit StatusServer(const Files& files);
    StatusServer(const StatusServer&) = delete;
    StatusServer& operator=(const StatusServer&) = delete;
    ~StatusServer();

    void publish(Documents documents);
    /// Opens the page on this IPv4 address, which need not be on an interface yet (IP_FREEBIND, ip(7)). An earlier
    /// page of another address is closed. Throws Error.
    void open_page(const std::string& address, std::uint16_t port);

  private:
    void serve();
    void wake() const;

    std::mutex mutex_;
    std::shared_ptr<const Documents> documents_;
    Descriptor local_, page_, new_page_;
    std::string page_address_;
    bool stopping_ = false;
    Descriptor wake_;
    std::thread thread_;
};

}  // namespace makina
