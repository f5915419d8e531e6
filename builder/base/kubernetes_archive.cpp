#include "builder/base/fetch.hpp"
#include "builder/base/kubernetes.hpp"
#include "builder/base/kubernetes_choice.hpp"
#include "builder/base/openpgp.hpp"
#include "builder/process.hpp"
#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

/// The key, or an Error in curl's words. Only what its fingerprint says is believed of it, so any server may give it.
std::string fetch_key(const std::string& url) {
    std::vector<std::string> argv = curl_command(5);
    for (const char* word : {"--silent", "--show-error", "--max-time", "30", "--max-filesize", "65536", "--url"}) {
        argv.emplace_back(word);
    }
    argv.push_back(url);
    return run_checked({argv});
}

/// The key's packets. Throws Untrusted unless the file holds exactly the pinned key.
std::string pinned_key(const std::string& file, const std::string& fingerprint, const std::string& url) {
    const std::string wanted = ", expected the key " + fingerprint + ": do not use this archive";
    PublicKeys keys;
    try {
        keys = read_public_keys(file);
    } catch (const Error& error) {
        throw Untrusted(url + " is no key (" + error.what() + ")" + wanted);
    }
    if (keys.fingerprints == std::vector<std::string>{fingerprint}) return keys.packets;
    std::string found;
    for (const std::string& key : keys.fingerprints) found += (found.empty() ? "" : " and ") + key;
    throw Untrusted(url + " is the key " + found + wanted);
}

/// An archive that answered, with its indexes fetched.
Apt open_archive(const BaseRequest& request, const std::string& url, const std::filesystem::path& folder) {
    const std::string& fingerprint = request.kubernetes_archive.fingerprint;
    const std::string key_url = url + "Release.key";
    const std::string key = pinned_key(fetch_key(key_url), fingerprint, key_url);
    const std::string architecture = to_string(request.architecture);
    // By fingerprint and not by file name: sources.list has no way to write a path with a space.
    Apt apt(folder / sha256(url).substr(0, 12) / architecture, architecture,
            AptSource{"deb [signed-by=" + fingerprint + "] " + url + " /\n", "the key " + fingerprint, key});
    apt.update();
    return apt;
}

}  // namespace

std::string kubernetes_repository(const KubernetesArchive& archive, const Version& version) {
    return archive.url + "/core:/stable:/v" + std::to_string(version.major) + "." + std::to_string(version.minor) +
           "/deb/";
}

KubernetesParts kubernetes_from_archive(const BaseRequest& request, const std::filesystem::path& folder,
                                        const std::function<void(const std::string& why)>& silent) {
    const std::string url = kubernetes_repository(request.kubernetes_archive, request.kubernetes->version);
    return during("asking " + url, [&]() -> KubernetesParts {
        KubernetesParts parts;
        parts.version = to_string(request.kubernetes->version);
        try {
            parts.archive = open_archive(request, url, folder);
        } catch (const Untrusted&) {
            throw;
        } catch (const Error& error) {
            silent(error.what());
            return {};
        }
        std::string missing;
        for (const std::string& name : request.kubernetes_packages) {
            const std::vector<ArchivePackage> offered = parts.archive->offered(name);
            const KubernetesPick pick = pick_kubernetes(name, request, offered);
            if (pick.index) {
                parts.debs.push_back({offered[*pick.index], {}});
                if (parts.debs.back().package.sha256.empty()) throw Error("the index gives no SHA256 for " + name);
            } else {
                missing += (missing.empty() ? "" : ", ") + pick.missing;
            }
        }
        if (missing.empty()) return parts;
        throw Error("there is no " + missing + " for " + to_string(request.architecture) +
                    ": choose another kubernetes.version, or give a folder (kubernetes.from)");
    });
}

}  // namespace makina
