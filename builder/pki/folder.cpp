#include "builder/pki/folder.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <thread>

#include "builder/pki/pki.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

constexpr mode_t others = 077;

Descriptor open_folder(const std::filesystem::path& folder) {
    Descriptor descriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!descriptor) throw_system(folder.string());
    return descriptor;
}

std::filesystem::path parent_of(const std::filesystem::path& path) {
    return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

void sync(const Descriptor& descriptor, const std::filesystem::path& path) {
    if (fsync(descriptor.get()) != 0) throw_system("syncing " + path.string());
}

void write_all(const Descriptor& file, std::string_view content, const std::filesystem::path& path) {
    while (!content.empty()) {
        const ssize_t count = ::write(file.get(), content.data(), content.size());
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) throw_system("writing " + path.string());
        content.remove_prefix(static_cast<std::size_t>(count));
    }
}

void rename_durably(const std::filesystem::path& from, const std::filesystem::path& to) {
    if (std::rename(from.c_str(), to.c_str()) != 0) throw_system("renaming " + from.string() + " to " + to.string());
    sync_folder(parent_of(to));
}

std::filesystem::path beside(const std::filesystem::path& path, const char* suffix) {
    return parent_of(path) / ("." + path.filename().string() + suffix);
}

/// What root makes belongs to whom the folder around it belongs to: with sudo, a person's keys stay the person's.
void give_to_owner_of(const std::filesystem::path& folder, const Descriptor& made) {
    struct stat facts {};
    if (geteuid() != 0 || stat(folder.c_str(), &facts) != 0 || facts.st_uid == 0) return;
    // In a container the kernel may know no such owner: there it stays ours.
    if (fchown(made.get(), facts.st_uid, facts.st_gid) != 0 && errno != EINVAL && errno != EPERM) {
        throw_system("giving what is made in " + folder.string() + " to its owner");
    }
}

bool is_owned_as(const std::filesystem::path& folder, const struct stat& facts) {
    struct stat around {};
    return stat(folder.c_str(), &around) == 0 && around.st_uid == facts.st_uid;
}

/// mkdir(2) obeys the umask; the mode is set again.
Descriptor make_private(const std::filesystem::path& folder) {
    if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) throw_system("making " + folder.string());
    Descriptor descriptor = open_folder(folder);
    struct stat facts {};
    if (fstat(descriptor.get(), &facts) != 0) throw_system(folder.string());
    const bool is_ours = facts.st_uid == geteuid() || (geteuid() == 0 && is_owned_as(parent_of(folder), facts));
    if (!is_ours) throw Error(folder.string() + " belongs to another user: remove it");
    give_to_owner_of(parent_of(folder), descriptor);
    if (fchmod(descriptor.get(), 0700) != 0) throw_system(folder.string());
    return descriptor;
}

/// The bytes are overwritten before the name goes; a flash memory may keep older copies all the same.
void wipe_file(const std::filesystem::path& file) {
    struct stat facts {};
    const Descriptor descriptor(::open(file.c_str(), O_WRONLY | O_NOFOLLOW | O_CLOEXEC));
    if (descriptor && fstat(descriptor.get(), &facts) == 0 && S_ISREG(facts.st_mode)) {
        write_all(descriptor, std::string(static_cast<std::size_t>(facts.st_size), '\0'), file);
        sync(descriptor, file);
    }
    if (unlink(file.c_str()) != 0) throw_system("removing " + file.string());
}

void remove_folder(const std::filesystem::path& folder);

void wipe_content(const std::filesystem::path& folder) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        if (entry.is_directory() && !entry.is_symlink()) {
            remove_folder(entry.path());
        } else {
            wipe_file(entry.path());
        }
    }
}

void remove_folder(const std::filesystem::path& folder) {
    wipe_content(folder);
    if (rmdir(folder.c_str()) != 0) throw_system("removing " + folder.string());
}

bool is_same_file(const Descriptor& descriptor, const std::filesystem::path& path) {
    struct stat opened {};
    struct stat named {};
    return fstat(descriptor.get(), &opened) == 0 && lstat(path.c_str(), &named) == 0 && opened.st_ino == named.st_ino &&
           opened.st_dev == named.st_dev;
}

bool ends_with(const std::string& text, const std::string& end) {
    return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

void fill(const std::filesystem::path& folder, const Files& files) {
    for (const auto& [name, content] : files) {
        const std::filesystem::path file = folder / name;
        if (file.parent_path() != folder) (void)make_private(file.parent_path());
        write_new(file, content);
    }
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        if (entry.is_directory()) sync_folder(entry.path());
    }
    sync_folder(folder);
}

