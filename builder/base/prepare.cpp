#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
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

void make(const BaseRequest& request, const Store& store, const std::filesystem::path& apt, const std::string& id,
          const KubernetesParts& kubernetes) {
    const std::filesystem::path folder = store.begin(id);
    if (request.base.kind == BaseKind::packages) {
        build_package_base(request, apt, folder, id, kubernetes);
    } else {
        (void)prepare_vendor_image(request, folder, kubernetes);
    }
    store.finish(id);
}

std::string key_of(const BaseRequest& request) {
    return sha256(describe_request(request) +
                  (request.base.kind == BaseKind::image ? stamp_of_source(request.base) : ""));
}

bool is_cached(const BaseRequest& request, const Store& store) {
    return !request.refresh && store.holds(store.remembered(key_of(request)));
}

std::string in_one_line(std::string text) {
    std::replace(text.begin(), text.end(), '\n', ' ');
    return text;
}

/// Leaves Kubernetes to the node and says so once.
void leave_kubernetes(BaseRequest& request, const std::string& why) {
    std::string names;
    for (const std::string& name : request.kubernetes_packages) names += (names.empty() ? "" : ", ") + name;
    request.say("warning: the image lacks " + names + " " + to_string(request.kubernetes->version) + " (" + why +
                "): the node installs them at its first boot and needs the internet for it");
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
    if (is_cached(request, store)) return {};
    if (request.offline) {
        if (may_be_left) leave_kubernetes(request, "--offline");
        return {};
    }
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

BaseImage prepare(const BaseRequest& request, const Store& store, const KubernetesParts& kubernetes) {
    const std::string key = key_of(request);
    const Lock lock(store.lock(key), request.say);
    const std::string known = store.remembered(key);
    if (!request.refresh && store.holds(known)) return finished(store, known);
    if (request.offline) {
        throw Error("no base for this is cached in " + request.cache.string() +
                    ": build it once without --offline, with the network up");
    }
    if (request.kubernetes && kubernetes.empty()) {
        throw Error("the cached base went away while this waited for it: run the same command again");
    }
    // apt's folder serves one at a time.
    const std::filesystem::path apt =
        request.cache / "apt" / sha256(request.base.mirror + "\n" + request.base.suite).substr(0, 12);
    const Lock apt_lock(store.lock("apt-" + apt.filename().string()), request.say);
    const std::string what = request.base.kind == BaseKind::packages ? describe_package_base(request, apt) : key + "\n";
    const std::string id = sha256(what + describe_kubernetes(kubernetes));
    if (!store.holds(id)) make(request, store, apt, id, kubernetes);
    store.remember(key, id);
    return finished(store, id);
}

}  // namespace

BaseImage prepare_base(const BaseRequest& given) {
    const Store store(given.cache);
    BaseRequest request = given;
    if (!request.kubernetes) return prepare(request, store, {});
    // The folder of Kubernetes packages serves one at a time, until they are unpacked.
    const Lock lock(store.lock("kubernetes"), request.say);
    const KubernetesParts kubernetes = choose_kubernetes(request, store);
    return prepare(request, store, kubernetes);
}

}  // namespace makina
