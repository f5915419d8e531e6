#include "builder/base/kubernetes.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "builder/base/facts.hpp"
#include "builder/base/openpgp.hpp"
#include "builder/base/vendor_image.hpp"
#include "builder/process.hpp"
#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/error.hpp"
#include "tests/unit/http_server.hpp"
#include "tests/unit/kubernetes_debs.hpp"
#include "tests/unit/refusal.hpp"
#include "tests/unit/scratch.hpp"
#include "tests/unit/vendor_images.hpp"

namespace makina {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

class KubernetesFolder : public testing::Test {
  protected:
    void SetUp() override {
        if (!have_program("dpkg-deb")) GTEST_SKIP() << "dpkg-deb is not installed";
        std::filesystem::create_directories(folder);
        request.kubernetes = Kubernetes{Version{1, 34, 1}, KubernetesSource::folder, folder};
        request.kubernetes_packages = {"cri-tools", "kubeadm", "kubectl", "kubelet", "kubernetes-cni"};
    }
    void put_debs(const std::string& version = "1.34.1-1.1") const {
        for (const char* name : {"kubeadm", "kubectl", "kubelet"}) debs::write(folder, debs::of(name, version));
        debs::write(folder, debs::of("cri-tools", "1.34.0-1.1"));
        debs::write(folder, debs::of("kubernetes-cni", "1.7.1-1.1"));
    }
    [[nodiscard]] std::string refused() const {
        return refusal([&] { (void)kubernetes_from_folder(request); });
    }
    [[nodiscard]] std::vector<std::string> chosen() const {
        std::vector<std::string> names;
        for (const Deb& deb : kubernetes_from_folder(request).debs) {
            names.push_back(deb.package.name + " " + deb.package.version + " " + deb.package.architecture);
        }
        return names;
    }

