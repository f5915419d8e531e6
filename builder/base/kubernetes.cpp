#include "builder/base/kubernetes.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>

#include "builder/base/dependencies.hpp"
#include "builder/base/kubernetes_choice.hpp"
#include "builder/base/program.hpp"
#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

namespace fs = std::filesystem;

/// Packages that are versioned with Kubernetes; the others have versions of their own.
bool follows_version(const std::string& name) {
    return name == "kubeadm" || name == "kubelet" || name == "kubectl";
}

/// "1:1.34.1-1.1" -> "1.34.1": a Debian version is [epoch:]upstream[-revision] (deb-version(7)).
std::string upstream_version(const std::string& version) {
    const auto colon = version.find(':');
    const std::string rest = colon == std::string::npos ? version : version.substr(colon + 1);
    return rest.substr(0, rest.rfind('-'));
}

std::string read_bytes(const fs::path& file) {
    std::ifstream stream(file, std::ios::binary);
    std::stringstream bytes;
    bytes << stream.rdbuf();
    if (!stream) throw Error(file.string() + " cannot be read");
    return bytes.str();
}

std::string head_of(const fs::path& file) {
    std::ifstream stream(file, std::ios::binary);
    if (!stream) throw Error(file.string() + " cannot be read");
    std::array<char, program_head> head{};
    stream.read(head.data(), head.size());
    return {head.data(), static_cast<std::size_t>(stream.gcount())};
}

void require_architecture(const fs::path& file, const std::string& head, Architecture wanted) {
    if (!is_program(head)) {
        throw Error(file.string() + " is no program (not a 64-bit ELF file): put the one for " + to_string(wanted) +
                    " there");
    }
    const auto found = program_architecture(head);
    if (found == wanted) return;
    throw Error(file.string() + " is a program for " + (found ? to_string(*found) : "another machine") +
                " but the node needs " + to_string(wanted));
}

std::vector<fs::path> files_in(const fs::path& folder) {
    std::vector<fs::path> files;
    if (!fs::is_directory(folder)) return files;
    for (const auto& entry : fs::directory_iterator(folder)) {
        if (entry.is_regular_file()) files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    return files;
}

/// The .debs of a folder that are of Kubernetes, whatever their versions and architectures. No hash yet: the folder
/// may hold many.
std::vector<Deb> debs_in(const fs::path& folder, const std::vector<std::string>& names) {
    std::vector<Deb> debs;
    for (const fs::path& file : files_in(folder)) {
        if (file.extension() != ".deb") continue;
        auto fields = control_fields(read_control(file).at("control"));
        if (std::find(names.begin(), names.end(), fields["Package"]) == names.end()) continue;
        debs.push_back({{fields["Package"], fields["Version"], fields["Architecture"], {}, true}, file});
    }
    return debs;
}

/// A role's programs that lie in a folder by themselves.
std::vector<PlainProgram> programs_for(const std::string& package, const BaseRequest& request) {
    const fs::path& folder = request.kubernetes->folder;
    std::vector<PlainProgram> programs;
    if (package == "kubernetes-cni") {
        for (const fs::path& file : files_in(folder / "cni")) {
            const std::string head = head_of(file);
            // The plugins are published together with a license and a readme.
            if (!is_program(head)) continue;
            require_architecture(file, head, request.architecture);
            programs.push_back({package, file, "/opt/cni/bin/" + file.filename().string(), sha256_of_file(file)});
        }
        return programs;
    }
    const std::string name = package == "cri-tools" ? "crictl" : package;
    const fs::path file = folder / name;
    if (!fs::is_regular_file(file)) return programs;
    require_architecture(file, head_of(file), request.architecture);
    programs.push_back({package, file, "/usr/bin/" + name, sha256_of_file(file)});
    return programs;
}

}  // namespace

