#include "builder/base/apt.hpp"

#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "builder/process.hpp"
#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

constexpr const char* keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";

void write_if_changed(const std::filesystem::path& file, const std::string& content) {
    std::ifstream before(file, std::ios::binary);
    std::stringstream text;
    text << before.rdbuf();
    if (before && text.str() == content) return;
    std::ofstream(file, std::ios::binary) << content;
}

AptSource debian_archive(const Base& base) {
    if (!std::filesystem::exists(keyring)) {
        throw Error(std::string(keyring) +
                    " is missing, so no package could be trusted: apt install debian-archive-keyring");
    }
    const std::string signer = std::string("[signed-by=") + keyring + "] ";
    const std::string components = " main non-free-firmware\n";
    std::string lines = "deb " + signer + base.mirror + " " + base.suite + components;
    lines += "deb " + signer + base.mirror + " " + base.suite + "-updates" + components;
    if (!base.security_mirror.empty()) {
        lines += "deb " + signer + base.security_mirror + " " + base.suite + "-security" + components;
    }
    return {lines, "a Debian archive key", {}};
}

/// A package name without the version that a profile may pin: "haproxy=3.0.11-1" -> "haproxy".
std::string without_version(const std::string& package) {
    return package.substr(0, package.find('='));
}

bool mentions(const std::string& text, const std::vector<std::string>& words) {
    return std::any_of(words.begin(), words.end(),
                       [&](const std::string& word) { return text.find(word) != std::string::npos; });
}

std::string value_of(const std::string& line, const std::string& key) {
    return line.rfind(key, 0) == 0 ? line.substr(key.size()) : std::string();
}

}  // namespace

Apt::Apt(std::filesystem::path folder, std::string architecture, const Base& base)
    : Apt(std::move(folder), std::move(architecture), debian_archive(base)) {}

Apt::Apt(std::filesystem::path folder, std::string architecture, const AptSource& source)
    : folder_(std::move(folder)),
      sources_(folder_ / "etc/apt/sources.list"),
      architecture_(std::move(architecture)),
      signer_(source.signer) {
    for (const char* part :
         {"etc/apt/apt.conf.d", "etc/apt/preferences.d", "etc/apt/sources.list.d", "etc/apt/trusted.gpg.d",
          "var/lib/apt/lists/partial", "var/lib/dpkg", "var/cache/apt/archives/partial"}) {
        std::filesystem::create_directories(folder_ / part);
    }
    write_if_changed(folder_ / "var/lib/dpkg/status", "");
    write_if_changed(sources_, source.lines);
    // Only the keys of this folder count; signed-by says which of them.
    if (!source.key.empty()) write_if_changed(folder_ / "etc/apt/trusted.gpg.d/archive.gpg", source.key);
    write_if_changed(folder_ / "apt.conf", "Dir \"" + folder_.string() + "\";\nDir::State::status \"" +
                                               (folder_ / "var/lib/dpkg/status").string() +
                                               "\";\nAPT::Architecture \"" + architecture_ +
                                               "\";\nAPT::Architectures { \"" + architecture_ +
                                               "\"; };\nAPT::Install-Recommends \"false\";\nAPT::Sandbox::User \"\";\n"
                                               "Acquire::Languages \"none\";\nAcquire::Retries \"3\";\n"
                                               "Acquire::http::Timeout \"30\";\nDir::Log \"/dev/null\";\n");
}

std::string Apt::run_apt(std::vector<std::string> argv) const {
    return run_checked({std::move(argv), {{"APT_CONFIG", (folder_ / "apt.conf").string()}, {"LC_ALL", "C"}}});
}

void Apt::update() const {
    try {
        // apt calls an unreachable archive a warning and goes on with old indexes; here it is an error.
        (void)run_apt({"apt-get", "update", "-qq", "--error-on=any"});
    } catch (const Error& error) {
        const std::string text = error.what();
        if (mentions(text, {"NO_PUBKEY", "not signed", "BADSIG", "EXPKEYSIG", "signatures were invalid"})) {
            throw Untrusted("the package archive is not signed by " + signer_ + ": " + text);
        }
        if (mentions(text, {"Hash Sum mismatch", "unexpected size"})) {
            throw Untrusted("the package index is not the one that was signed: " + text);
        }
        throw Error("fetching the package indexes (is the network up? --offline uses what is cached): " + text);
    }
}