    Scratch scratch;
    std::filesystem::path folder = scratch / "kube";
    BaseRequest request;
};

TEST_F(KubernetesFolder, GivesTheFivePackages) {
    put_debs();
    EXPECT_THAT(chosen(),
                ElementsAre("cri-tools 1.34.0-1.1 arm64", "kubeadm 1.34.1-1.1 arm64", "kubectl 1.34.1-1.1 arm64",
                            "kubelet 1.34.1-1.1 arm64", "kubernetes-cni 1.7.1-1.1 arm64"));
}

TEST_F(KubernetesFolder, ChoosesTheProfilesVersionAndTheNewestOfTheOthers) {
    put_debs();
    put_debs("1.34.10-1.1");
    put_debs("1.34.1-1.2");
    debs::write(folder, debs::of("cri-tools", "1.9.0-1.1"));
    debs::write(folder, debs::of("kubernetes-cni", "1.10.0-1.1"));
    debs::write(folder, debs::of("kubelet", "1.34.1-1.9", "amd64"));
    debs::write(folder, debs::of("unrelated", "1.34.1-1.1"));
    EXPECT_THAT(chosen(),
                ElementsAre("cri-tools 1.34.0-1.1 arm64", "kubeadm 1.34.1-1.2 arm64", "kubectl 1.34.1-1.2 arm64",
                            "kubelet 1.34.1-1.2 arm64", "kubernetes-cni 1.10.0-1.1 arm64"));
}

TEST_F(KubernetesFolder, TakesPackagesForEveryArchitecture) {
    put_debs();
    std::filesystem::remove(folder / "kubectl_1.34.1-1.1_arm64.deb");
    debs::write(folder, debs::of("kubectl", "1.34.1-1.1", "all"));
    EXPECT_THAT(chosen(), testing::Contains("kubectl 1.34.1-1.1 all"));
}

TEST_F(KubernetesFolder, NamesEverythingThatIsMissing) {
    put_debs();
    std::filesystem::remove(folder / "kubeadm_1.34.1-1.1_arm64.deb");
    std::filesystem::remove(folder / "cri-tools_1.34.0-1.1_arm64.deb");
    std::filesystem::remove(folder / "kubelet_1.34.1-1.1_arm64.deb");
    debs::write(folder, debs::of("kubelet", "1.33.0-1.1"));
    EXPECT_EQ(refused(), "the folder " + folder.string() +
                             " has no kubeadm 1.34.1, kubelet 1.34.1 (there is 1.33.0-1.1), cri-tools for arm64: put "
                             "the .deb files there, or the programs kubeadm, kubelet, kubectl, crictl and cni/* "
                             "themselves");
}

TEST_F(KubernetesFolder, SaysWhichArchitectureAPackageHasInstead) {
    put_debs();
    std::filesystem::remove(folder / "kubelet_1.34.1-1.1_arm64.deb");
    debs::write(folder, debs::of("kubelet", "1.34.1-1.1", "amd64"));
    EXPECT_THAT(refused(), HasSubstr(" has no kubelet 1.34.1 (there is 1.34.1-1.1 for amd64) for arm64: "));
}

TEST_F(KubernetesFolder, RefusesADamagedPackageByName) {
    put_debs();
    (void)scratch.write("kube/kubelet_1.34.1-1.1_arm64.deb", "no archive at all");
    EXPECT_THAT(refused(), StartsWith("reading the package kubelet_1.34.1-1.1_arm64.deb: "));
}

TEST_F(KubernetesFolder, RefusesAFolderThatIsNotThere) {
    request.kubernetes->folder = scratch / "none";
    EXPECT_EQ(refused(), "kubernetes.from: " + (scratch / "none").string() + " is not a folder");
}

TEST_F(KubernetesFolder, TakesPlainProgramsAndPlugins) {
    for (const char* name : {"kubeadm", "kubelet", "kubectl", "crictl", "cni/bridge", "cni/loopback"}) {
        (void)scratch.write(std::string("kube/") + name, vendors::program(183));
    }
    (void)scratch.write("kube/cni/LICENSE", "you may");
    const KubernetesParts parts = kubernetes_from_folder(request);
    EXPECT_THAT(parts.debs, IsEmpty());
    std::vector<std::string> found;
    for (const PlainProgram& program : parts.programs) found.push_back(program.package + " " + program.path);
    EXPECT_THAT(found, ElementsAre("cri-tools /usr/bin/crictl", "kubeadm /usr/bin/kubeadm", "kubectl /usr/bin/kubectl",
                                   "kubelet /usr/bin/kubelet", "kubernetes-cni /opt/cni/bin/bridge",
                                   "kubernetes-cni /opt/cni/bin/loopback"));
}

TEST_F(KubernetesFolder, DoesWithoutCrictlAndPluginsBesidePlainProgramsOnly) {
    for (const char* name : {"kubeadm", "kubelet", "kubectl"}) {
        (void)scratch.write(std::string("kube/") + name, vendors::program(183));
    }
    EXPECT_EQ(kubernetes_from_folder(request).programs.size(), 3U);
    std::filesystem::remove(folder / "kubectl");
    EXPECT_THAT(refused(), HasSubstr(" has no kubectl 1.34.1 for arm64: "));
}

TEST_F(KubernetesFolder, RefusesProgramsOfAnotherMachine) {
    for (const char* name : {"kubeadm", "kubelet", "kubectl"}) {
        (void)scratch.write(std::string("kube/") + name, vendors::program(183));
    }
    (void)scratch.write("kube/kubelet", vendors::program(62));
    EXPECT_EQ(refused(), (folder / "kubelet").string() + " is a program for amd64 but the node needs arm64");
    (void)scratch.write("kube/kubelet", vendors::program(40));
    EXPECT_EQ(refused(), (folder / "kubelet").string() + " is a program for another machine but the node needs arm64");
    (void)scratch.write("kube/kubelet", "#!/bin/sh\necho I am no kubelet\n");
    EXPECT_EQ(refused(),
              (folder / "kubelet").string() + " is no program (not a 64-bit ELF file): put the one for arm64 there");
    (void)scratch.write("kube/kubelet", vendors::program(183));
    (void)scratch.write("kube/cni/bridge", vendors::program(62));
    EXPECT_EQ(refused(), (folder / "cni/bridge").string() + " is a program for amd64 but the node needs arm64");
}

TEST_F(KubernetesFolder, IsAnotherTextExactlyIfTheBytesAreOthers) {
    put_debs();
    const std::string before = describe_kubernetes(kubernetes_from_folder(request));
    EXPECT_THAT(before, HasSubstr("kubernetes kubelet 1.34.1-1.1 arm64 " +
                                  sha256_of_file(folder / "kubelet_1.34.1-1.1_arm64.deb") + " hold\n"));
    EXPECT_EQ(describe_kubernetes(kubernetes_from_folder(request)), before);
    debs::Package changed = debs::of("kubelet", "1.34.1-1.1");
    changed.files["/usr/bin/kubelet"] += "another build";
    debs::write(folder, changed);
    EXPECT_NE(describe_kubernetes(kubernetes_from_folder(request)), before);
}

/// A Raspberry Pi OS image that packages go into.
class KubernetesInImage : public KubernetesFolder {
  protected:
    void SetUp() override {
        KubernetesFolder::SetUp();
        for (const char* tool : {"mke2fs", "mkfs.fat", "resize2fs"}) {
            if (!have_program(tool)) GTEST_SKIP() << tool << " is not installed";
        }
        image = vendors::rpios_trixie();
        image.root["/var/lib/dpkg/status"] +=
            vendors::installed("mount", "2.41-5") + vendors::installed("util-linux", "2.41-5") +
            "Package: kubectl\nStatus: deinstall ok config-files\nVersion: 1.30.0\n\n";
        request.base.kind = BaseKind::image;
        request.base.free_bytes = 4 << 20;
        request.cache = scratch / "cache";
        request.say = [this](const std::string& line) { said.push_back(line); };
    }
    BaseImage prepare() {
        request.base.source = vendors::write(scratch, "vendor.img", image).string();
        return prepare_base(request);
    }
    [[nodiscard]] static Ext4 root_of(const BaseImage& base) {
        return {base.path, read_partition_table(base.path).find(2)->offset, false};
    }
    /// What was said about leaving Kubernetes to the node.
    [[nodiscard]] std::vector<std::string> left() const {
        std::vector<std::string> found;
        std::copy_if(said.begin(), said.end(), std::back_inserter(found),
                     [](const std::string& line) { return line.rfind("Kubernetes is left to the node: ", 0) == 0; });
        return found;
    }

