#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "builder/base/deb.hpp"
#include "builder/process.hpp"
#include "firstboot/bundle/digest.hpp"
#include "tests/unit/scratch.hpp"
#include "tests/unit/vendor_images.hpp"

// Packages like those of pkgs.k8s.io, as small as they can be, and a signed archive of them.
namespace makina::debs {

struct Package {
    std::string name, version, architecture = "arm64";
    std::string more = {};                     ///< further control fields
    std::map<std::string, std::string> files;  ///< path -> content; those below /usr/bin and /opt are programs
    std::map<std::string, std::string> scripts = {};
    std::string conffiles = {};
};

inline Package of(const std::string& name, const std::string& version, const std::string& architecture = "arm64") {
    Package package{name, version, architecture, {}, {}};
    const std::string program = name == "cri-tools"        ? "/usr/bin/crictl"
                                : name == "kubernetes-cni" ? "/opt/cni/bin/bridge"
                                                           : "/usr/bin/" + name;
    package.files[program] = vendors::program(183);
    package.files["/usr/share/doc/" + name + "/copyright"] = "Apache-2.0\n";
    if (name == "kubelet") {
        package.more = "Depends: mount, util-linux (>= 2.30) | busybox,\n kubernetes-cni (>= 1.2.0)\n";
        package.files["/etc/default/kubelet"] = "KUBELET_EXTRA_ARGS=\n";
        package.files["/lib/systemd/system/kubelet.service"] = "[Service]\nExecStart=/usr/bin/kubelet\n";
        package.scripts["postinst"] = "#!/bin/sh\ntouch /ran\n";
        package.conffiles = "/etc/default/kubelet\n";
    }
    return package;
}

/// Writes folder/<name>_<version>_<architecture>.deb.
inline std::filesystem::path write(const std::filesystem::path& folder, const Package& package) {
    const Scratch tree;
    for (const auto& [path, content] : package.files) {
        const auto file = tree.write(path.substr(1), content);
        const bool program = path.rfind("/usr/bin/", 0) == 0 || path.rfind("/opt/", 0) == 0;
        std::filesystem::permissions(file, std::filesystem::perms(program ? 0755 : 0644));
    }
    (void)tree.write("DEBIAN/control", "Package: " + package.name + "\nVersion: " + package.version +
                                           "\nArchitecture: " + package.architecture +
                                           "\nMaintainer: A test <test@example.org>\nInstalled-Size: 8\n" +
                                           package.more + "Description: " + package.name + "\n");
    if (!package.conffiles.empty()) (void)tree.write("DEBIAN/conffiles", package.conffiles);
    for (const auto& [name, text] : package.scripts) {
        std::filesystem::permissions(tree.write("DEBIAN/" + name, text), std::filesystem::perms(0755));
    }
    std::filesystem::permissions(tree.path(), std::filesystem::perms(0755));
    auto file = folder / (package.name + "_" + package.version + "_" + package.architecture + ".deb");
    run_checked({{"dpkg-deb", "--root-owner-group", "--build", tree.path().string(), file.string()},
                 {{"SOURCE_DATE_EPOCH", std::to_string(vendors::released)}}});
    return file;
}

/// A signing key of a test's own.
class Keys {
  public:
    explicit Keys(std::filesystem::path home) : home_(std::move(home)) {
        std::filesystem::create_directories(home_);
        std::filesystem::permissions(home_, std::filesystem::perms(0700));
        run_checked(gpg({"--quick-generate-key", "A test <test@example.org>", "ed25519", "sign", "never"}));
        std::istringstream lines(run_checked(gpg({"--list-keys", "--with-colons"})));
        for (std::string line; std::getline(lines, line);) {
            if (line.rfind("fpr:", 0) == 0) fingerprint_ = line.substr(12, 40);
        }
    }
    Keys(const Keys&) = delete;
    Keys& operator=(const Keys&) = delete;
    ~Keys() {
        // gpg leaves an agent running for its folder.
        try {
            (void)run({{"gpgconf", "--homedir", home_.string(), "--kill", "all"}});
        } catch (const std::exception&) {
            return;
        }
    }
    [[nodiscard]] const std::string& fingerprint() const { return fingerprint_; }
    /// The public key, ASCII-armored.
    [[nodiscard]] std::string exported() const { return run_checked(gpg({"--armor", "--export"})); }
    [[nodiscard]] std::string signed_text(const std::string& text) const {
        Command command = gpg({"--clearsign"});
        command.input = text;
        return run_checked(command);
    }

  private:
    [[nodiscard]] Command gpg(const std::vector<std::string>& arguments) const {
        Command command{{"gpg", "--homedir", home_.string(), "--batch", "--quiet", "--passphrase", ""}};
        command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
        return command;
    }

    std::filesystem::path home_;
    std::string fingerprint_;
};

/// The index of a folder's packages (Debian's repository format).
inline std::string packages_index(const std::filesystem::path& folder) {
    std::set<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) files.insert(entry.path());
    std::string text;
    for (const auto& file : files) {
        std::string control = read_control(file).at("control");
        const bool amd64 = control.find("Architecture: amd64\n") != std::string::npos;
        text += control + "Filename: " + (amd64 ? "amd64/" : "arm64/") + file.filename().string() +
                "\nSize: " + std::to_string(std::filesystem::file_size(file)) + "\nSHA256: " + sha256_of_file(file) +
                "\n\n";
    }
    return text;
}

inline std::string release(const std::string& packages) {
    return "Origin: test\nSuite: stable\nDate: Sat, 01 Jan 2022 00:00:00 UTC\nSHA256:\n " + sha256(packages) + " " +
           std::to_string(packages.size()) + " Packages\n";
}

/// Every file of a flat archive, by its path there.
inline std::map<std::string, std::string> archive(const std::filesystem::path& folder, const Keys& keys) {
    std::map<std::string, std::string> files;
    const std::string packages = packages_index(folder);
    files["Packages"] = packages;
    files["InRelease"] = keys.signed_text(release(packages));
    files["Release.key"] = keys.exported();
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        const std::string name = entry.path().filename().string();
        const bool amd64 = name.find("_amd64.deb") != std::string::npos;
        files[(amd64 ? "amd64/" : "arm64/") + name] = slurp(entry.path());
    }
    return files;
}

}  // namespace makina::debs
