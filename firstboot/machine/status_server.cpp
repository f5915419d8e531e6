#include "firstboot/machine/status_server.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

#include "firstboot/bundle/error.hpp"
#include "firstboot/machine/channel.hpp"
#include "firstboot/machine/connection.hpp"
#include "firstboot/machine/supervisor.hpp"

namespace makina {
namespace {

constexpr std::ptrdiff_t most_of_a_kind = 16;
constexpr int backlog = 256;

Descriptor local_listener(const Files& files) {
    const Descriptor folder = files.make_folder(status_folder, {0755, "root", "root"});
    // What an instance that was killed has left behind.
    (void)unlinkat(folder.get(), status_socket, 0);
    Descriptor listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    // A socket's name has 107 bytes at most, and a root folder may be deep.
    const std::string name = "/proc/self/fd/" + std::to_string(folder.get()) + "/" + status_socket;
    name.copy(address.sun_path, sizeof address.sun_path - 1);
    if (!listener || bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        fchmodat(folder.get(), status_socket, 0666, 0) != 0 || listen(listener.get(), backlog) != 0) {
        throw_system(std::string("making the socket ") + status_folder + "/" + status_socket);
    }
    return listener;
}

Descriptor listener_at(const std::string& text, std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    const std::string where = text + ":" + std::to_string(port);
    if (inet_pton(AF_INET, text.c_str(), &address.sin_addr) != 1 || address.sin_addr.s_addr == INADDR_ANY) {
        throw Error("no address to answer at: " + where);
    }
    Descriptor listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int yes = 1;
    if (!listener || setsockopt(listener.get(), IPPROTO_IP, IP_FREEBIND, &yes, sizeof yes) != 0 ||
        setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
        bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        listen(listener.get(), backlog) != 0) {
        throw_system("opening " + where);
    }
    return listener;
}

std::ptrdiff_t count_of(const std::vector<Connection>& all, Connection::Kind kind) {
    return std::count_if(all.begin(), all.end(), [&](const Connection& one) { return one.kind() == kind; });
}

/// Takes who waits, as far as there is room.
void accept_waiting(const Descriptor& listener, Connection::Kind kind, const std::optional<Tls>& tls,
                    const Documents& documents, std::vector<Connection>& all) {
    for (auto room = most_of_a_kind - count_of(all, kind); room > 0; --room) {
        Descriptor socket(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!socket) return;
        try {
            all.emplace_back(Channel(std::move(socket), tls ? tls->server() : nullptr), kind, documents,
                             steady_milliseconds());
        } catch (const Error&) {
            // Short of memory: whoever asked asks again.
            return;
        }
        all.back().go_on(documents);
    }
}

}  // namespace

StatusServer::StatusServer(const Files& files)
    : documents_(std::make_shared<const Documents>()),
      local_(local_listener(files)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!wake_) throw_system("making an event");
    thread_ = std::thread([this] { serve(); });
}

StatusServer::~StatusServer() {
    {
        const std::scoped_lock lock(mutex_);
        stopping_ = true;
    }
    wake();
    thread_.join();
}

void StatusServer::wake() const {
    const std::uint64_t one = 1;
    (void)!write(wake_.get(), &one, sizeof one);
}

void StatusServer::publish(std::string json, std::string html) {
    const std::scoped_lock lock(mutex_);
    documents_ = std::make_shared<const Documents>(Documents{std::move(json), std::move(html), documents_->statement});
}

void StatusServer::state(std::string statement) {
    const std::scoped_lock lock(mutex_);
    documents_ = std::make_shared<const Documents>(Documents{documents_->json, documents_->html, std::move(statement)});
}

void StatusServer::open(Door& door, const std::vector<std::string>& addresses, std::uint16_t port) {
    Door next;
    for (const std::string& address : addresses) {
        const std::string place = address + ":" + std::to_string(port);
        const auto found = door.find(place);
        next[place] =
            found != door.end() ? found->second : std::make_shared<const Descriptor>(listener_at(address, port));
    }
    if (next == door) return;
    {
        const std::scoped_lock lock(mutex_);
        door = std::move(next);
    }
    wake();
}

void StatusServer::open_page(const std::vector<std::string>& addresses, std::uint16_t port) {
    during("the status page", [&] { open(page_, addresses, port); });
}

void StatusServer::open_peers(const std::string& address, std::uint16_t port, const Tls& tls) {
    {
        const std::scoped_lock lock(mutex_);
        tls_ = tls;
    }
    during("answering other nodes", [&] { open(peers_, {address}, port); });
}

void StatusServer::serve() {
    std::vector<Connection> all;
    for (;;) {
        std::shared_ptr<const Documents> documents;
        std::optional<Tls> tls;
        Door page, peers;
        {
            const std::scoped_lock lock(mutex_);
            if (stopping_) return;
            page = page_;
            peers = peers_;
            documents = documents_;
            tls = tls_;
        }
        using Kind = Connection::Kind;
        std::vector<std::pair<Kind, const Descriptor*>> entrances = {{Kind::local, &local_}};
        for (const auto& [place, listener] : page) entrances.emplace_back(Kind::page, listener.get());
        for (const auto& [place, listener] : peers) entrances.emplace_back(Kind::peer, listener.get());
        std::vector<pollfd> waiting = {{wake_.get(), POLLIN, 0}};
        for (const auto& [kind, door] : entrances) {
            // While a kind is full its listener is not asked, and the kernel keeps or refuses who comes: -1 is skipped.
            waiting.push_back({count_of(all, kind) >= most_of_a_kind ? -1 : door->get(), POLLIN, 0});
        }
        const std::size_t first = waiting.size();
        for (const Connection& one : all) waiting.push_back({one.socket(), one.events(), 0});
        // Deadlines are looked at four times a second, and only while somebody is connected.
        if (poll(waiting.data(), waiting.size(), all.empty() ? -1 : 250) < 0 && errno != EINTR) return;

        std::uint64_t count = 0;
        (void)!read(wake_.get(), &count, sizeof count);
        for (std::size_t at = 0; at < all.size(); ++at) {
            if (waiting[at + first].revents != 0) all[at].go_on(*documents);
        }
        const std::int64_t now = steady_milliseconds();
        std::erase_if(all, [&](const Connection& one) { return one.over(now); });
        for (std::size_t at = 0; at < entrances.size(); ++at) {
            if (waiting[at + 1].revents == 0) continue;
            const auto& [kind, door] = entrances[at];
            accept_waiting(*door, kind, kind == Kind::peer ? tls : std::nullopt, *documents, all);
        }
    }
}

}  // namespace makina
