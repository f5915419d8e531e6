#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "builder/process.hpp"
#include "firstboot/bundle/digest.hpp"
#include "tests/unit/clusters.hpp"
#include "tests/unit/kubernetes_debs.hpp"
#include "tests/unit/plans.hpp"
#include "tests/unit/scratch.hpp"

// The script that installs at the first boot what the base lacks, with the real dpkg and apt-get, in a folder that is
// their root and after what a power cut leaves of an earlier attempt.
namespace makina {
namespace {

using testing::EndsWith;
using testing::HasSubstr;

class InstallPackages : public testing::Test {
  protected:
    void SetUp() override {
        if (!have_program("dpkg") || !have_program("apt-get")) GTEST_SKIP() << "dpkg or apt-get is not installed";
        for (const char* const folder : {"updates", "info", "triggers"}) {
            std::filesystem::create_directories(root_ / "var/lib/dpkg" / folder);
        }
        for (const char* const folder :
             {"etc/apt/apt.conf.d", "etc/apt/sources.list.d", "etc/apt/preferences.d", "var/lib/apt/lists/partial",
              "var/lib/makina", "var/cache/apt/archives/partial", "var/log/apt", "usr/share", "tmp"}) {
            std::filesystem::create_directories(root_ / folder);
        }
        (void)root_.write("var/lib/dpkg/status", "");
        (void)root_.write("apt.conf", "Dir \"" + root_.path().string() + "/\";\nDir::State::status \"" + status_ +
                                          "\";\nAPT::Sandbox::User \"root\";\n");
        for (const char* const name : {"systemctl", "systemd-tmpfiles"}) stand_in(name, "exit 0");
    }

    void stand_in(const std::string& name, const std::string& what) {
        const auto file = root_.write("programs/" + name, "#!/bin/sh\n" + what + "\n");
        std::filesystem::permissions(file, std::filesystem::perms(0755));
    }

    /// The packages are in the archive that the node knows.
    void publish(const std::vector<debs::Package>& packages) {
        std::string index;
        for (const debs::Package& package : packages) {
            const auto file = debs::write(root_.path(), package);
            const std::string bytes = slurp(file);
            index += run_checked({{"dpkg-deb", "--field", file.string()}}) + "Filename: " + file.filename().string() +
                     "\nSize: " + std::to_string(bytes.size()) + "\nSHA256: " + sha256(bytes) + "\n\n";
        }
        (void)root_.write("Packages", index);
        (void)root_.write("etc/apt/sources.list", "deb [trusted=yes] file:" + root_.path().string() + " ./\n");
    }

    [[nodiscard]] Command in_root(std::vector<std::string> argv) const {
        // dpkg as another user than root has to believe that it is root.
        if (geteuid() != 0) argv.insert(argv.begin(), {"unshare", "--map-root-user"});
        const char* const path = std::getenv("PATH");
        return {std::move(argv),
                {{"DPKG_ROOT", root_.path().string()},
                 {"DPKG_ADMINDIR", (root_ / "var/lib/dpkg").string()},
                 {"APT_CONFIG", (root_ / "apt.conf").string()},
                 {"LC_ALL", "C"},
                 {"PATH", (root_ / "programs").string() + ":/usr/sbin:/sbin:" + (path == nullptr ? "" : path)}}};
    }

    /// What dpkg has done of an attempt before the power went.
    void unpack(const std::string& name) {
        run_checked(in_root({"dpkg", "--force-depends", "--unpack", (root_ / (name + "_1_all.deb")).string()}));
    }

    /// Runs the script of a node whose base lacks these packages.
    [[nodiscard]] Result install(const std::vector<std::string>& names) const {
        BaseFacts base = clusters::debian(clusters::pair());
        for (const std::string& name : names) base.packages.erase(name);
        const ImagePlan plan = plans::plan_of(clusters::pair(), "worker-1", base);
        (void)root_.write("etc/makina/packages", plans::content(plan, "/etc/makina/packages"));
        std::string script = plans::content(plan, "/usr/lib/makina/install-packages");
        for (const std::string folder : {"/etc/makina", "/etc/apt", "/var/lib/makina"}) {
            for (std::size_t at = 0; (at = script.find(folder, at)) != std::string::npos;) {
                script.insert(at, root_.path().string());
                at += root_.path().string().size() + folder.size();
            }
        }
        return run(in_root({"sh", root_.write("script", script).string()}));
    }

    [[nodiscard]] std::string state_of(const std::string& name) const {
        return run(in_root({"dpkg-query", "--show", "--showformat", "${db:Status-Abbrev}", name})).output;
    }

    void expect_installed(const Result& result, const std::vector<std::string>& names) const {
        EXPECT_EQ(result.status, 0) << result.output << result.errors;
        for (const std::string& name : names) EXPECT_EQ(state_of(name), "ii ") << name;
        EXPECT_TRUE(std::filesystem::exists(root_ / "var/lib/makina/packages-installed"));
    }