KubernetesPick pick_kubernetes(const std::string& name, const BaseRequest& request,
                               const std::vector<ArchivePackage>& offered) {
    const std::string version = to_string(request.kubernetes->version);
    const std::string architecture = to_string(request.architecture);
    KubernetesPick pick;
    std::vector<std::string> others;
    for (std::size_t i = 0; i < offered.size(); ++i) {
        const ArchivePackage& package = offered[i];
        if (package.name != name) continue;
        if (package.architecture != architecture && package.architecture != "all") {
            others.push_back(package.version + " for " + package.architecture);
        } else if (follows_version(name) && upstream_version(package.version) != version) {
            others.push_back(package.version);
        } else if (!pick.index || is_newer(package.version, offered[*pick.index].version)) {
            pick.index = i;
        }
    }
    if (pick.index) return pick;
    pick.missing = name + (follows_version(name) ? " " + version : std::string());
    // An archive may have dozens; the last few tell enough.
    constexpr std::size_t shown = 4;
    for (std::size_t i = 0; i < std::min(others.size(), shown); ++i) {
        pick.missing += (i == 0 ? " (there is " : ", ") + others[i];
    }
    if (!others.empty()) pick.missing += others.size() > shown ? ", ...)" : ")";
    return pick;
}

KubernetesParts kubernetes_from_folder(const BaseRequest& request) {
    const fs::path& folder = request.kubernetes->folder;
    if (!fs::is_directory(folder)) throw Error("kubernetes.from: " + folder.string() + " is not a folder");
    const std::vector<Deb> debs = debs_in(folder, request.kubernetes_packages);
    std::vector<ArchivePackage> offered;
    offered.reserve(debs.size());
    for (const Deb& deb : debs) offered.push_back(deb.package);
    KubernetesParts parts;
    parts.version = to_string(request.kubernetes->version);
    std::string missing;
    std::string spared;
    for (const std::string& name : request.kubernetes_packages) {
        const KubernetesPick pick = pick_kubernetes(name, request, offered);
        if (pick.index) {
            parts.debs.push_back(debs[*pick.index]);
            parts.debs.back().package.sha256 = sha256_of_file(parts.debs.back().file);
            continue;
        }
        const std::vector<PlainProgram> programs = programs_for(name, request);
        parts.programs.insert(parts.programs.end(), programs.begin(), programs.end());
        if (!programs.empty()) continue;
        std::string& text = follows_version(name) ? missing : spared;
        text += (text.empty() ? "" : ", ") + pick.missing;
    }
    // Beside plain programs crictl and the plugins may be missing: then they are the node's to install.
    const bool only_programs = parts.debs.empty() && !parts.programs.empty();
    if (!only_programs) missing += (missing.empty() || spared.empty() ? "" : ", ") + spared;
    if (missing.empty()) return parts;
    throw Error("the folder " + folder.string() + " has no " + missing + " for " + to_string(request.architecture) +
                ": put the .deb files there, or the programs kubeadm, kubelet, kubectl, crictl and cni/* themselves");
}

void fetch_kubernetes(KubernetesParts& parts) {
    if (!parts.archive) return;
    std::vector<ArchivePackage> packages;
    packages.reserve(parts.debs.size());
    for (const Deb& deb : parts.debs) packages.push_back(deb.package);
    const std::vector<fs::path> files = parts.archive->fetch_only(packages);
    for (std::size_t i = 0; i < files.size(); ++i) parts.debs[i].file = files[i];
}

std::string describe_kubernetes(const KubernetesParts& parts) {
    std::string text;
    for (const Deb& deb : parts.debs) {
        const ArchivePackage& package = deb.package;
        text += "kubernetes " + package.name + " " + package.version + " " + package.architecture + " " +
                package.sha256 + " hold\n";
    }
    for (const PlainProgram& program : parts.programs) {
        text += "program " + program.package + " " + parts.version + " " + program.path + " " + program.sha256 + "\n";
    }
    return text;
}

std::uint64_t kubernetes_size(const KubernetesParts& parts) {
    std::uint64_t bytes = 0;
    for (const Deb& deb : parts.debs) bytes += installed_kib(read_control(deb.file).at("control")) * 1024;
    for (const PlainProgram& program : parts.programs) bytes += fs::file_size(program.file) + 4096;
    return bytes + bytes / 8;
}

void write_programs(Ext4& root, const KubernetesParts& parts, std::int64_t time) {
    if (parts.programs.empty()) return;
    std::string list;
    for (const PlainProgram& program : parts.programs) {
        const std::string content = read_bytes(program.file);
        if (sha256(content) != program.sha256) throw Error(program.file.string() + " changed while it was read");
        root.write({program.path, S_IFREG | 0755, 0, 0, time, content, 0, 0, {}});
        const std::string line = program.package + " " + parts.version + "\n";
        if (list.find(line) == std::string::npos) list += line;
    }
    root.write({programs_list, S_IFREG | 0644, 0, 0, time, list, 0, 0, {}});
}

}  // namespace makina
