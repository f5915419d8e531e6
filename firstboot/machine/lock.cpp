#include "firstboot/machine/lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

#include "firstboot/bundle/error.hpp"
#include "firstboot/machine/status_server.hpp"

namespace makina {

Descriptor take_lock(const Files& files) {
    const std::string name = std::string(status_folder) + "/lock";
    const Descriptor folder = files.make_folder(status_folder, {0755, "root", "root"});
    Descriptor lock(openat(folder.get(), "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644));
    if (!lock) throw_system("opening " + name);
    if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK) throw_system("locking " + name);
        std::array<char, 16> number{};
        const ssize_t size = pread(lock.get(), number.data(), number.size(), 0);
        const std::string other(number.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
        throw Error("another makina-firstboot is running: process " + other.substr(0, other.find('\n')));
    }
    if (ftruncate(lock.get(), 0) != 0) throw_system("writing " + name);
    during("locking " + name, [&] { write_all(lock.get(), std::to_string(getpid()) + "\n"); });
    return lock;
}

}  // namespace makina
