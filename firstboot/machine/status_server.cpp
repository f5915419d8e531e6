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
#include <cerrno>
#include <vector>

#include "firstboot/bundle/error.hpp"
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

Descriptor page_listener(const std::string& text, std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    const std::string where = text + ":" + std::to_string(port);
    if (inet_pton(AF_INET, text.c_str(), &address.sin_addr) != 1 || address.sin_addr.s_addr == INADDR_ANY) {
        throw Error("no address for the status page: " + where);
    }
    Descriptor listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int yes = 1;
    if (!listener || setsockopt(listener.get(), IPPROTO_IP, IP_FREEBIND, &yes, sizeof yes) != 0 ||
        setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
        bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        listen(listener.get(), backlog) != 0) {
        throw_system("opening the status page at " + where);
    }
    return listener;
}

std::ptrdiff_t count_of(const std::vector<Connection>& all, Connection::Kind kind) {
    return std::count_if(all.begin(), all.end(), [&](const Connection& one) { return one.kind() == kind; });
}

/// Takes who waits, as far as there is room.
void accept_waiting(const Descriptor& listener, Connection::Kind kind, const Documents& documents,
                    std::vector<Connection>& all) {
    for (auto room = most_of_a_kind - count_of(all, kind); room > 0; --room) {
        Descriptor socket(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!socket) return;
        all.emplace_back(std::move(socket), kind, documents, steady_milliseconds());
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

void StatusServer::publish(Documents documents) {
    const std::scoped_lock lock(mutex_);
    documents_ = std::make_shared<const Documents>(std::move(documents));
}

void StatusServer::open_page(const std::string& address, std::uint16_t port) {
    const std::string where = address + ":" + std::to_string(port);
    if (page_address_ == where) return;
    Descriptor listener = page_listener(address, port);
    page_address_ = where;
    {
        const std::scoped_lock lock(mutex_);
        new_page_ = std::move(listener);
    }
    wake();
}

void StatusServer::serve() {
    std::vector<Connection> all;
    for (;;) {
        std::shared_ptr<const Documents> documents;
        {
            const std::scoped_lock lock(mutex_);
            if (stopping_) return;
            if (new_page_) page_ = std::exchange(new_page_, Descriptor());
            documents = documents_;
        }
        // While a kind is full its listener is not asked, and the kernel keeps or refuses who comes: -1 is skipped.
        const bool local_full = count_of(all, Connection::Kind::local) >= most_of_a_kind;
        const bool page_full = count_of(all, Connection::Kind::page) >= most_of_a_kind;
        std::vector<pollfd> waiting = {{wake_.get(), POLLIN, 0},
                                       {local_full ? -1 : local_.get(), POLLIN, 0},
                                       {page_full ? -1 : page_.get(), POLLIN, 0}};
        for (const Connection& one : all) waiting.push_back({one.socket(), one.events(), 0});
        // Deadlines are looked at four times a second, and only while somebody is connected.
        if (poll(waiting.data(), waiting.size(), all.empty() ? -1 : 250) < 0 && errno != EINTR) return;

        std::uint64_t count = 0;
        (void)!read(wake_.get(), &count, sizeof count);
        for (std::size_t at = 0; at < all.size(); ++at) {
            if (waiting[at + 3].revents != 0) all[at].go_on(*documents);
        }
        const std::int64_t now = steady_milliseconds();
        std::erase_if(all, [&](const Connection& one) { return one.over(now); });
        if (waiting[1].revents != 0) accept_waiting(local_, Connection::Kind::local, *documents, all);
        if (waiting[2].revents != 0) accept_waiting(page_, Connection::Kind::page, *documents, all);
    }
}

}  // namespace makina
