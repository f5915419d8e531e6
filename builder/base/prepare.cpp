#include <algorithm>
#include <optional>
#include <set>

#include "builder/base/base.hpp"
#include "builder/base/kubernetes.hpp"
#include "builder/base/packages.hpp"
#include "builder/base/store.hpp"
#include "builder/base/vendor_image.hpp"
#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

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
    // With its recipe, so that a newer program does not take an older one's base for its own.
    std::string text = std::string(base.kind == BaseKind::image ? vendor_recipe : package_recipe) + "\narchitecture " +
                       to_string(request.architecture) + "\nfree " + std::to_string(base.free_bytes);
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
    const Lock apt_lock(store.lock("apt-" + apt.filename().string()), Lock::Kind::exclusive, request.say);
    const PackageList list = list_packages(request, apt);
    const std::string id = sha256(list.description + describe_kubernetes(kubernetes));
    if (auto base = store.adopt(key, id)) return *base;
    build_package_base(request, list.packages, apt, store.begin(key), id, kubernetes);
    return store.keep(key, id);
}

BaseImage prepare(const BaseRequest& request, const Store& store, const KubernetesParts& kubernetes) {
    const std::string key = key_of(request);
    const Lock lock(store.lock(key), Lock::Kind::exclusive, request.say);
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
    const Lock lock(store.lock("kubernetes"), Lock::Kind::exclusive, request.say);
    const KubernetesParts kubernetes = choose_kubernetes(request, store);
    return prepare(request, store, kubernetes);
}

}  // namespace makina
