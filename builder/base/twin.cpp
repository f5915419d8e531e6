#include "builder/base/twin.hpp"

#include <fstream>

#include "builder/process.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

/// Runs inside the twin, at its end. The node's kernel modules come in, and what its boot packages add to an initramfs
/// (raspi-firmware adds the checkers of file systems); depmod and mkinitramfs do their work natively (both only read
/// the modules), and all of it goes again: the node unpacks its own.
constexpr const char* kernel_hook = R"(#!/bin/sh
set -eu
version=$(cat /makina/version)
mkdir -p /usr/lib/modules
cp -r /makina/tree/usr/lib/modules/"$version" /usr/lib/modules/
cp /makina/tree/boot/config-"$version" /boot/
depmod "$version"
hooks=$(cd /makina/tree && find usr/share/initramfs-tools -type f 2>/dev/null || true)
for hook in $hooks; do cp /makina/tree/"$hook" /"$hook"; done
mkinitramfs -o /boot/initrd.img-"$version" "$version"
for hook in $hooks; do rm /"$hook"; done
rm -r /usr/lib/modules/"$version"/kernel /boot/config-"$version" /makina
)";

void write_text(const std::filesystem::path& file, const std::string& text) {
    std::filesystem::create_directories(file.parent_path());
    std::ofstream stream(file, std::ios::binary);
    stream << text;
    if (!stream.flush()) throw_system("writing " + file.string());
}

/// mmdebstrap splits its own hook commands as a shell does.
std::string quoted(const std::string& word) {
    std::string result = "'";
    for (const char c : word) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return result + "'";
}

}  // namespace

std::filesystem::path build_twin(const TwinRequest& request) {
    std::filesystem::path tar = request.work / "twin.tar";
    const std::filesystem::path debs = request.work / "twin-debs";
    std::filesystem::create_directories(debs);
    for (const auto& entry : std::filesystem::directory_iterator(request.debs)) {
        if (entry.path().extension() == ".deb")
            std::filesystem::create_hard_link(entry.path(), debs / entry.path().filename());
    }
    std::vector<std::string> argv = {"mmdebstrap", "--variant=minbase", "--format=tar", "--quiet",
                                     "--architectures=" + request.architecture, "--skip=download/empty",
                                     "--setup-hook=mkdir -p \"$1\"/var/cache/apt/archives",
                                     "--setup-hook=sync-in " + quoted(debs.string()) + " /var/cache/apt/archives",
                                     // Nobody reads them on a headless node, and each is a block to write to the card.
                                     "--aptopt=Acquire::Languages \"none\""};
    for (const std::string& pattern : request.exclude) argv.push_back("--dpkgopt=path-exclude=" + pattern);
    for (const std::string& pattern : request.include) argv.push_back("--dpkgopt=path-include=" + pattern);
    std::string include = "--include=";
    for (const ArchivePackage& package : request.packages) {
        include += (include.back() == '=' ? "" : ",") + package.name + "=" + package.version;
    }
    argv.push_back(include);
    if (!request.kernel.empty()) {
        const std::filesystem::path hook = request.work / "hook";
        write_text(hook / "version", request.kernel + "\n");
        write_text(hook / "run", kernel_hook);
        std::filesystem::rename(request.kernel_tree, hook / "tree");
        argv.push_back("--customize-hook=mkdir \"$1\"/makina");
        argv.push_back("--customize-hook=sync-in " + quoted(hook.string()) + " /makina");
        argv.push_back("--customize-hook=chroot \"$1\" sh /makina/run");
    }
    argv.insert(argv.end(), {request.suite, tar.string(), request.sources.string()});
    run_checked({argv, {{"SOURCE_DATE_EPOCH", std::to_string(request.built)}, {"LC_ALL", "C.UTF-8"}}});
    return tar;
}

std::string Translation::apply(std::string text) const {
    for (const auto& [from, to] : replacements) {
        for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
            text.replace(at, from.size(), to);
        }
    }
    return text;
}

Translation amd64_to_arm64() {
    return {{{"/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"},
             {"ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"},
             {"x86_64-linux-gnu", "aarch64-linux-gnu"},
             {"/usr/lib64", "/usr/lib"}},
            // base-files keeps every library folder that the architecture does not have from coming up again.
            {{"/var/lib/dpkg/diversions", "/lib64\n/.lib64.usr-is-merged\nbase-files\n"},
             {"/var/lib/dpkg/triggers/File", "/usr/lib64 base-files/noawait\n"}}};
}

}  // namespace makina