/// Folders above ours that are missing, such as ~/.config; private, since nobody said otherwise.
void make_parents(const std::filesystem::path& folder) {
    const std::filesystem::path parent = parent_of(folder);
    if (std::filesystem::exists(parent)) return;
    make_parents(parent);
    (void)make_private(parent);
    sync_folder(parent_of(parent));
}

}  // namespace

void sync_folder(const std::filesystem::path& folder) {
    sync(open_folder(folder), folder);
}

std::string read_private(const std::filesystem::path& file, std::uint64_t most) {
    // A pipe in its place must not hold us up.
    const Descriptor descriptor(::open(file.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!descriptor) throw_system("reading " + file.string());
    struct stat facts {};
    if (fstat(descriptor.get(), &facts) != 0) throw_system("reading " + file.string());
    if (!S_ISREG(facts.st_mode)) throw Error(file.string() + " is no regular file");
    if ((facts.st_mode & others) != 0) throw Error(file.string() + " can be read by others: chmod 600 it");
    std::string content;
    std::array<char, 65536> buffer{};
    for (;;) {
        const ssize_t count = ::read(descriptor.get(), buffer.data(), buffer.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) throw_system("reading " + file.string());
        if (count == 0) return content;
        content.append(buffer.data(), static_cast<std::size_t>(count));
        if (content.size() > most) throw Error(file.string() + " is larger than it can be");
    }
}

void write_new(const std::filesystem::path& file, std::string_view content) {
    const Descriptor descriptor(::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!descriptor) throw_system("making " + file.string());
    if (fchmod(descriptor.get(), 0600) != 0) throw_system("making " + file.string());
    try {
        give_to_owner_of(parent_of(file), descriptor);
        write_all(descriptor, content, file);
        sync(descriptor, file);
    } catch (const Error&) {
        unlink(file.c_str());
        throw;
    }
}

void make_private_folders(const std::filesystem::path& file) {
    make_parents(file);
}

void write_private(const std::filesystem::path& file, std::string_view content) {
    write_new(file, content);
    sync_folder(parent_of(file));
}

void replace_file(const std::filesystem::path& file, std::string_view content) {
    const std::filesystem::path fresh = beside(file, ".new");
    if (unlink(fresh.c_str()) != 0 && errno != ENOENT) throw_system("removing " + fresh.string());
    write_new(fresh, content);
    rename_durably(fresh, file);
}

void make_folder(const std::filesystem::path& folder, const Files& files) {
    make_parents(folder);
    const std::filesystem::path making = beside(folder, ".making");
    const Descriptor own = make_private(making);
    // Whoever else is making it has renamed it by now, or holds it.
    if (flock(own.get(), LOCK_EX | LOCK_NB) != 0 || !is_same_file(own, making)) {
        throw Error(folder.string() + " is being made by another makina-image");
    }
    wipe_content(making);
    try {
        fill(making, files);
        if (has_entries(folder)) throw Error(folder.string() + " exists already: keys are never overwritten");
        rename_durably(making, folder);
    } catch (const std::exception&) {
        // What cannot be finished is not left behind: it has keys in it.
        if (is_same_file(own, making)) remove_folder(making);
        throw;
    }
}

void wipe_folder(const std::filesystem::path& folder) {
    const std::filesystem::path wiping = beside(folder, ".wiping");
    rename_durably(folder, wiping);
    remove_folder(wiping);
    sync_folder(parent_of(wiping));
}

void clean_folder(const std::filesystem::path& folder) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        const std::string name = entry.path().filename();
        if (name.front() != '.') continue;
        if (entry.is_directory() && (ends_with(name, ".making") || ends_with(name, ".wiping"))) {
            remove_folder(entry.path());
        } else if (entry.is_regular_file() && ends_with(name, ".new")) {
            wipe_file(entry.path());
        }
    }
}

Descriptor lock_folder(const std::filesystem::path& folder) {
    Descriptor descriptor = open_folder(folder);
    struct stat facts {};
    if (fstat(descriptor.get(), &facts) != 0) throw_system(folder.string());
    if (facts.st_uid != geteuid() && geteuid() != 0) throw Error(folder.string() + " belongs to another user");
    if ((facts.st_mode & others) != 0) {
        throw Error(folder.string() + " can be read by others: chmod 700 it, and think of its keys as known");
    }
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (flock(descriptor.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) throw_system("locking " + folder.string());
        if (std::chrono::steady_clock::now() > give_up) {
            throw Error(folder.string() + " is in use by another makina-image: wait until it ends");
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return descriptor;
}

bool has_entries(const std::filesystem::path& folder) {
    struct stat facts {};
    if (lstat(folder.c_str(), &facts) != 0) {
        if (errno == ENOENT) return false;
        throw_system(folder.string());
    }
    if (!S_ISDIR(facts.st_mode)) throw Error(folder.string() + " is no folder");
    return std::filesystem::directory_iterator(folder) != std::filesystem::directory_iterator();
}

}  // namespace makina
