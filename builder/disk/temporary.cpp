#include "builder/disk/temporary.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>

#include "firstboot/bundle/error.hpp"

namespace makina {

TemporaryFile::TemporaryFile() {
    std::string name = (std::filesystem::temp_directory_path() / "makina-XXXXXX").string();
    file_ = Descriptor(mkstemp(name.data()));
    if (!file_) throw_system("making a temporary file in " + std::filesystem::temp_directory_path().string());
    // Without a name from the beginning, nothing stays behind if we are killed; programs that we start inherit it.
    unlink(name.c_str());
    path_ = "/proc/self/fd/" + std::to_string(file_.get());
}

void TemporaryFile::fill(std::string_view content) const {
    while (!content.empty()) {
        const ssize_t count = ::write(file_.get(), content.data(), content.size());
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) throw_system("writing " + path_.string());
        content.remove_prefix(static_cast<std::size_t>(count));
    }
}

}  // namespace makina
