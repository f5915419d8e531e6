#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "firstboot/bundle/handle.hpp"

namespace makina {

/// What the test's server answers for one path.
struct Page {
    std::string body = {};
    bool ranges = true;             ///< understands "Range: bytes=N-"
    int drops = 0;                  ///< so many times the connection is lost ...
    std::size_t drop_after = 0;     ///< ... after so many bytes of the answer's body
    std::string status = "200 OK";  ///< of an answer without a range
    std::string location = {};      ///< of a redirect
};

/// An HTTP server on the loopback for one test: one connection at a time, each for one request.
class HttpServer {
  public:
    explicit HttpServer(std::map<std::string, Page> pages) : pages_(std::move(pages)) {
        // A proxy of this machine must not get to see what is asked of the loopback.
        setenv("no_proxy", "127.0.0.1", 1);
        listener_ = Descriptor(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        auto* const plain = reinterpret_cast<sockaddr*>(&address);
        if (!listener_ || bind(listener_.get(), plain, size) != 0 || listen(listener_.get(), 8) != 0 ||
            getsockname(listener_.get(), plain, &size) != 0) {
            throw std::runtime_error("no server on the loopback");
        }
        port_ = ntohs(address.sin_port);
        thread_ = std::thread([this] { serve(); });
    }
    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;
    ~HttpServer() {
        stopping_ = true;
        shutdown(listener_.get(), SHUT_RDWR);
        thread_.join();
    }

    [[nodiscard]] std::string url(const std::string& path) const {
        return "http://127.0.0.1:" + std::to_string(port_) + path;
    }
    /// What was asked so far: "/a", or "/a bytes=10-" with a range.
    [[nodiscard]] std::vector<std::string> asked() const {
        const std::scoped_lock lock(mutex_);
        return asked_;
    }

  private:
    void serve() {
        while (!stopping_) {
            const Descriptor connection(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
            if (connection) answer(connection.get());
        }
    }
    static std::string read_request(int connection) {
        std::string request;
        std::array<char, 4096> buffer{};
        while (request.find("\r\n\r\n") == std::string::npos) {
            const ssize_t count = recv(connection, buffer.data(), buffer.size(), 0);
            if (count <= 0) break;
            request.append(buffer.data(), static_cast<std::size_t>(count));
        }
        return request;
    }
    static void send_all(int connection, const std::string& text) {
        for (std::size_t sent = 0; sent < text.size();) {
            const ssize_t count = send(connection, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
            if (count <= 0) return;
            sent += static_cast<std::size_t>(count);
        }
    }
    void answer(int connection) {
        const std::string request = read_request(connection);
        const std::size_t begin = request.find(' ') + 1;
        const std::string path = request.substr(begin, request.find(' ', begin) - begin);
        const std::size_t range = request.find("\r\nRange: ");
        const std::string wanted =
            range == std::string::npos ? "" : request.substr(range + 9, request.find("\r\n", range + 9) - range - 9);
        const std::scoped_lock lock(mutex_);
        asked_.push_back(wanted.empty() ? path : path + " " + wanted);
        const auto found = pages_.find(path);
        if (found == pages_.end()) {
            send_all(connection, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            return;
        }
        send_page(connection, found->second, wanted);
    }
    static void send_page(int connection, Page& page, const std::string& wanted) {
        std::string status = page.status;
        std::string more = page.location.empty() ? "" : "Location: " + page.location + "\r\n";
        std::string body = page.body;
        if (page.ranges && !wanted.empty()) {
            const std::size_t from = std::stoul(wanted.substr(wanted.find('=') + 1));
            const std::string total = std::to_string(page.body.size());
            status = from < page.body.size() ? "206 Partial Content" : "416 Range Not Satisfiable";
            more = "Content-Range: bytes " +
                   (from < page.body.size() ? std::to_string(from) + "-" + std::to_string(page.body.size() - 1) : "*") +
                   "/" + total + "\r\n";
            body = from < page.body.size() ? page.body.substr(from) : "";
        }
        const std::string length = std::to_string(body.size());
        if (page.drops > 0) {
            --page.drops;
            body = body.substr(0, page.drop_after);
        }
        send_all(connection, "HTTP/1.1 " + status + "\r\n" + more + "Content-Length: " + length +
                                 "\r\nConnection: close\r\n\r\n" + body);
    }

    mutable std::mutex mutex_;
    std::map<std::string, Page> pages_;
    std::vector<std::string> asked_;
    Descriptor listener_;
    int port_ = 0;
    std::atomic<bool> stopping_ = false;
    std::thread thread_;
};

}  // namespace makina
