#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>

#include "firstboot/bundle/error.hpp"
#include "firstboot/machine/accounts.hpp"
#include "firstboot/machine/files.hpp"

namespace makina {
namespace {

/// Folders that are made for a file: nobody else may look into them if the file is not for others, but who owns the
/// file must get there.
Access folder_access(const Access& file) {
    if ((file.mode & 07U) != 0) return {0755, "root", "root"};
    return {file.group == "root" ? 0700U : 0750U, "root", file.group};
}

/// Overwrites and removes a regular file; false if there is none.
bool wipe_at(int folder, const std::string& name, const std::string& path) {
    const Descriptor file(openat(folder, name.c_str(), O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
    if (!file && errno == ENOENT) return false;
    struct stat facts {};
    if (!file || fstat(file.get(), &facts) != 0) throw_system("wiping " + path);
    if (!S_ISREG(facts.st_mode)) throw Error("wiping " + path + ": it is no regular file");
    during("wiping " + path, [&] { overwrite(file.get()); });
    if (unlinkat(folder, name.c_str(), 0) != 0) throw_system("removing " + path);
    return true;
}

std::string beside(const std::string& name) {
    return "." + name + ".makina-new";
}

/// Gives two files each other's name, if the other is a regular file.
bool exchange(int folder, const std::string& name, const std::string& other) {
    struct stat facts {};
    if (fstatat(folder, other.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(facts.st_mode)) return false;
    if (renameat2(folder, name.c_str(), folder, other.c_str(), RENAME_EXCHANGE) != 0) throw_system("exchanging");
    return true;
}

void fill(int file, const std::string& content, const Access& access, const Files& files) {
    write_all(file, content);
    if (fchown(file, user_id(files, access.user), group_id(files, access.group)) != 0) {
        throw_system("giving it to " + access.user + ":" + access.group);
    }
    if (fchmod(file, access.mode) != 0) throw_system("setting its mode");
    if (fsync(file) != 0) throw_system("syncing");
}

}  // namespace

void write_all(int file, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t count = ::write(file, bytes.data(), bytes.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) throw_system("writing");
        bytes.remove_prefix(static_cast<std::size_t>(count));
    }
}

void sync_folder(int folder) {
    if (fsync(folder) != 0) throw_system("syncing a folder");
}

void overwrite(int file) {
    static constexpr std::array<char, 16384> zeros{};
    struct stat facts {};
    if (fstat(file, &facts) != 0) throw_system("asking for its size");
    for (off_t at = 0; at < facts.st_size;) {
        const auto size = std::min<off_t>(zeros.size(), facts.st_size - at);
        const ssize_t count = pwrite(file, zeros.data(), static_cast<std::size_t>(size), at);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) throw_system("overwriting");
        at += count;
    }
    if (fsync(file) != 0) throw_system("syncing");
}

void Files::write(const std::string& path, const std::string& content, const Access& access) const {
    put(path, content, access, Before::leave);
}

void Files::replace(const std::string& path, const std::string& content, const Access& access) const {
    put(path, content, access, Before::overwrite);
}

void Files::put(const std::string& path, const std::string& content, const Access& access, Before before) const {
    const Access above = folder_access(access);
    const Place place = find(path, Links::keep, &above);
    if (!place.folder || place.name == ".") throw Error("writing " + path + ": a part of the path is no folder");
    // There is one daemon, so one name is enough, and what a cut left behind is found again.
    const std::string fresh = beside(place.name);
    const int folder = place.folder.get();
    during("writing " + path, [&] {
        (void)wipe_at(folder, fresh, fresh);
        const Descriptor file(
            openat(folder, fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
        if (!file) throw_system("making the new file");
        bool exchanged = false;
        try {
            fill(file.get(), content, access, *this);
            exchanged = before == Before::overwrite && exchange(folder, fresh, place.name);
            if (!exchanged && renameat(folder, fresh.c_str(), folder, place.name.c_str()) != 0) {
                throw_system("renaming");
            }
        } catch (const Error&) {
            (void)unlinkat(folder, fresh.c_str(), 0);
            throw;
        }
        sync_folder(folder);
        if (exchanged && wipe_at(folder, fresh, fresh)) sync_folder(folder);
    });
}

void Files::clear_beside(const std::string& path) const {
    const Place place = find(path, Links::keep);
    if (!place.folder || !wipe_at(place.folder.get(), beside(place.name), path)) return;
    during("wiping " + path, [&] { sync_folder(place.folder.get()); });
}

void Files::sync(const std::string& path) const {
    const Descriptor opened = folder(path);
    if (!opened) return;
    during("syncing " + path, [&] {
        for (const std::string& name : list(path)) {
            struct stat facts {};
            if (fstatat(opened.get(), name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0) throw_system(name);
            if (!S_ISREG(facts.st_mode)) continue;
            const Descriptor file(openat(opened.get(), name.c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
            if (!file || fsync(file.get()) != 0) throw_system(name);
        }
        sync_folder(opened.get());
    });
}

void Files::remove(const std::string& path) const {
    const Place place = find(path, Links::keep);
    if (!place.folder) return;
    if (unlinkat(place.folder.get(), place.name.c_str(), 0) != 0) {
        if (errno == ENOENT) return;
        throw_system("removing " + path);
    }
    during("removing " + path, [&] { sync_folder(place.folder.get()); });
}

void Files::wipe(const std::string& path) const {
    const Place place = find(path, Links::keep);
    if (!place.folder) return;
    // What a cut left beside it while it was written is as secret.
    const bool other = wipe_at(place.folder.get(), beside(place.name), path);
    const bool itself = wipe_at(place.folder.get(), place.name, path);
    if (other || itself) during("wiping " + path, [&] { sync_folder(place.folder.get()); });
}

void Files::rename(const std::string& path, const std::string& name) const {
    const Place place = find(path, Links::keep);
    if (!place.folder) return;
    if (renameat2(place.folder.get(), place.name.c_str(), place.folder.get(), name.c_str(), RENAME_NOREPLACE) != 0) {
        if (errno == ENOENT) return;
        throw_system("renaming " + path + " to " + name);
    }
    during("renaming " + path, [&] { sync_folder(place.folder.get()); });
}

}  // namespace makina