    const Scratch root_;
    const std::string status_ = (root_ / "var/lib/dpkg/status").string();
};

debs::Package package(const std::string& name, const std::string& more = {}) {
    return {name,
            "1",
            "all",
            more,
            {{"/usr/share/" + name + "/it", "it\n"}, {"/etc/" + name, "as packaged\n"}},
            {},
            "/etc/" + name + "\n"};
}

TEST_F(InstallPackages, InstallsWhatTheBaseLacks) {
    publish({package("socat", "Depends: ethtool\n"), package("ethtool")});
    expect_installed(install({"socat"}), {"socat", "ethtool"});
}

TEST_F(InstallPackages, ThatAreUnpackedAreConfiguredFirst) {
    publish({package("socat"), package("ethtool")});
    unpack("ethtool");
    // dpkg's own journal: while something is in it, apt-get refuses everything.
    (void)root_.write("var/lib/dpkg/updates/0000", slurp(status_));
    (void)root_.write("var/lib/dpkg/status", "");
    EXPECT_THAT(run(in_root({"apt-get", "update"})).errors, "");
    EXPECT_THAT(run(in_root({"apt-get", "--yes", "install", "socat"})).errors, HasSubstr("dpkg was interrupted"));
    expect_installed(install({"socat"}), {"socat", "ethtool"});
}

TEST_F(InstallPackages, ThatWereUnpackedWithoutWhatTheyNeedGetIt) {
    publish({package("socat"), package("conntrack", "Depends: ethtool\n"), package("ethtool")});
    unpack("conntrack");
    expect_installed(install({"socat"}), {"socat", "conntrack", "ethtool"});
}

TEST_F(InstallPackages, ThatAreHalfUnpackedAreUnpackedAgain) {
    publish({package("socat"), package("ethtool")});
    // As dpkg notes it of a new package, and of one that was there in another version.
    for (const std::string version : {"", "Version: 0\n"}) {
        (void)root_.write(
            "var/lib/dpkg/status",
            "Package: ethtool\nStatus: install reinstreq half-installed\nArchitecture: all\n" + version + "\n");
        expect_installed(install({"socat"}), {"socat", "ethtool"});
    }
}

TEST_F(InstallPackages, LeavesConfigurationFilesOfTheImageWhileItGoesOn) {
    publish({package("socat"), package("ethtool")});
    (void)root_.write("etc/ethtool", "as the image has it\n");
    unpack("ethtool");
    expect_installed(install({"socat"}), {"socat", "ethtool"});
    EXPECT_EQ(slurp(root_ / "etc/ethtool"), "as the image has it\n");
}

TEST_F(InstallPackages, ThatNeedWhatIsNowhereAreGivenUp) {
    publish({package("socat"), package("conntrack", "Depends: ethtool\n")});
    unpack("conntrack");
    expect_installed(install({"socat"}), {"socat"});
}

TEST_F(InstallPackages, WhatCannotBeRepairedDoesNotHideWhatAptGetSays) {
    debs::Package broken = package("conntrack");
    broken.scripts["postinst"] = "#!/bin/sh\nexit 1\n";
    publish({package("socat"), broken});
    unpack("conntrack");
    const Result result = install({"socat"});
    EXPECT_NE(result.status, 0);
    EXPECT_THAT(result.errors, EndsWith("\nE: Sub-process /usr/bin/dpkg returned an error code (1)\n"));
    EXPECT_FALSE(std::filesystem::exists(root_ / "var/lib/makina/packages-installed"));
}

TEST_F(InstallPackages, AnArchiveWhoseKeyAPowerCutHasEmptiedIsNotReadBeforeItsKeyIsThere) {
    publish({package("gpg")});
    (void)root_.write("kubernetes/Packages", "");
    (void)root_.write("kubernetes/Release", "Suite: kubernetes\n");
    (void)root_.write("kubernetes/InRelease", "no signature\n");
    (void)root_.write("etc/apt/keyrings/kubernetes.gpg", "");
    (void)root_.write("etc/apt/sources.list.d/kubernetes.list",
                      "deb [signed-by=" + (root_ / "etc/apt/keyrings/kubernetes.gpg").string() +
                          "] file:" + (root_ / "kubernetes").string() + " /\n");
    EXPECT_NE(run(in_root({"apt-get", "update"})).status, 0);
    stand_in("curl", "echo 'curl: no network' >&2; exit 6");
    EXPECT_THAT(install({"kubelet"}).errors, EndsWith("curl: no network\n"));
    EXPECT_EQ(state_of("gpg"), "ii ");
}

}  // namespace
}  // namespace makina
