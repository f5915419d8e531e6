#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "firstboot/bundle/handle.hpp"
#include "tests/lab/lab.hpp"

namespace makina::border {

// Who talks to whom. All of it runs in threads of this process with sockets of the machines' networks.

/// Where a server is, as a client sees it.
struct Place {
    std::string address;
    std::uint16_t port = 0;
};

/// A server on every address of a machine whose power stays on. It tells each client at once who it is, "192.168.1.21",
/// in a line; then it repeats what it hears, or talks by itself.
class Server {
  public:
    enum class Manner { repeats, talks };
    Server(const lab::Machine& machine, std::uint16_t port, Manner manner = Manner::repeats);
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;
    ~Server();
    /// How many have come so far.
    [[nodiscard]] std::uint64_t clients() const { return clients_; }

  private:
    void serve(Manner manner);

    Descriptor socket_;
    std::atomic<std::uint64_t> clients_ = 0;
    std::atomic<bool> ending_ = false;
    std::thread thread_;
};

/// What the server at `to` says who the client is; nothing if it does not answer within `seconds`. `source` is the
/// client's own address, if it has several.
[[nodiscard]] std::optional<std::string> ask(const lab::Machine& from, const Place& to, double seconds = 1,
                                             const std::string& source = "");

/// The same over UDP; the server repeats what it hears.
class UdpServer {
  public:
    UdpServer(const lab::Machine& machine, std::uint16_t port);
    /// What has come since the last time, and from where: "192.168.1.1 hello"; repeats it. Nothing after `seconds`.
    [[nodiscard]] std::optional<std::string> hear(double seconds);

  private:
    Descriptor socket_;
};
/// Sends a word from `source` and gives what comes back within `seconds`.
[[nodiscard]] std::optional<std::string> say(const lab::Machine& from, const Place& to, const std::string& word,
                                             const std::string& source, UdpServer& server);

/// Opens a new connection twenty times a second, whatever became of the earlier ones.
class Prober {
  public:
    Prober(const lab::Machine& from, Place to);
    Prober(const Prober&) = delete;
    Prober& operator=(const Prober&) = delete;
    ~Prober();

    /// The longest time without an answer, from `begin` to now; in seconds of lab::steady_seconds().
    [[nodiscard]] double longest_silence(double begin) const;
    /// True if every one of the last `count` attempts that have ended was answered, all begun after `begin`.
    [[nodiscard]] bool is_well(double begin, std::size_t count) const;

  private:
    struct Attempt {
        double begun = 0, ended = 0;
        bool answered = false;
    };
    void probe(const lab::fs::path& network, const Place& to);

    std::atomic<bool> ending_ = false;
    mutable std::mutex mutex_;
    std::vector<Attempt> attempts_;  ///< that have ended
    std::thread thread_;
};

/// One connection that is used all the time: what comes is compared with what must come.
class Transfer {
  public:
    Transfer(const lab::Machine& from, const Place& to, Server::Manner manner);
    Transfer(const Transfer&) = delete;
    Transfer& operator=(const Transfer&) = delete;
    ~Transfer();

    [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
    /// True if more has come after this, within `seconds`, and nothing wrong ever.
    [[nodiscard]] bool goes_on(double seconds) const;
    /// True if the connection was ended, reset, or brought something else than it should.
    [[nodiscard]] bool is_broken() const { return broken_; }

  private:
    void use(Server::Manner manner);

    Descriptor socket_;
    std::atomic<std::uint64_t> bytes_ = 0;
    std::atomic<bool> broken_ = false;
    std::atomic<bool> ending_ = false;
    std::thread thread_;
};

}  // namespace makina::border
