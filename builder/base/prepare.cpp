#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <memory>
#include <optional>
#include <set>
#include <sstream>

#include "builder/base/base.hpp"
#include "builder/base/facts.hpp"
#include "builder/base/kubernetes.hpp"
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

/// A lock on a file, which lasts until this goes; the kernel lets go of it if we are killed.
class Lock {
  public:
    using Say = std::function<void(const std::string&)>;

    /// `kind` is LOCK_EX or LOCK_SH. Waits for its turn, and says so.
    Lock(
        const std::filesystem::path& file, int kind, const Say& say = [](const std::string&) {})
        : Lock(file) {
        if (flock(file_.get(), kind | LOCK_NB) == 0) return;
        say("another build is making the same base: waiting for it");
        while (flock(file_.get(), kind) != 0) {
            if (errno != EINTR) throw_system("locking " + file.string());
        }
    }
    /// The lock, if nobody has it.
    [[nodiscard]] static std::optional<Lock> free(const std::filesystem::path& file) {
        Lock lock(file);
        if (flock(lock.file_.get(), LOCK_EX | LOCK_NB) != 0) return std::nullopt;
        return lock;
    }

  private:
    explicit Lock(const std::filesystem::path& file) : file_(open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
        if (!file_) throw_system("opening " + file.string());
    }

    Descriptor file_;
};

/// What is in a folder, by names, sizes and times: no need to read it only to see that nothing changed.
std::string stamp_of_folder(const std::filesystem::path& folder) {
    std::set<std::string> stamps;
    std::error_code failed;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder, failed)) {
        if (!entry.is_regular_file()) continue;
        stamps.insert(entry.path().lexically_relative(folder).string() + " " + std::to_string(entry.file_size()) + " " +
                      std::to_string(entry.last_write_time().time_since_epoch().count()));
    }
    std::string text;
    for (const std::string& stamp : stamps) text += "\n" + stamp;
    return text;
}

std::string describe_kubernetes_request(const BaseRequest& request) {
    if (!request.kubernetes) return {};
    std::string text = "\nkubernetes " + to_string(request.kubernetes->version);
    std::vector<std::string> packages = request.kubernetes_packages;
    std::sort(packages.begin(), packages.end());
    for (const std::string& package : packages) text += " " + package;
    if (request.kubernetes->source == KubernetesSource::folder) {
        return text + "\nfolder " + request.kubernetes->folder.string() + stamp_of_folder(request.kubernetes->folder);
    }
    return text + "\narchive " + request.kubernetes_archive.url + " " + request.kubernetes_archive.fingerprint;
}

