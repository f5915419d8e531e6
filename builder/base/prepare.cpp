#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>

#include "builder/base/base.hpp"
#include "builder/base/facts.hpp"
#include "builder/base/packages.hpp"
#include "builder/base/vendor_image.hpp"
#include "builder/digest.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/handle.hpp"

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

/// Holds a lock on a file until it goes; the kernel lets go of it if we are killed.
class Lock {
  public:
    Lock(const std::filesystem::path& file, const std::function<void(const std::string&)>& say)
        : file_(open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
        if (!file_) throw_system("opening " + file.string());
        if (flock(file_.get(), LOCK_EX | LOCK_NB) == 0) return;
        say("another build is making the same base: waiting for it");
        while (flock(file_.get(), LOCK_EX) != 0) {
            if (errno != EINTR) throw_system("locking " + file.string());
        }
    }

  private:
    Descriptor file_;
};

std::string describe_request(const BaseRequest& request) {
    const Base& base = request.base;
    std::string text =
        "request 1\narchitecture " + to_string(request.architecture) + "\nfree " + std::to_string(base.free_bytes);
    if (base.kind == BaseKind::image) return text + "\nimage " + base.source + "\nsha256 " + base.sha256 + "\n";
    text += "\nsuite " + base.suite + "\nmirror " + base.mirror + "\nsecurity " + base.security_mirror + "\n";
    std::vector<std::string> packages = request.packages;
    std::sort(packages.begin(), packages.end());
    for (const std::string& package : packages) text += package + "\n";
    return text;
}

/// A local vendor image may change under the same name; its size and time tell.
std::string stamp_of_source(const Base& base) {
    std::error_code failed;
    const auto time = std::filesystem::last_write_time(base.source, failed);
    if (failed) return {};
    const auto size = std::filesystem::file_size(base.source, failed);
    return failed ? std::string() : std::to_string(size) + " " + std::to_string(time.time_since_epoch().count()) + "\n";
}

/// The folder of finished bases. A base is a folder named by what went in; it appears by rename, complete or not at
/// all.
class Store {
  public:
    explicit Store(std::filesystem::path cache) : cache_(std::move(cache)) {
        for (const char* part : {"bases", "requests", "locks"}) std::filesystem::create_directories(cache_ / part);
    }

    /// The base's folder, if it is there and as large as when it was made.
    [[nodiscard]] bool holds(const std::string& id) const {
        std::error_code failed;
        const auto size = std::filesystem::file_size(image_of(id), failed);
        return !id.empty() && !failed && read_text(cache_ / "bases" / id / "size") == std::to_string(size) + "\n";
    }

    /// An empty folder to make a base in; what an earlier, killed run left is cleared away.
    [[nodiscard]] std::filesystem::path begin(const std::string& id) const {
        const std::filesystem::path folder = cache_ / "bases" / (id + ".part");
        std::filesystem::remove_all(folder);
        std::filesystem::create_directories(folder);
        return folder;
    }

    void finish(const std::string& id) const {
        const std::filesystem::path part = cache_ / "bases" / (id + ".part");
        write_durably(part / "size", std::to_string(std::filesystem::file_size(part / "disk.img")) + "\n");
        sync_path(part / "disk.img");
        std::filesystem::remove_all(cache_ / "bases" / id);
        std::filesystem::rename(part, cache_ / "bases" / id);
        sync_path(cache_ / "bases");
    }

    [[nodiscard]] std::string remembered(const std::string& request) const {
        std::string id = read_text(cache_ / "requests" / request);
        return id.substr(0, id.find('\n'));
    }

    /// Remembers the answer and drops bases that no request leads to any more. A build that still reads one keeps it:
    /// its file is open.
    void remember(const std::string& request, const std::string& id) const {
        write_durably(cache_ / "requests" / request, id + "\n");
        std::set<std::string> wanted;
        for (const auto& entry : std::filesystem::directory_iterator(cache_ / "requests")) {
            wanted.insert(remembered(entry.path().filename().string()));
        }
        for (const auto& entry : std::filesystem::directory_iterator(cache_ / "bases")) {
            const std::string name = entry.path().filename().string();
            if (name.find(".part") == std::string::npos && wanted.count(name) == 0)
                std::filesystem::remove_all(entry.path());
        }
    }

    [[nodiscard]] std::filesystem::path image_of(const std::string& id) const {
        return cache_ / "bases" / id / "disk.img";
    }
    [[nodiscard]] std::filesystem::path lock(const std::string& name) const { return cache_ / "locks" / name; }

  private:
    std::filesystem::path cache_;
};

BaseImage finished(const Store& store, const std::string& id) {
    BaseImage base;
    base.path = store.image_of(id);
    base.facts = during("reading the base " + base.path.string(), [&] { return read_facts(base.path); });
    base.facts.id = id;
    return base;
}

void make(const BaseRequest& request, const Store& store, const std::filesystem::path& apt, const std::string& id) {
    const std::filesystem::path folder = store.begin(id);
    if (request.base.kind == BaseKind::packages) {
        build_package_base(request, apt, folder, id);
    } else {
        (void)prepare_vendor_image(request, folder);
    }
    store.finish(id);
}

}  // namespace

BaseImage prepare_base(const BaseRequest& request) {
    const Store store(request.cache);
    const std::string asked = describe_request(request);
    const std::string key = sha256(asked + (request.base.kind == BaseKind::image ? stamp_of_source(request.base) : ""));
    const Lock lock(store.lock(key), request.say);
    const std::string known = store.remembered(key);
    if (!request.refresh && store.holds(known)) return finished(store, known);
    if (request.offline) {
        throw Error("no base for this is cached in " + request.cache.string() +
                    ": build it once without --offline, with the network up");
    }
    // apt's folder serves one at a time.
    const std::filesystem::path apt =
        request.cache / "apt" / sha256(request.base.mirror + "\n" + request.base.suite).substr(0, 12);
    const Lock apt_lock(store.lock("apt-" + apt.filename().string()), request.say);
    const std::string id =
        request.base.kind == BaseKind::packages ? sha256(describe_package_base(request, apt)) : sha256(key);
    if (!store.holds(id)) make(request, store, apt, id);
    store.remember(key, id);
    return finished(store, id);
}

}  // namespace makina
