#include <sys/stat.h>

#include <algorithm>
#include <set>

#include "builder/base/twin.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

constexpr const char* elf_magic =
    "\x7f"
    "ELF";

/// What a twin has that is its own: device nodes, caches, logs, identities that each node makes for itself, and the
/// package database, which is written for the node from its own packages.
bool belongs_to_twin(const std::string& path) {
    static const std::set<std::string> files = {"/etc/ld.so.cache",
                                                "/etc/machine-id",
                                                "/etc/hostname",
                                                "/etc/resolv.conf",
                                                "/var/lib/dpkg/status",
                                                "/var/lib/dpkg/status-old",
                                                "/var/lib/dpkg/available",
                                                "/var/lib/dpkg/arch",
                                                "/var/lib/dpkg/arch-native",
                                                "/var/lib/dpkg/lock",
                                                "/var/lib/dpkg/lock-frontend",
                                                "/var/lib/apt/extended_states",
                                                "/var/lib/dbus/machine-id",
                                                "/etc/apt/sources.list",
                                                "/var/lib/systemd/random-seed",
                                                "/usr/lib64"};
    static const std::vector<std::string> folders = {"/dev",
                                                     "/proc",
                                                     "/sys",
                                                     "/run",
                                                     "/tmp",
                                                     "/boot",
                                                     "/var/lib/dpkg/info",
                                                     "/var/lib/dpkg/updates",
                                                     "/var/cache/ldconfig",
                                                     "/var/cache/apt",
                                                     "/var/lib/apt/lists",
                                                     "/etc/apt/apt.conf.d/99mmdebstrap",
                                                     "/etc/dpkg/dpkg.cfg.d/99mmdebstrap",
                                                     "/var/lib/dpkg/parts"};
    if (files.count(path) != 0 || (path.rfind("/etc/ssh/ssh_host_", 0) == 0) || path.rfind("/.lib", 0) == 0)
        return true;
    if (path.rfind("/var/log/", 0) == 0 && path.size() > 4 && path.compare(path.size() - 4, 4, ".log") == 0)
        return true;
    for (const std::string& folder : folders) {
        if (path == folder || path.rfind(folder + "/", 0) == 0) return true;
    }
    return false;
}

/// An archive tells the size of a file with several names at the first of them, and each archive has its own order.
PackedFile with_size(const PackedFile& file, const Unpacked& all) {
    PackedFile whole = file;
    if (const auto first = all.find(file.hard_link); first != all.end()) whole.size = first->second.size;
    return whole;
}

bool same_content(const PackedFile& now, const PackedFile& before) {
    if ((now.mode & S_IFMT) != (before.mode & S_IFMT)) return false;
    if (S_ISLNK(now.mode)) return now.target == before.target;
    // dpkg keeps the time stamps of the package; whatever changes a file afterwards changes them. `built`, which every
    // later change bears, is newer than any time stamp in a package.
    return !S_ISREG(now.mode) || (now.size == before.size && now.mtime == before.mtime);
}

bool same_owner(const PackedFile& now, const PackedFile& before) {
    if (S_ISLNK(now.mode)) return true;
    return (now.mode & 07777U) == (before.mode & 07777U) && now.uid == before.uid && now.gid == before.gid &&
           now.xattrs == before.xattrs;
}

bool is_module_index(const std::string& path) {
    return path.rfind("/usr/lib/modules/", 0) == 0;
}

}  // namespace

Configuration read_configuration(const std::filesystem::path& twin, const Unpacked& unpacked,
                                 const Translation& translation) {
    Configuration result;
    Unpacked present;
    visit_tar(twin, [&](const PackedFile& file, const Content& content) {
        present[file.path] = file;
        if (file.path.rfind("/boot/initrd.img-", 0) == 0) {
            result.initramfs = content();
            return;
        }
        const auto before = unpacked.find(file.path);
        PackedFile renamed = file;
        renamed.path = translation.apply(file.path);
        renamed.target = translation.apply(file.target);
        if (belongs_to_twin(file.path)) {
            // Of apt's own folders the owner counts, not what is in them; but the .debs were put into the twin from
            // outside, so the owner of their folder is whoever builds.
            const bool folder = before != unpacked.end() && S_ISDIR(file.mode) && file.path.rfind("/var/", 0) == 0 &&
                                file.path != "/var/cache/apt/archives";
            if (folder && !same_owner(file, before->second)) result.changed.push_back(std::move(renamed));
            return;
        }
        if (before == unpacked.end() || !same_content(with_size(file, present), with_size(before->second, unpacked))) {
            if (!file.hard_link.empty()) throw Error("a maintainer script made the hard link " + file.path);
            std::string text = S_ISREG(file.mode) ? content() : std::string();
            if (text.rfind(elf_magic, 0) == 0) {
                throw Error("a maintainer script made the program " + file.path +
                            ": it is of this machine's architecture, and the node needs its own");
            }
            // Indexes of kernel modules hold names in a binary trie, where no architecture occurs.
            if (!is_module_index(file.path)) text = translation.apply(std::move(text));
            if (const auto end = translation.additions.find(file.path); end != translation.additions.end())
                text += end->second;
            if (file.path == "/etc/passwd") result.passwd = text;
            if (file.path == "/etc/group") result.group = text;
            result.written.emplace_back(std::move(renamed), std::move(text));
        } else if (!same_owner(file, before->second)) {
            result.changed.push_back(std::move(renamed));
        }
    });
    for (const auto& [path, file] : unpacked) {
        if (present.count(path) == 0 && !belongs_to_twin(path)) result.removed.push_back(translation.apply(path));
    }
    if (result.passwd.empty() || result.group.empty())
        throw Error("the twin has no /etc/passwd: its installation is incomplete");
    return result;
}

}  // namespace makina