    vendors::Image image;
    std::vector<std::string> said;
};

TEST_F(KubernetesInImage, InstallsPackagesOnHold) {
    put_debs();
    const BaseImage base = prepare();
    EXPECT_EQ(base.facts.packages.at("kubelet"), "1.34.1-1.1");
    EXPECT_EQ(base.facts.packages.at("cri-tools"), "1.34.0-1.1");
    const Ext4 root = root_of(base);
    EXPECT_EQ(root.read_file("/usr/bin/kubelet"), vendors::program(183));
    EXPECT_EQ(root.stat("/usr/bin/kubelet")->mode, S_IFREG | 0755U);
    EXPECT_EQ(root.read_file("/opt/cni/bin/bridge"), vendors::program(183));
    const std::string status = root.read_file("/var/lib/dpkg/status");
    EXPECT_THAT(status, HasSubstr("Package: kubelet\nStatus: hold ok installed\nVersion: 1.34.1-1.1\n"));
    EXPECT_THAT(status, HasSubstr("Package: mount\nStatus: install ok installed\n"));
    EXPECT_THAT(status, HasSubstr("Conffiles:\n /etc/default/kubelet " + md5("KUBELET_EXTRA_ARGS=\n") + "\n"));
    EXPECT_THAT(status, Not(HasSubstr("deinstall ok config-files\nVersion: 1.30.0")));
    EXPECT_THAT(root.read_file("/var/lib/dpkg/info/kubelet.list"), HasSubstr("\n/usr/bin/kubelet\n"));
    EXPECT_EQ(root.read_file("/var/lib/dpkg/info/kubectl.md5sums"), md5(vendors::program(183)) + "  usr/bin/kubectl\n" +
                                                                        md5("Apache-2.0\n") +
                                                                        "  usr/share/doc/kubectl/copyright\n");
    EXPECT_EQ(root.stat("/var/lib/dpkg/info/kubelet.postinst")->mode, S_IFREG | 0755U);
    EXPECT_FALSE(root.stat("/ran")) << "a maintainer script ran";
    EXPECT_EQ(base.facts.layout, Layout::rpios_trixie);
}

TEST_F(KubernetesInImage, LeavesACleanFileSystemThatDpkgReads) {
    if (!have_program("debugfs")) GTEST_SKIP() << "debugfs is not installed";
    put_debs();
    const BaseImage base = prepare();
    const PartitionTable table = read_partition_table(base.path);
    const std::filesystem::path partition = scratch / "root.ext4";
    run_checked({{"dd", "status=none", "bs=1M", "if=" + base.path.string(), "of=" + partition.string(),
                  "iflag=skip_bytes", "skip=" + std::to_string(table.find(2)->offset)}});
    const Result checked = run({{"e2fsck", "-fn", partition.string()}});
    EXPECT_EQ(checked.status, 0) << checked.output;
    const std::filesystem::path admin = scratch / "admin";
    std::filesystem::create_directories(admin);
    run_checked({{"debugfs", "-R", "rdump /var/lib/dpkg " + admin.string(), partition.string()}});
    const std::string database = "--admindir=" + (admin / "dpkg").string();
    (void)scratch.write("admin/dpkg/arch", "arm64\n");
    EXPECT_THAT(run_checked({{"dpkg-query", database, "-W", "-f", "${db:Status-Abbrev}${Package} ${Version}\n"}}),
                AllOf(HasSubstr("hi kubelet 1.34.1-1.1\n"), HasSubstr("hi kubernetes-cni 1.7.1-1.1\n"),
                      HasSubstr("ii mount 2.41-5\n")));
    EXPECT_THAT(run_checked({{"dpkg-query", database, "-L", "kubelet"}}), HasSubstr("/usr/bin/kubelet\n"));
}

TEST_F(KubernetesInImage, ListsPlainProgramsByTheNamesOfTheirPackages) {
    for (const char* name : {"kubeadm", "kubelet", "kubectl", "cni/bridge"}) {
        (void)scratch.write(std::string("kube/") + name, vendors::program(183));
    }
    const BaseImage base = prepare();
    const Ext4 root = root_of(base);
    EXPECT_EQ(root.read_file(programs_list), "kubeadm 1.34.1\nkubectl 1.34.1\nkubelet 1.34.1\nkubernetes-cni 1.34.1\n");
    EXPECT_EQ(root.stat("/usr/bin/kubeadm")->mode, S_IFREG | 0755U);
    EXPECT_EQ(root.stat("/usr/bin/kubeadm")->uid, 0U);
    EXPECT_EQ(base.facts.packages.at("kubernetes-cni"), "1.34.1");
    EXPECT_EQ(base.facts.packages.count("cri-tools"), 0U);
    EXPECT_EQ(base.facts.layout, Layout::rpios_trixie);
}

TEST_F(KubernetesInImage, NamesTheDependenciesThatTheImageLacks) {
    image.root["/var/lib/dpkg/status"] = vendors::installed("util-linux", "2.0-1");
    put_debs();
    EXPECT_THAT(
        refusal([&] { (void)prepare(); }),
        HasSubstr("the base lacks what the packages of Kubernetes depend on: kubelet needs mount; kubelet needs "
                  "util-linux (>= 2.30) | busybox; add it to the role's packages in the profile"));
    // The node will have installed them before kubelet starts.
    request.packages = {"mount", "util-linux"};
    EXPECT_EQ(refusal([&] { (void)prepare(); }), "accepted");
}

TEST_F(KubernetesInImage, RefusesAnotherVersionInTheImageAndKeepsTheSame) {
    put_debs();
    image.root["/var/lib/dpkg/status"] += vendors::installed("kubelet", "1.33.0-1.1");
    EXPECT_THAT(refusal([&] { (void)prepare(); }),
                HasSubstr("the image has kubelet 1.33.0-1.1 already, but 1.34.1-1.1 is wanted: take an image without "
                          "it, or that version"));
    image.root["/var/lib/dpkg/status"] =
        vendors::rpios_trixie().root["/var/lib/dpkg/status"] + vendors::installed("mount", "2.41-5") +
        vendors::installed("util-linux", "2.41-5") + vendors::installed("kubelet", "1.34.1-1.1");
    const BaseImage base = prepare();
    EXPECT_FALSE(root_of(base).stat("/usr/bin/kubelet"));
    EXPECT_TRUE(root_of(base).stat("/usr/bin/kubeadm"));
}

TEST_F(KubernetesInImage, RefusesAFileThatAnotherPackageHas) {
    put_debs();
    image.root["/usr/bin/kubectl"] = "of someone else";
    image.root["/var/lib/dpkg/info/snatcher.list"] = "/.\n/usr/bin\n/usr/bin/kubectl\n";
    EXPECT_THAT(refusal([&] { (void)prepare(); }),
                HasSubstr("the packages kubectl and snatcher of the image both have /usr/bin/kubectl"));
}

TEST_F(KubernetesInImage, MakesAnotherBaseOfAChangedFolderOnly) {
    put_debs();
    const std::string first = prepare().facts.id;
    EXPECT_EQ(prepare_base(request).facts.id, first);
    debs::Package changed = debs::of("kubelet", "1.34.1-1.1");
    changed.files["/usr/bin/kubelet"] += "another build";
    debs::write(folder, changed);
    const BaseImage second = prepare_base(request);
    EXPECT_NE(second.facts.id, first);
    EXPECT_THAT(root_of(second).read_file("/usr/bin/kubelet"), testing::EndsWith("another build"));
}

TEST_F(KubernetesInImage, IsNotAskedForByRolesThatRunNone) {
    request.kubernetes_packages.clear();
    request.kubernetes->folder = scratch / "none";
    EXPECT_EQ(prepare().facts.packages.count("kubelet"), 0U);
    EXPECT_THAT(left(), IsEmpty());
}

/// A port that nobody listens on.
std::string closed_port() {
    const HttpServer server({});
    return server.url("");
}

TEST_F(KubernetesInImage, SaysOnceThatNobodyAnswersAndUsesTheSameBaseUntilItIsRefreshed) {
    if (!have_program("curl")) GTEST_SKIP() << "curl is not installed";
    request.kubernetes->source = KubernetesSource::automatic;
    request.kubernetes_archive.url = closed_port();
    const std::string id = prepare().facts.id;
    ASSERT_EQ(left().size(), 1U);
    EXPECT_THAT(left()[0],
                AllOf(HasSubstr(request.kubernetes_archive.url + "/core:/stable:/v1.34/deb/ does not answer: "),
                      Not(HasSubstr("\n"))));
    EXPECT_EQ(prepare_base(request).facts.id, id);
    ASSERT_EQ(left().size(), 2U);
    EXPECT_THAT(left()[1], HasSubstr("--refresh-base asks its archive again"));
    request.refresh = true;
    EXPECT_EQ(prepare_base(request).facts.id, id);
    ASSERT_EQ(left().size(), 3U);
    EXPECT_THAT(left()[2], HasSubstr("does not answer"));
    request.refresh = false;
    request.kubernetes->source = KubernetesSource::first_boot;
    EXPECT_EQ(prepare_base(request).facts.id, id);
    EXPECT_EQ(left().size(), 3U) << "who asks for the first boot knows it";
}

TEST_F(KubernetesInImage, IsAnErrorIfTheRepositoryWasAskedForAndDoesNotAnswer) {
    if (!have_program("curl")) GTEST_SKIP() << "curl is not installed";
    request.kubernetes->source = KubernetesSource::repository;
    request.kubernetes_archive.url = closed_port();
    EXPECT_THAT(refusal([&] { (void)prepare(); }),
                AllOf(StartsWith("asking " + request.kubernetes_archive.url + "/core:/stable:/v1.34/deb/: "),
                      HasSubstr("curl: (7)")));
    EXPECT_THAT(left(), IsEmpty());
}

/// An archive in the form of pkgs.k8s.io, with a key of its own, on the loopback.
class KubernetesArchiveOnLoopback : public KubernetesInImage {
  protected:
    void SetUp() override {
        KubernetesInImage::SetUp();
        for (const char* tool : {"gpg", "gpg-agent", "apt-get", "curl"}) {
            if (!have_program(tool)) GTEST_SKIP() << tool << " is not installed: no archive can be made and read";
        }
        put_debs();
        request.kubernetes->source = KubernetesSource::repository;
        request.kubernetes->folder.clear();
        request.cache = scratch / "a cache";  // a space must do no harm
        keys = std::make_unique<debs::Keys>(scratch / "gpg");
        request.kubernetes_archive.fingerprint = keys->fingerprint();
    }
    [[nodiscard]] std::map<std::string, Page> pages() const {
        std::map<std::string, Page> result;
        const std::string at = "/core:/stable:/v1.34/deb/";
        for (const auto& [path, body] : debs::archive(folder, *keys)) result[at + path] = {body};
        return result;
    }
    BaseImage prepare_from(const HttpServer& server) {
        request.kubernetes_archive.url = server.url("");
        return prepare();
    }
    const std::string prefix = "/core:/stable:/v1.34/deb/";
    std::unique_ptr<debs::Keys> keys;
};

TEST_F(KubernetesArchiveOnLoopback, GivesThePackages) {
    debs::write(folder, debs::of("kubelet", "1.34.2-1.1"));
    debs::write(folder, debs::of("cri-tools", "1.33.0-1.1"));
    const HttpServer server(pages());
    const BaseImage base = prepare_from(server);
    EXPECT_EQ(base.facts.packages.at("kubelet"), "1.34.1-1.1");
    EXPECT_EQ(base.facts.packages.at("cri-tools"), "1.34.0-1.1");
    EXPECT_EQ(root_of(base).read_file("/usr/bin/kubelet"), vendors::program(183));
    // Who left the choice to us gets the same base, and needs no network for it.
    const std::size_t asked = server.asked().size();
    request.kubernetes->source = KubernetesSource::automatic;
    request.offline = true;
    EXPECT_EQ(prepare_base(request).facts.id, base.facts.id);
    EXPECT_EQ(server.asked().size(), asked);
    EXPECT_THAT(left(), IsEmpty());
}

TEST_F(KubernetesArchiveOnLoopback, SaysWhichVersionsThereAreInstead) {
    request.kubernetes->version = {1, 34, 7};
    const HttpServer server(pages());
    EXPECT_THAT(refusal([&] { (void)prepare_from(server); }),
                HasSubstr("there is no kubeadm 1.34.7 (there is 1.34.1-1.1), kubectl 1.34.7 (there is 1.34.1-1.1), "
                          "kubelet 1.34.7 (there is 1.34.1-1.1) for arm64: choose another kubernetes.version, or give "
                          "a folder (kubernetes.from)"));
}

TEST_F(KubernetesArchiveOnLoopback, RefusesAnotherKey) {
    request.kubernetes_archive.fingerprint = KubernetesArchive().fingerprint;
    request.kubernetes->source = KubernetesSource::automatic;
    const HttpServer server(pages());
    EXPECT_EQ(refusal([&] { (void)prepare_from(server); }),
              "untrusted: asking " + server.url(prefix) + ": " + server.url(prefix) + "Release.key is the key " +
                  keys->fingerprint() +
                  ", expected the key DE15B14486CD377B9E876E1A234654DA9A296436: do not use this "
                  "archive");
    EXPECT_THAT(server.asked(), ElementsAre(prefix + "Release.key"));
}

TEST_F(KubernetesArchiveOnLoopback, RefusesAKeyFileWithASecondKey) {
    auto changed = pages();
    const debs::Keys other(scratch / "gpg2");
    changed[prefix + "Release.key"].body =
        read_public_keys(keys->exported()).packets + read_public_keys(other.exported()).packets;
    const HttpServer server(changed);
    EXPECT_THAT(refusal([&] { (void)prepare_from(server); }),
                AllOf(StartsWith("untrusted: "), HasSubstr(" is the key " + keys->fingerprint() + " and " +
                                                           other.fingerprint() + ", expected the key ")));
}

TEST_F(KubernetesArchiveOnLoopback, RefusesAPageThatIsNoKey) {
    auto changed = pages();
    changed[prefix + "Release.key"].body = "<html>please log in to this network</html>";
    const HttpServer server(changed);
    EXPECT_THAT(refusal([&] { (void)prepare_from(server); }),
                AllOf(StartsWith("untrusted: "), HasSubstr("Release.key is no key (the file holds no OpenPGP keys)")));
}

TEST_F(KubernetesArchiveOnLoopback, RefusesAnIndexSignedByAnotherKey) {
    const debs::Keys other(scratch / "gpg2");
    auto changed = pages();
    changed[prefix + "InRelease"].body = other.signed_text(debs::release(debs::packages_index(folder)));
    const HttpServer server(changed);
    EXPECT_THAT(refusal([&] { (void)prepare_from(server); }),
                AllOf(StartsWith("untrusted: "),
                      HasSubstr("the package archive is not signed by the key " + keys->fingerprint())));
}

TEST_F(KubernetesArchiveOnLoopback, RefusesATamperedSignedIndex) {
    auto changed = pages();
    std::string& text = changed[prefix + "InRelease"].body;
    text.replace(text.find("Suite: stable"), 13, "Suite: evil!!");
    const HttpServer server(changed);
    EXPECT_THAT(refusal([&] { (void)prepare_from(server); }),
                AllOf(StartsWith("untrusted: "), HasSubstr("the package archive is not signed by the key ")));
}

TEST_F(KubernetesArchiveOnLoopback, RefusesATamperedListOfPackages) {
    auto changed = pages();
    std::string& text = changed[prefix + "Packages"].body;
    text.replace(text.find("SHA256: ") + 8, 4, "0000");
    const HttpServer server(changed);
    EXPECT_THAT(refusal([&] { (void)prepare_from(server); }),
                AllOf(StartsWith("untrusted: "), HasSubstr("the package index is not the one that was signed: ")));
}

TEST_F(KubernetesArchiveOnLoopback, RefusesATamperedPackage) {
    auto changed = pages();
    std::string& bytes = changed[prefix + "arm64/kubelet_1.34.1-1.1_arm64.deb"].body;
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
    const HttpServer server(changed);
    EXPECT_THAT(refusal([&] { (void)prepare_from(server); }),
                AllOf(StartsWith("untrusted: "), HasSubstr("fetching kubelet 1.34.1-1.1: "),
                      HasSubstr("the package is not the one of the signed index")));
}

TEST_F(KubernetesArchiveOnLoopback, RefusesAnArchiveWithoutASignature) {
    auto changed = pages();
    changed[prefix + "Release"].body = debs::release(debs::packages_index(folder));
    changed.erase(prefix + "InRelease");
    const HttpServer server(changed);
    EXPECT_THAT(refusal([&] { (void)prepare_from(server); }),
                AllOf(StartsWith("untrusted: "), HasSubstr("the package archive is not signed by the key ")));
}

TEST(KubernetesKey, IsTheOneThatTheNodeExpectsToo) {
    const std::string script = slurp(std::string(MAKINA_SOURCE) + "/overlays/any/usr/lib/makina/install-packages.in");
    EXPECT_THAT(script, HasSubstr("\nfingerprint='" + KubernetesArchive().fingerprint + "'\n"));
}

TEST(KubernetesKey, IsAskedForAtTheAddressThatTheNodeUsesToo) {
    EXPECT_EQ(kubernetes_repository({}, {1, 34, 1}), "https://pkgs.k8s.io/core:/stable:/v1.34/deb/");
}

}  // namespace
}  // namespace makina
