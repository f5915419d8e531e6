#include "builder/base/store.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>

#include "builder/base/facts.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

std::string read_text(const std::filesystem::path& file) {
    std::ifstream stream(file, std::ios::binary);
    std::stringstream text;
    text << stream.rdbuf();
    return text.str();
}

void sync_path(const std::filesystem::path& path) {
    const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file || fsync(file.get()) != 0) throw_system("writing " + path.string() + " to the disk");
}

/// Beside, fsync, rename, fsync of the folder: after a power cut there is the old text or the new one.
void write_durably(const std::filesystem::path& file, const std::string& text) {
    const std::filesystem::path part = file.string() + ".part";
    std::ofstream stream(part, std::ios::binary | std::ios::trunc);
    stream << text;
    stream.close();
    if (!stream) throw_system("writing " + part.string());
    sync_path(part);
    std::filesystem::rename(part, file);
    sync_path(file.parent_path());
}

}  // namespace

Lock::Lock(const std::filesystem::path& file) : file_(open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
    if (!file_) throw_system("opening " + file.string());
}

Lock::Lock(const std::filesystem::path& file, Kind kind, const std::function<void(const std::string&)>& say)
    : Lock(file) {
    const int operation = kind == Kind::exclusive ? LOCK_EX : LOCK_SH;
    if (flock(file_.get(), operation | LOCK_NB) == 0) return;
    if (say) say("another build is making the same base: waiting for it");
    while (flock(file_.get(), operation) != 0) {
        if (errno != EINTR) throw_system("locking " + file.string());
    }
}

std::optional<Lock> Lock::free(const std::filesystem::path& file) {
    Lock lock(file);
    if (flock(lock.file_.get(), LOCK_EX | LOCK_NB) != 0) return std::nullopt;
    return lock;
}

Store::Store(std::filesystem::path cache) : cache_(std::move(cache)) {
    for (const char* part : {"bases", "requests", "locks"}) {
        std::error_code failed;
        std::filesystem::create_directories(cache_ / part, failed);
        if (failed)
            throw Error("making the folder " + (cache_ / part).string() + ": " + system_message(failed.value()));
    }
}

std::optional<BaseImage> Store::recall(const std::string& request) const {
    return find(remembered(request));
}

std::filesystem::path Store::begin(const std::string& request) const {
    return during("making the folder " + part_of(request).string(), [&] {
        std::filesystem::remove_all(part_of(request));
        std::filesystem::create_directories(part_of(request));
        return part_of(request);
    });
}

std::optional<BaseImage> Store::adopt(const std::string& request, const std::string& id) const {
    const Lock names(lock("names"), Lock::Kind::exclusive);
    std::optional<BaseImage> base = find(id);
    if (base) remember(request, id);
    return base;
}

BaseImage Store::keep(const std::string& request, const std::string& id) const {
    return during("keeping the base in " + cache_.string(), [&] {
        const std::filesystem::path part = part_of(request);
        write_durably(part / "size", std::to_string(std::filesystem::file_size(part / "disk.img")) + "\n");
        sync_path(part / "disk.img");
        const Lock names(lock("names"), Lock::Kind::exclusive);
        const std::filesystem::path folder = cache_ / "bases" / id;
        if (std::filesystem::exists(folder)) {
            // The same bytes, made again: whoever reads the old ones goes on, whoever opens them finds one of both.
            std::filesystem::rename(part / "disk.img", folder / "disk.img");
            std::filesystem::rename(part / "size", folder / "size");
            std::filesystem::remove_all(part);
            sync_path(folder);
        } else {
            std::filesystem::rename(part, folder);
        }
        sync_path(cache_ / "bases");
        remember(request, id);
        std::optional<BaseImage> base = find(id);
        if (!base) throw Error(folder.string() + " changed while it was made: is something else writing there?");
        return *base;
    });
}

std::filesystem::path Store::part_of(const std::string& request) const {
    return cache_ / "bases" / (request + ".part");
}

/// The base, if it is there and as large as when it was made.
std::optional<BaseImage> Store::find(const std::string& id) const {
    if (id.empty()) return std::nullopt;
    BaseImage base;
    base.in_use = std::make_shared<const Lock>(lock("use-" + id), Lock::Kind::shared);
    base.path = cache_ / "bases" / id / "disk.img";
    std::error_code failed;
    const auto size = std::filesystem::file_size(base.path, failed);
    if (failed || read_text(cache_ / "bases" / id / "size") != std::to_string(size) + "\n") return std::nullopt;
    base.facts = during("reading the base " + base.path.string() + " (--refresh-base makes it anew)",
                        [&] { return read_facts(base.path); });
    base.facts.id = id;
    return base;
}

std::string Store::remembered(const std::string& request) const {
    const std::string id = read_text(cache_ / "requests" / request);
    return id.substr(0, id.find('\n'));
}

/// Remembers the answer, and clears away bases that no request leads to and nobody uses, and what killed runs left.
void Store::remember(const std::string& request, const std::string& id) const {
    write_durably(cache_ / "requests" / request, id + "\n");
    std::set<std::string> wanted;
    for (const auto& entry : std::filesystem::directory_iterator(cache_ / "requests")) {
        wanted.insert(remembered(entry.path().filename().string()));
    }
    for (const auto& entry : std::filesystem::directory_iterator(cache_ / "bases")) {
        const std::filesystem::path name = entry.path().filename();
        if (wanted.count(name.string()) != 0) continue;
        const std::string guard = name.extension() == ".part" ? name.stem().string() : "use-" + name.string();
        if (const auto unused = Lock::free(lock(guard))) std::filesystem::remove_all(entry.path());
    }
}

}  // namespace makina