std::string describe_request(const BaseRequest& request) {
    const Base& base = request.base;
    std::string text =
        "request 1\narchitecture " + to_string(request.architecture) + "\nfree " + std::to_string(base.free_bytes);
    text += describe_kubernetes_request(request);
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
/// all. Locks: one a request, one a base in use (shared), and one for the short moments in which names change.
class Store {
  public:
    explicit Store(std::filesystem::path cache) : cache_(std::move(cache)) {
        for (const char* part : {"bases", "requests", "locks"}) {
            std::error_code failed;
            std::filesystem::create_directories(cache_ / part, failed);
            if (failed)
                throw Error("making the folder " + (cache_ / part).string() + ": " + system_message(failed.value()));
        }
    }

    [[nodiscard]] std::filesystem::path lock(const std::string& name) const { return cache_ / "locks" / name; }

    /// The base that was the answer to this request the last time, if it is still there.
    [[nodiscard]] std::optional<BaseImage> recall(const std::string& request) const {
        return find(remembered(request));
    }

    /// An empty folder for the holder of the request's lock to make a base in; what an earlier, killed run left is
    /// cleared away.
    [[nodiscard]] std::filesystem::path begin(const std::string& request) const {
        return during("making the folder " + part_of(request).string(), [&] {
            std::filesystem::remove_all(part_of(request));
            std::filesystem::create_directories(part_of(request));
            return part_of(request);
        });
    }

    /// A base that was made for another request is the answer to this one as well.
    [[nodiscard]] std::optional<BaseImage> adopt(const std::string& request, const std::string& id) const {
        const Lock names(lock("names"), LOCK_EX);
        std::optional<BaseImage> base = find(id);
        if (base) remember(request, id);
        return base;
    }

    /// Gives what was made in begin's folder its name.
    [[nodiscard]] BaseImage keep(const std::string& request, const std::string& id) const {
        return during("keeping the base in " + cache_.string(), [&] {
            const std::filesystem::path part = part_of(request);
            write_durably(part / "size", std::to_string(std::filesystem::file_size(part / "disk.img")) + "\n");
            sync_path(part / "disk.img");
            const Lock names(lock("names"), LOCK_EX);
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

  private:
    [[nodiscard]] std::filesystem::path part_of(const std::string& request) const {
        return cache_ / "bases" / (request + ".part");
    }

    /// The base, if it is there and as large as when it was made.
    [[nodiscard]] std::optional<BaseImage> find(const std::string& id) const {
        if (id.empty()) return std::nullopt;
        BaseImage base;
        base.in_use = std::make_shared<const Lock>(lock("use-" + id), LOCK_SH);
        base.path = cache_ / "bases" / id / "disk.img";
        std::error_code failed;
        const auto size = std::filesystem::file_size(base.path, failed);
        if (failed || read_text(cache_ / "bases" / id / "size") != std::to_string(size) + "\n") return std::nullopt;
        base.facts = during("reading the base " + base.path.string() + " (--refresh-base makes it anew)",
                            [&] { return read_facts(base.path); });
        base.facts.id = id;
        return base;
    }

    [[nodiscard]] std::string remembered(const std::string& request) const {
        const std::string id = read_text(cache_ / "requests" / request);
        return id.substr(0, id.find('\n'));
    }

    /// Remembers the answer, and clears away bases that no request leads to and nobody uses, and what killed runs left.
    void remember(const std::string& request, const std::string& id) const {
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

    std::filesystem::path cache_;
};

std::string key_of(const BaseRequest& request) {
    return sha256(describe_request(request) +
                  (request.base.kind == BaseKind::image ? stamp_of_source(request.base) : ""));
}

std::string in_one_line(std::string text) {
    std::replace(text.begin(), text.end(), '\n', ' ');
    return text;
}

/// Leaves Kubernetes to the node. The plan warns what that means for it.
void leave_kubernetes(BaseRequest& request, const std::string& why) {
    request.say("Kubernetes is left to the node: " + why);
    request.kubernetes.reset();
}

/// Chooses what of Kubernetes goes in. With KubernetesSource::automatic that may be nothing, and then `request` asks
/// for nothing any more.
KubernetesParts choose_kubernetes(BaseRequest& request, const Store& store) {
    if (request.kubernetes_packages.empty() || request.kubernetes->source == KubernetesSource::first_boot) {
        request.kubernetes.reset();
        return {};
    }
    // What the archive gave, it gave for both: a base made with one is used by the other.
    const bool may_be_left = request.kubernetes->source == KubernetesSource::automatic;
    if (may_be_left) request.kubernetes->source = KubernetesSource::repository;
    if (!request.refresh && store.recall(key_of(request))) return {};
    if (may_be_left) {
        BaseRequest without = request;
        without.kubernetes.reset();
        if (!request.refresh && store.recall(key_of(without))) {
            leave_kubernetes(request, "a base without it is cached; --refresh-base asks its archive again");
        } else if (request.offline) {
            leave_kubernetes(request, "no base with it is cached, and with --offline its archive is not asked");
        }
    }
    if (request.offline || !request.kubernetes) return {};
    KubernetesParts parts;
    if (request.kubernetes->source == KubernetesSource::folder) {
        parts = kubernetes_from_folder(request);
    } else {
        parts = kubernetes_from_archive(request, request.cache / "kubernetes", [&](const std::string& why) {
            if (!may_be_left) throw Error(why);
            const Version& version = request.kubernetes->version;
            leave_kubernetes(request, kubernetes_repository(request.kubernetes_archive, version) +
                                          " does not answer: " + in_one_line(why));
        });
    }
    fetch_kubernetes(parts);
    return parts;
}

BaseImage make_of_packages(const BaseRequest& request, const Store& store, const std::string& key,
                           const KubernetesParts& kubernetes) {
    if (request.offline) {
        throw Error("no base for this is cached in " + request.cache.string() +
                    ": build it once without --offline, with the network up");
    }
    // apt's folder serves one at a time.
    const std::filesystem::path apt =
        request.cache / "apt" / sha256(request.base.mirror + "\n" + request.base.suite).substr(0, 12);
    const Lock apt_lock(store.lock("apt-" + apt.filename().string()), LOCK_EX, request.say);
    const std::string id = sha256(describe_package_base(request, apt) + describe_kubernetes(kubernetes));
    if (auto base = store.adopt(key, id)) return *base;
    build_package_base(request, apt, store.begin(key), id, kubernetes);
    return store.keep(key, id);
}

BaseImage prepare(const BaseRequest& request, const Store& store, const KubernetesParts& kubernetes) {
    const std::string key = key_of(request);
    const Lock lock(store.lock(key), LOCK_EX, request.say);
    if (!request.refresh) {
        if (auto base = store.recall(key)) return *base;
    }
    if (request.base.kind == BaseKind::packages) return make_of_packages(request, store, key, kubernetes);
    const std::string image = prepare_vendor_image(request, store.begin(key), kubernetes).facts.id;
    return store.keep(key, sha256(image + "\n" + describe_kubernetes(kubernetes)));
}

}  // namespace

BaseImage prepare_base(const BaseRequest& given) {
    const Store store(given.cache);
    BaseRequest request = given;
    if (!request.kubernetes) return prepare(request, store, {});
    // The folder of Kubernetes packages serves one at a time, until they are unpacked.
    const Lock lock(store.lock("kubernetes"), LOCK_EX, request.say);
    const KubernetesParts kubernetes = choose_kubernetes(request, store);
    return prepare(request, store, kubernetes);
}

}  // namespace makina
