#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <optional>

#include "firstboot/bundle/error.hpp"
#include "firstboot/machine/files.hpp"
#include "firstboot/machine/machine.hpp"
#include "firstboot/machine/status_server.hpp"
#include "firstboot/machine/supervisor.hpp"

namespace makina {
namespace {

constexpr std::size_t largest = std::size_t{1} << 20;
constexpr std::int64_t patience = 3'000;  // milliseconds

Descriptor connected(const Descriptor& folder) {
    Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string name = "/proc/self/fd/" + std::to_string(folder.get()) + "/" + status_socket;
    name.copy(address.sun_path, sizeof address.sun_path - 1);
    if (!socket || connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return {};
    return socket;
}

/// All that is sent until the end; nothing if it does not come in time.
std::optional<std::string> received(const Descriptor& socket) {
    std::string text;
    std::array<char, 4096> buffer{};
    const std::int64_t end = steady_milliseconds() + patience;
    while (text.size() <= largest) {
        const std::int64_t left = end - steady_milliseconds();
        pollfd waiting{socket.get(), POLLIN, 0};
        if (left <= 0 || (poll(&waiting, 1, static_cast<int>(left)) < 0 && errno != EINTR)) return std::nullopt;
        const ssize_t count = recv(socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (count < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (count < 0) return std::nullopt;
        if (count == 0) return text;
        text.append(buffer.data(), static_cast<std::size_t>(count));
    }
    return std::nullopt;
}

}  // namespace

std::string ask_status(const std::filesystem::path& root) {
    const Files files(root);
    if (const Descriptor folder = files.folder(status_folder)) {
        if (const Descriptor socket = connected(folder)) {
            auto text = received(socket);
            if (text && !text->empty()) return *text;
        }
    }
    const std::string file = std::string(status_folder) + "/" + status_file;
    if (auto text = files.read(file, largest)) return *text;
    throw Error("makina-firstboot does not run here, and has left no " + file);
}

}  // namespace makina
