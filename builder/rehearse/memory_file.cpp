#include "builder/rehearse/memory_file.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "firstboot/bundle/error.hpp"

namespace makina {

MemoryFile::MemoryFile(std::initializer_list<std::string_view> parts)
    : file_(memfd_create("makina-rehearse", MFD_CLOEXEC)) {
    if (!file_) throw_system("making a file in memory");
    for (std::string_view part : parts) {
        while (!part.empty()) {
            const ssize_t count = write(file_.get(), part.data(), part.size());
            if (count < 0 && errno == EINTR) continue;
            if (count <= 0) throw_system("filling a file in memory");
            part.remove_prefix(static_cast<std::size_t>(count));
        }
    }
}

}  // namespace makina
