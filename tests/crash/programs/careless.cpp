#include "tests/crash/programs/careless.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>

#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/handle.hpp"

namespace makina::crash {
namespace {

Descriptor open_file(const std::filesystem::path& path, int flags, mode_t mode) {
    Descriptor file(::open(path.c_str(), flags | O_CLOEXEC, mode));
    if (!file) throw_system("opening " + path.string());
    return file;
}

void fill(int file, std::string_view content) {
    while (!content.empty()) {
        const ssize_t done = ::write(file, content.data(), content.size());
        if (done <= 0) throw_system("writing");
        content.remove_prefix(static_cast<std::size_t>(done));
    }
}

void sync(int file) {
    if (::fsync(file) != 0) throw_system("syncing");
}

void sync_folder(const std::filesystem::path& folder) {
    sync(open_file(folder, O_RDONLY | O_DIRECTORY, 0).get());
}

}  // namespace

std::optional<Fault> fault_named(std::string_view name) {
    static const std::map<std::string_view, Fault> names = {{"none", Fault::none},
                                                            {"file-not-synced", Fault::file_not_synced},
                                                            {"folder-not-synced", Fault::folder_not_synced},
                                                            {"in-place", Fault::in_place},
                                                            {"secrets-first", Fault::secrets_first}};
    const auto found = names.find(name);
    return found == names.end() ? std::nullopt : std::optional(found->second);
}

void write_file(const std::filesystem::path& path, const std::string& content, mode_t mode, Fault fault) {
    if (fault == Fault::in_place && std::filesystem::exists(path)) {
        const Descriptor file = open_file(path, O_WRONLY, mode);
        fill(file.get(), content);
        if (::ftruncate(file.get(), static_cast<off_t>(content.size())) != 0) throw_system("truncating");
        sync(file.get());
        return;
    }
    const std::filesystem::path beside = path.string() + ".new";
    const Descriptor file = open_file(beside, O_WRONLY | O_CREAT | O_TRUNC, mode);
    fill(file.get(), content);
    if (fault != Fault::file_not_synced) sync(file.get());
    std::filesystem::rename(beside, path);
    if (fault != Fault::folder_not_synced) sync_folder(path.parent_path());
}

void wipe_file(const std::filesystem::path& path, Fault fault) {
    if (!std::filesystem::exists(path)) return;
    {
        const Descriptor file = open_file(path, O_WRONLY, 0);
        fill(file.get(), std::string(std::filesystem::file_size(path), '\0'));
        // Enough for content that lies where it lay; it is no barrier for the folder's changes.
        const int synced = fault == Fault::folder_not_synced ? ::fdatasync(file.get()) : ::fsync(file.get());
        if (synced != 0) throw_system("syncing");
    }
    std::filesystem::remove(path);
    sync_folder(path.parent_path());
}

}  // namespace makina::crash