std::vector<ArchivePackage> Apt::resolve(const std::vector<std::string>& packages) const {
    std::vector<std::string> argv = {"apt-get", "install", "--simulate", "-qq", "?essential", "?priority(required)"};
    argv.insert(argv.end(), packages.begin(), packages.end());
    const std::string simulation = during("choosing packages", [&] { return run_apt(argv); });
    std::set<std::string> asked;
    for (const std::string& package : packages) asked.insert(without_version(package));

    std::map<std::string, ArchivePackage> chosen;
    std::istringstream lines(simulation);
    std::vector<std::string> show = {"apt-cache", "show"};
    for (std::string line; std::getline(lines, line);) {
        // "Inst libc6 (2.41-12 Debian:13.1/stable [arm64])"
        std::istringstream words(line);
        std::string verb;
        ArchivePackage package;
        words >> verb >> package.name >> package.version;
        if (verb != "Inst" || package.version.size() < 2) continue;
        package.version.erase(0, 1);
        // Behind it apt may list in brackets what is broken until later lines.
        const auto end = line.find("])");
        const auto bracket = line.rfind('[', end);
        if (end == std::string::npos) throw Error("apt says what is not understood: " + line);
        package.architecture = line.substr(bracket + 1, end - bracket - 1);
        package.asked = asked.count(package.name) != 0;
        show.push_back(package.name + "=" + package.version);
        chosen[package.name] = package;
    }
    if (chosen.empty()) throw Error("choosing packages: the archive gave none");

    std::istringstream stanzas(run_apt(show));
    std::string name;
    for (std::string line; std::getline(stanzas, line);) {
        if (const std::string value = value_of(line, "Package: "); !value.empty()) name = value;
        if (const std::string value = value_of(line, "SHA256: "); !value.empty()) chosen[name].sha256 = value;
    }
    std::vector<ArchivePackage> result;
    for (auto& [key, package] : chosen) {
        if (package.sha256.empty()) throw Error("the archive gives no SHA256 for " + key);
        result.push_back(std::move(package));
    }
    return result;
}

std::vector<std::filesystem::path> Apt::fetch(const std::vector<ArchivePackage>& packages) const {
    std::vector<std::string> argv = {"apt-get", "install", "--download-only", "--yes", "-qq"};
    for (const ArchivePackage& package : packages) argv.push_back(package.name + "=" + package.version);
    during("fetching packages (what came so far is kept; run it again to go on)", [&] { return run_apt(argv); });
    std::vector<std::filesystem::path> files;
    for (const ArchivePackage& package : packages) {
        files.push_back(deb_of(package));
        if (!std::filesystem::exists(files.back())) throw Error("apt did not leave " + files.back().string());
    }
    return files;
}

std::filesystem::path Apt::deb_of(const ArchivePackage& package) const {
    std::string version = package.version;
    // apt writes the epoch's colon as %3a in file names.
    if (const auto colon = version.find(':'); colon != std::string::npos) version.replace(colon, 1, "%3a");
    return debs() / (package.name + "_" + version + "_" + package.architecture + ".deb");
}

std::vector<ArchivePackage> Apt::offered(const std::string& package) const {
    const Result shown =
        run({{"apt-cache", "show", package}, {{"APT_CONFIG", (folder_ / "apt.conf").string()}, {"LC_ALL", "C"}}});
    if (shown.status != 0) return {};
    std::vector<ArchivePackage> versions;
    std::istringstream stanzas(shown.output);
    for (std::string line; std::getline(stanzas, line);) {
        if (const std::string value = value_of(line, "Package: "); !value.empty()) {
            versions.push_back({value, {}, {}, {}, true});
        }
        if (versions.empty()) continue;
        if (const std::string value = value_of(line, "Version: "); !value.empty()) versions.back().version = value;
        if (const std::string value = value_of(line, "SHA256: "); !value.empty()) versions.back().sha256 = value;
        if (const std::string value = value_of(line, "Architecture: "); !value.empty()) {
            versions.back().architecture = value;
        }
    }
    return versions;
}

std::vector<std::filesystem::path> Apt::fetch_only(const std::vector<ArchivePackage>& packages) const {
    std::vector<std::filesystem::path> files;
    for (const ArchivePackage& package : packages) {
        const std::filesystem::path file = deb_of(package);
        if (!std::filesystem::exists(file) || sha256_of_file(file) != package.sha256) {
            std::filesystem::remove(file);
            during("fetching " + package.name + " " + package.version, [&] {
                try {
                    run_checked({{"apt-get", "download", "-qq", package.name + "=" + package.version},
                                 {{"APT_CONFIG", (folder_ / "apt.conf").string()}, {"LC_ALL", "C"}},
                                 debs()});
                } catch (const Error& error) {
                    if (!mentions(error.what(), {"Hash Sum mismatch", "unexpected size"})) throw;
                    throw Untrusted(std::string("the package is not the one of the signed index: ") + error.what());
                }
            });
        }
        if (!std::filesystem::exists(file)) throw Error("apt did not leave " + file.string());
        if (sha256_of_file(file) != package.sha256) {
            std::filesystem::remove(file);
            throw Untrusted(package.name + " " + package.version + " is not the package of the signed index");
        }
        files.push_back(file);
    }
    return files;
}

}  // namespace makina
