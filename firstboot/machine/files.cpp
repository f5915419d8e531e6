#include "firstboot/machine/files.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <limits>

#include "firstboot/bundle/error.hpp"
#include "firstboot/machine/accounts.hpp"

namespace makina {
namespace {

/// In bytes: 64 TiB.
constexpr __u64 largest_disk = __u64{1} << 46;
constexpr int folder_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

/// The names of a path, the last first: what is still to be walked.
void push_names(std::vector<std::string>& names, const std::string& path) {
    std::vector<std::string> found;
    for (std::size_t begin = 0; begin < path.size();) {
        const std::size_t end = std::min(path.find('/', begin), path.size());
        if (end > begin && path.compare(begin, end - begin, ".") != 0) found.push_back(path.substr(begin, end - begin));
        begin = end + 1;
    }
    names.insert(names.end(), found.rbegin(), found.rend());
}

std::optional<std::string> link_target(int folder, const std::string& name) {
    std::array<char, PATH_MAX> target{};
    const ssize_t size = readlinkat(folder, name.c_str(), target.data(), target.size());
    if (size < 0) return std::nullopt;
    return std::string(target.data(), static_cast<std::size_t>(size));
}

Descriptor duplicate(int descriptor) {
    Descriptor copy(fcntl(descriptor, F_DUPFD_CLOEXEC, 0));
    if (!copy) throw_system("duplicating a descriptor");
    return copy;
}

Descriptor new_folder(int above, const std::string& name, const Access& access, const Files& files) {
    if (mkdirat(above, name.c_str(), access.mode) != 0 && errno != EEXIST) throw_system("making the folder " + name);
    Descriptor folder(openat(above, name.c_str(), folder_flags));
    if (!folder) throw_system("opening the folder " + name);
    if (access.group != "root" && fchown(folder.get(), 0, group_id(files, access.group)) != 0) {
        throw_system("giving the folder " + name + " to " + access.group);
    }
    sync_folder(above);
    return folder;
}

bool absent(int error) {
    return error == ENOENT || error == ENOTDIR;
}

PathFacts::Kind kind_of(mode_t mode) {
    if (S_ISREG(mode)) return PathFacts::Kind::regular;
    if (S_ISDIR(mode)) return PathFacts::Kind::directory;
    return S_ISLNK(mode) ? PathFacts::Kind::symlink : PathFacts::Kind::other;
}

}  // namespace

Files::Files(const std::filesystem::path& root) : root_(open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    if (!root_) throw_system("the root folder " + root.string());
}

Files::Place Files::find(const std::string& path, Links links, const Access* made) const {
    constexpr int most_links = 40;  // as the kernel: path_resolution(7)
    std::vector<std::string> names;
    push_names(names, path);
    std::vector<Descriptor> way;
    way.push_back(duplicate(root_.get()));
    for (int followed = 0; !names.empty();) {
        const std::string name = std::move(names.back());
        names.pop_back();
        const int here = way.back().get();
        if (name == "..") {
            if (way.size() > 1) way.pop_back();
            continue;
        }
        if (names.empty() && links == Links::keep) return {std::move(way.back()), name};
        if (const auto target = link_target(here, name)) {
            if (++followed > most_links) throw Error(path + ": too many symbolic links");
            if (target->rfind('/', 0) == 0) way.resize(1);
            push_names(names, *target);
            continue;
        }
        if (names.empty()) return {std::move(way.back()), name};
        Descriptor next(openat(here, name.c_str(), folder_flags));
        if (!next && errno == ENOENT && made != nullptr) next = new_folder(here, name, *made, *this);
        if (!next && !absent(errno)) throw_system("opening " + path);
        if (!next) return {};
        way.push_back(std::move(next));
    }
    return {std::move(way.back()), "."};
}

Descriptor Files::folder(const std::string& path) const {
    const Place place = find(path, Links::follow);
    if (!place.folder) return {};
    Descriptor folder(openat(place.folder.get(), place.name.c_str(), folder_flags));
    if (!folder && !absent(errno)) throw_system("opening " + path);
    return folder;
}

Descriptor Files::make_folder(const std::string& path, const Access& access) const {
    // The last name is one to be made too: "x" below it is never looked at.
    return std::move(find(path + "/x", Links::keep, &access).folder);
}

std::optional<std::string> Files::read(const std::string& path, std::size_t cap) const {
    const Place place = find(path, Links::follow);
    if (!place.folder) return std::nullopt;
    // Without O_NONBLOCK a pipe in place of the file would hold the daemon for ever.
    const Descriptor file(
        openat(place.folder.get(), place.name.c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC));
    if (!file && absent(errno)) return std::nullopt;
    struct stat facts {};
    if (!file || fstat(file.get(), &facts) != 0) throw_system("reading " + path);
    if (!S_ISREG(facts.st_mode)) throw Error("reading " + path + ": it is no regular file");
    const auto too_large = [&] { throw Error("reading " + path + ": more than " + std::to_string(cap) + " bytes"); };
    if (static_cast<std::uint64_t>(facts.st_size) > cap) too_large();
    std::string content;
    std::array<char, 16384> buffer{};
    // Files of /proc and /sys say size 0, so the end is where reading ends.
    for (;;) {
        const ssize_t count = ::read(file.get(), buffer.data(), buffer.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) throw_system("reading " + path);
        if (count == 0) return content;
        content.append(buffer.data(), static_cast<std::size_t>(count));
        if (content.size() > cap) too_large();
    }
}

std::optional<PathFacts> Files::look(const std::string& path) const {
    const Place place = find(path, Links::keep);
    struct stat facts {};
    if (!place.folder) return std::nullopt;
    if (fstatat(place.folder.get(), place.name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0) {
        if (absent(errno)) return std::nullopt;
        throw_system("looking at " + path);
    }
    return PathFacts{kind_of(facts.st_mode),
                     static_cast<std::uint64_t>(facts.st_size),
                     facts.st_mtim.tv_sec,
                     {facts.st_mode & 07777U, user_name(*this, facts.st_uid), group_name(*this, facts.st_gid)}};
}

std::vector<std::string> Files::list(const std::string& path) const {
    const Descriptor opened = folder(path);
    if (!opened) return {};
    const Handle<DIR, closedir> stream(fdopendir(fcntl(opened.get(), F_DUPFD_CLOEXEC, 0)));
    if (!stream) throw_system("listing " + path);
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* const entry = readdir(stream.get())) {
        const std::string name = entry->d_name;
        if (name != "." && name != "..") names.push_back(name);
    }
    if (errno != 0) throw_system("listing " + path);
    std::sort(names.begin(), names.end());
    return names;
}

void Files::trim(const std::function<void()>& meanwhile) const {
    constexpr __u64 part = __u64{256} << 20;
    for (__u64 start = 0; start < largest_disk; start += part) {
        meanwhile();
        fstrim_range range{start, part, 0};
        if (ioctl(root_.get(), FITRIM, &range) == 0) continue;
        // Behind the end of the file system it is EINVAL. A card or a file system that cannot is no fault.
        if (errno == EOPNOTSUPP || errno == ENOTTY || errno == EINVAL || errno == EPERM || errno == EROFS) return;
        throw_system("telling the card which blocks are free");
    }
}

std::uint64_t Files::free_bytes() const {
    struct statvfs facts {};
    if (fstatvfs(root_.get(), &facts) != 0) throw_system("asking for the room on the root file system");
    return std::uint64_t{facts.f_bfree} * facts.f_frsize;
}

}  // namespace makina
