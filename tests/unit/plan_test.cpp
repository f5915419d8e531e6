#include "builder/plan.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "firstboot/bundle/error.hpp"
#include "tests/unit/clusters.hpp"
#include "tests/unit/plans.hpp"
#include "tests/unit/scratch.hpp"

namespace makina {
namespace {

using plans::content;
using plans::enabled;
using plans::masked;
using plans::node_of;
using plans::plan_of;
using plans::problem;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// --- what every node is ---

TEST(Plan, CarriesNodeBaseAndTime) {
    const ImagePlan plan = plan_of(clusters::pair(), "master-1");
    EXPECT_EQ(plan.node.name, "master-1");
    EXPECT_EQ(plan.cluster, "makina");
    EXPECT_EQ(plan.base_id, "test-base");
    EXPECT_EQ(plan.built, 1760000000);
}

TEST(Plan, IsTheSameEveryTime) {
    for (const Node& node : clusters::external_etcd().nodes) {
        EXPECT_EQ(to_text(plan_of(clusters::external_etcd(), node.name)),
                  to_text(plan_of(clusters::external_etcd(), node.name)));
    }
}

TEST(Plan, NamesEveryNodeAndTheEndpointInHosts) {
    const std::string hosts = content(plan_of(clusters::pair(), "worker-1"), "/etc/hosts");
    for (const char* line :
         {"127.0.0.1 localhost\n", "192.168.3.251 master-1\n", "192.168.3.242 lb-2\n", "192.168.3.1 gateway-1\n",
          "192.168.3.240 kubernetes-api\n", "192.168.3.240 api.home.arpa\n"}) {
        EXPECT_THAT(hosts, HasSubstr(line));
    }
}

TEST(Plan, GivesEveryNodeItsFixedAddress) {
    const std::string network = content(plan_of(clusters::pair(), "lb-2"), "/etc/systemd/network/10-makina.network");
    EXPECT_THAT(network, HasSubstr("\n[Network]\nGateway=192.168.3.1\n"));
    // Probed before it is taken, at every boot.
    EXPECT_THAT(network, HasSubstr("\n[Address]\nAddress=192.168.3.242/24\nDuplicateAddressDetection=ipv4\n"));
    EXPECT_TRUE(enabled(plan_of(clusters::pair(), "lb-2"), "systemd-networkd.service"));
}

TEST(Plan, AsksWhoHasTheAddressBeforeNetworkdDoesWhereThatLeavesItInPlace) {
    const std::string ask = "/usr/lib/systemd/network/00-makina-ask.network";
    for (const auto& [name, card, settings] :
         {std::tuple{"lb-2", "eth0 en*", "10-makina"}, std::tuple{"gateway-1", "eth1", "10-makina-inside"}}) {
        const ImagePlan plan = plan_of(clusters::pair(), name);
        EXPECT_TRUE(enabled(plan, "makina-address.service"));
        const std::string unit = content(plan, "/etc/systemd/system/makina-address.service");
        const std::string file = std::string("/etc/systemd/network/") + settings + ".network";
        EXPECT_THAT(unit, HasSubstr("\nExecStart=/usr/sbin/makina-firstboot take-address " + file + "\n"));
        EXPECT_THAT(unit, HasSubstr("\nExecStopPost=/usr/lib/makina/own-network-settings\n"));
        EXPECT_EQ(plan.files.find("/usr/lib/makina/own-network-settings")->mode, 0755U);
        EXPECT_THAT(content(plan, file), HasSubstr(std::string("\nName=") + card + "\n"));
        EXPECT_THAT(content(plan, ask), HasSubstr(std::string("\nName=") + card + "\n"));
        EXPECT_THAT(content(plan, ask), Not(HasSubstr("\nAddress=")));
    }
    // Raspberry Pi OS bookworm.
    BaseFacts base = clusters::debian(clusters::pair());
    base.packages["systemd"] = "252.39-1~deb12u1";
    const ImagePlan old = plan_of(clusters::pair(), "lb-2", base);
    EXPECT_FALSE(enabled(old, "makina-address.service"));
    EXPECT_EQ(old.files.find(ask), nullptr);
    EXPECT_EQ(old.files.find("/usr/lib/makina/own-network-settings"), nullptr);
}

TEST(Plan, EveryNodeRunsTheDaemon) {
    const Profile profile = clusters::external_etcd();
    for (const Node& node : profile.nodes) {
        const ImagePlan plan = plan_of(profile, node.name);
        EXPECT_TRUE(enabled(plan, "makina-firstboot.service")) << node.name;
        const std::string unit = content(plan, "/etc/systemd/system/makina-firstboot.service");
        EXPECT_THAT(unit, HasSubstr("\nExecStart=/usr/sbin/makina-firstboot run\n"));
        // A bundle that is not genuine stays so, however often it is asked.
        EXPECT_THAT(unit, HasSubstr("\nRestartPreventExitStatus=3\n"));
        // It must come up without any network, to say so.
        EXPECT_THAT(unit, Not(HasSubstr("network-online")));
    }
}

TEST(Plan, ResolvesNamesWithTheServersOfTheProfile) {
    const ImagePlan plan = plan_of(clusters::pair(), "worker-1");
    EXPECT_THAT(content(plan, "/etc/systemd/resolved.conf.d/makina.conf"),
                HasSubstr("\nDNS=192.168.3.1\nDNS=9.9.9.9\n"));
    EXPECT_EQ(content(plan, "/etc/resolv.conf"), "../run/systemd/resolve/stub-resolv.conf");
    EXPECT_THAT(content(plan, "/etc/systemd/timesyncd.conf.d/makina.conf"),
                HasSubstr("\nNTP=0.debian.pool.ntp.org\nNTP=1.debian.pool.ntp.org\n"));
}

TEST(Plan, WritesServersDirectlyIfTheBaseHasNoResolver) {
    BaseFacts base = clusters::debian(clusters::pair());
    base.packages.erase("systemd-resolved");
    const ImagePlan plan = plan_of(clusters::pair(), "master-1", base);
    EXPECT_EQ(plan.files.find("/etc/resolv.conf")->kind, FileKind::regular);
    EXPECT_THAT(content(plan, "/etc/resolv.conf"), HasSubstr("\nnameserver 192.168.3.1\nnameserver 9.9.9.9\n"));
    EXPECT_THAT(content(plan, "/etc/kubernetes/makina/init.yaml"), Not(HasSubstr("resolvConf")));
}

TEST(Plan, AGatewayDoesNotAskItselfForNames) {
    EXPECT_THAT(content(plan_of(clusters::pair(), "gateway-1"), "/etc/systemd/resolved.conf.d/makina.conf"),
                Not(HasSubstr("192.168.3.1")));
}

TEST(Plan, OnlyTheAdministratorsKeyOpensANode) {
    const ImagePlan plan = plan_of(clusters::pair(), "lb-1");
    const std::string sshd = content(plan, "/etc/ssh/sshd_config.d/10-makina.conf");
    for (const char* line :
         {"\nAllowUsers makina\n", "\nPasswordAuthentication no\n", "\nPermitRootLogin no\n",
          "\nKbdInteractiveAuthentication no\n", "\nAuthorizedKeysFile /etc/ssh/makina_authorized_keys\n"}) {
        EXPECT_THAT(sshd, HasSubstr(line));
    }
    EXPECT_THAT(content(plan, "/etc/ssh/makina_authorized_keys"),
                HasSubstr("\nssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJSo2R1v me@home\n"));
    EXPECT_EQ(plan.files.find("/etc/sudoers.d/makina")->mode, 0440U);
    EXPECT_THAT(content(plan, "/etc/sudoers.d/makina"), HasSubstr("\nmakina ALL=(ALL) NOPASSWD: ALL\n"));
    EXPECT_THAT(content(plan, "/usr/lib/sysusers.d/makina.conf"), HasSubstr("\nu makina 1000 "));
}

TEST(Plan, NoCardHasTheKeysOrTheIdentityOfTheBase) {
    const ImagePlan plan = plan_of(clusters::pair(), "master-1");
    EXPECT_THAT(plan.removals, Contains("/etc/ssh/ssh_host_ed25519_key"));
    EXPECT_THAT(plan.removals, Contains("/etc/ssh/ssh_host_rsa_key.pub"));
    EXPECT_EQ(content(plan, "/etc/machine-id"), "");
    EXPECT_TRUE(enabled(plan, "makina-ssh-host-keys.service"));
}

TEST(Plan, HasSwapOffInEveryForm) {
    const ImagePlan plan = plan_of(clusters::pair(), "worker-1");
    for (const char* path :
         {"/etc/systemd/system/swap.target", "/etc/systemd/system/dphys-swapfile.service",
          "/etc/systemd/system-generators/rpi-swap-generator", "/etc/systemd/system-generators/zram-generator"}) {
        EXPECT_TRUE(masked(plan, path)) << path;
    }
    EXPECT_THAT(plan.removals, Contains("/var/swap"));
}

TEST(Plan, RemovesNothingThatItWrites) {
    Profile profile = clusters::pair();
    profile.extras[Role::worker].files = {{"/swapfile", "mine\n", 0600}};
    const ImagePlan plan = plan_of(profile, "worker-1");
    EXPECT_THAT(plan.removals, Not(Contains("/swapfile")));
    for (const std::string& path : plan.removals) {
        EXPECT_EQ(plan.files.find(path), nullptr) << path;
    }
}

TEST(Plan, LocksARootThatTheBaseLeavesOpen) {
    BaseFacts base = clusters::debian(clusters::pair());
    base.files["/etc/shadow"] = "root::19000:0:99999:7:::\nmakina-root:!:1::::::\n";
    const ImagePlan plan = plan_of(clusters::pair(), "master-1", base);
    EXPECT_EQ(content(plan, "/etc/shadow"), "root:*:19000:0:99999:7:::\nmakina-root:!:1::::::\n");
    EXPECT_EQ(plan.files.find("/etc/shadow")->mode, 0640U);
    EXPECT_EQ(plan.files.find("/etc/shadow")->group, "shadow");
    base.files["/etc/shadow"] = "root:*:19000:0:99999:7:::\n";
    EXPECT_EQ(plan_of(clusters::pair(), "master-1", base).files.find("/etc/shadow"), nullptr);
}

// --- packages and warnings ---

TEST(Plan, EveryRoleHasOnlyThePackagesThatItRuns) {
    const Profile profile = clusters::external_etcd();
    const auto has = [&](Role role, const std::string& name) {
        const std::vector<std::string> names = packages_for(profile, role);
        return std::find(names.begin(), names.end(), name) != names.end();
    };
    for (const Role role : all_roles()) {
        const bool kubernetes = role == Role::control_plane || role == Role::worker;
        EXPECT_EQ(has(role, "containerd"), kubernetes);
        EXPECT_EQ(has(role, "haproxy"), role == Role::load_balancer);
        EXPECT_EQ(has(role, "keepalived"), role == Role::load_balancer);
        EXPECT_EQ(has(role, "etcd-server"), role == Role::etcd);
        EXPECT_FALSE(has(role, "dnsmasq-base"));
        EXPECT_TRUE(has(role, "openssh-server"));
        EXPECT_TRUE(has(role, "linux-image-arm64"));
        EXPECT_FALSE(has(role, "linux-image-amd64"));
        const std::vector<std::string> names = packages_for(profile, role);
        EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
    }
    EXPECT_THAT(packages_for(profile, Role::worker, Architecture::amd64), Not(Contains("raspi-firmware")));
}

TEST(Plan, TheProfileAddsPackages) {
    Profile profile = clusters::pair();
    profile.extras[Role::worker].packages = {"nfs-common"};
    EXPECT_THAT(packages_for(profile, Role::worker), Contains("nfs-common"));
    EXPECT_THAT(packages_for(profile, Role::control_plane), Not(Contains("nfs-common")));
}

TEST(Plan, ANodeInstallsWhatTheBaseLacksAndThePersonIsTold) {
    BaseFacts base = clusters::debian(clusters::pair());
    for (const char* name : {"kubeadm", "kubelet", "socat"}) {
        base.packages.erase(name);
    }
    const ImagePlan plan = plan_of(clusters::pair(), "master-1", base);
    EXPECT_THAT(plan.first_boot, ElementsAre("kubeadm", "kubelet", "socat"));
    EXPECT_THAT(
        plan.warnings,
        ElementsAre("master-1: the image lacks kubeadm, kubelet 1.34.1: the node installs them at its first boot and "
                    "needs the internet for it",
                    "master-1: the base lacks socat: the node installs them at its first boot and needs the internet "
                    "for it"));
    EXPECT_EQ(content(plan, "/etc/makina/packages"), "kubeadm\nkubelet\nsocat\n");
    const std::string script = content(plan, "/usr/lib/makina/install-packages");
    EXPECT_THAT(script, HasSubstr("\nrepository='https://pkgs.k8s.io/core:/stable:/v1.34/deb/'\n"));
    EXPECT_THAT(script, HasSubstr("\nfingerprint='DE15B14486CD377B9E876E1A234654DA9A296436'\n"));
    EXPECT_THAT(content(plan, "/etc/apt/preferences.d/makina-kubernetes"), HasSubstr("\nPin: version 1.34.1-*\n"));
    EXPECT_EQ(plan_of(clusters::pair(), "master-1").files.find("/usr/lib/makina/install-packages"), nullptr);
}

TEST(Plan, TellsThatNoArchiveHasAnOldKubernetes) {
    Profile profile = clusters::pair();
    profile.kubernetes.version = {1, 13, 5};
    profile.control_plane = {};
    BaseFacts base = clusters::debian(profile);
    base.packages.erase("kubeadm");
    EXPECT_THAT(
        plan_of(profile, "worker-1", base).warnings,
        ElementsAre("worker-1: the image lacks kubeadm, and pkgs.k8s.io begins with 1.24: give a folder that has "
                    "1.13.5",
                    "worker-1: kubernetes 1.13.5 knows only cgroup v1, and the base has cgroup v2: kubelet may not "
                    "start"));
}

TEST(Plan, TellsThatArgumentsHaveNowhereToGo) {
    Profile profile = clusters::pair();
    profile.extras[Role::worker].kernel_arguments = {"panic=10"};
    BaseFacts base = clusters::debian(profile);
    base.kernel = "";
    EXPECT_THAT(
        plan_of(profile, "worker-1", base).warnings,
        ElementsAre("worker-1: kernel arguments and config.txt lines of the profile are left out: this base boots "
                    "its own way"));
}

TEST(Plan, OldKubernetesUsesOldIptables) {
    Profile profile = clusters::pair();
    profile.kubernetes.version = {1, 13, 5};
    EXPECT_EQ(content(plan_of(profile, "worker-1"), "/etc/alternatives/ip6tables-save"),
              "/usr/sbin/ip6tables-legacy-save");
    EXPECT_EQ(plan_of(profile, "lb-1").files.find("/etc/alternatives/iptables"), nullptr);
    EXPECT_EQ(plan_of(clusters::pair(), "worker-1").files.find("/etc/alternatives/iptables"), nullptr);
}

TEST(Plan, ControlPlanesCarryTheManifestsInTheirOrder) {
    const Scratch scratch;
    Profile profile = clusters::pair();
    profile.manifests = {scratch.write("z.yaml", "kind: Z\n"), scratch.write("a.yaml", "kind: A\n")};
    const ImagePlan plan = plan_of(profile, "master-2");
    EXPECT_EQ(content(plan, "/etc/kubernetes/makina/manifests/01-z.yaml"), "kind: Z\n");
    EXPECT_EQ(content(plan, "/etc/kubernetes/makina/manifests/02-a.yaml"), "kind: A\n");
    EXPECT_EQ(plan_of(profile, "worker-1").files.find("/etc/kubernetes/makina/manifests/01-z.yaml"), nullptr);
    profile.manifests = {"/nowhere/flannel.yaml"};
    EXPECT_EQ(problem(profile, "master-1"), "reading /nowhere/flannel.yaml: no such file or directory");
}

TEST(Plan, TellsThatNobodyCanLogIn) {
    Profile profile = clusters::pair();
    profile.admin.ssh_keys.clear();
    EXPECT_THAT(plan_of(profile, "lb-1").warnings,
                ElementsAre("lb-1: nobody can log in: the profile has no ssh key (admin: ssh_keys)"));
}

TEST(Plan, TellsOfBoardsAndVersionsThatDoNotFit) {
    Profile profile = clusters::pair();
    node_of(profile, "worker-1").hardware = Hardware::rpi5;
    profile.kubernetes.version = {1, 36, 0};
    EXPECT_THAT(
        plan_of(profile, "worker-1").warnings,
        ElementsAre(
            "worker-1: kubernetes 1.36.0 wants containerd 2, the base has containerd 1",
            "worker-1: a Raspberry Pi 5 does not start with Debian's kernel: use a Raspberry Pi OS image as base"));
}

TEST(Plan, RefusesABaseOfAnotherArchitecture) {
    Profile profile = clusters::pair();
    node_of(profile, "worker-1").architecture = Architecture::amd64;
    EXPECT_EQ(problem(profile, "worker-1"), "node \"worker-1\" is amd64, the base is arm64");
}

// --- the profile's own files and values ---

TEST(Plan, WritesTheProfilesFilesAndSysctls) {
    Profile profile = clusters::pair();
    profile.extras[Role::worker].files = {{"/etc/motd", "{{ not a template }} %% end\n", 0600}};
    profile.extras[Role::worker].sysctls = {{"vm.swappiness", "0"}, {"net.ipv4.tcp_rmem", "4096 87380 6291456"}};
    const ImagePlan plan = plan_of(profile, "worker-1");
    EXPECT_EQ(content(plan, "/etc/motd"), "{{ not a template }} %% end\n");
    EXPECT_EQ(plan.files.find("/etc/motd")->mode, 0600U);
    EXPECT_THAT(content(plan, "/etc/sysctl.d/95-profile.conf"),
                HasSubstr("\nnet.ipv4.tcp_rmem = 4096 87380 6291456\nvm.swappiness = 0\n"));
    EXPECT_EQ(plan_of(profile, "master-1").files.find("/etc/motd"), nullptr);
    EXPECT_EQ(plan_of(profile, "master-1").files.find("/etc/sysctl.d/95-profile.conf"), nullptr);
}

TEST(Plan, RefusesValuesThatWouldBecomeConfiguration) {
    const auto with = [](auto change) {
        Profile profile = clusters::pair();
        change(profile);
        return problem(profile, "worker-1");
    };
    const auto label = [&](const std::string& key, const std::string& value) {
        return with([&](Profile& profile) { node_of(profile, "worker-1").labels = {{key, value}}; });
    };
    EXPECT_EQ(label("a\"b", "c"), "node \"worker-1\": label \"a\"b\": a label's key is letters, digits and ._/-");
    EXPECT_EQ(label("a", "b,c=d"),
              "node \"worker-1\": value of label a \"b,c=d\": a label's value is letters, digits and ._-");
    EXPECT_EQ(label("a", "$(reboot)"),
              "node \"worker-1\": value of label a \"$(reboot)\": a label's value is letters, digits and ._-");
    EXPECT_EQ(label("a", "b\nc"),
              "node \"worker-1\": value of label a \"b\\x0ac\": a label's value is letters, digits and ._-");
    const auto taint = [&](const std::string& text) {
        return with([&](Profile& profile) { node_of(profile, "worker-1").taints = {text}; });
    };
    for (const char* bad : {"a", "a=b", "a=b:Never", "a b:NoExecute", ":NoExecute", "a=\"b:NoExecute"}) {
        EXPECT_THAT(taint(bad),
                    HasSubstr("write key=value:Effect, the effect NoSchedule, PreferNoSchedule or NoExecute"));
    }
    const auto sysctl = [&](const std::string& key, const std::string& value) {
        return with([&](Profile& profile) { profile.extras[Role::worker].sysctls = {{key, value}}; });
    };
    EXPECT_EQ(sysctl("a b", "1"), "sysctl \"a b\": a key is letters, digits and ._/*-");
    EXPECT_EQ(sysctl("a", "1\nkernel.panic = 0"), "value of sysctl a \"1\\x0akernel.panic = 0\": it must be one line");
    EXPECT_EQ(sysctl("a", ""), "value of sysctl a \"\": it must be one line");
    EXPECT_EQ(with([](Profile& profile) { profile.extras[Role::worker].kernel_arguments = {"a b"}; }),
              "kernel argument \"a b\": it must be one word");
    EXPECT_EQ(with([](Profile& profile) { profile.extras[Role::worker].config_txt = {"a\nb"}; }),
              "line of config.txt \"a\\x0ab\": it must be one line");
    for (const char* bad : {"etc/x", "/etc/../x", "/etc/./x", "/etc//x", "/etc/x/", "/", "/etc/\nx"}) {
        EXPECT_THAT(with([&](Profile& profile) {
                        profile.extras[Role::worker].files = {{bad, "", 0644}};
                    }),
                    HasSubstr("a path is absolute, without . or .. in it"))
            << bad;
    }
}

TEST(Plan, RefusesNamesThatWouldBecomeConfiguration) {
    for (const char* name : {"a b", "a\nb", "a\"", "$(a)", "{{a}}", "a;b", "a#"}) {
        Profile profile = clusters::pair();
        node_of(profile, "worker-1").name = name;
        EXPECT_THAT(problem(profile, "master-1"), HasSubstr("overlays/any/etc/hosts.in:")) << name;
    }
    Profile profile = clusters::pair();
    profile.network.ntp = {"a.b\n[Manager]"};
    EXPECT_EQ(problem(profile, "worker-1"),
              "overlays/any/etc/systemd/timesyncd.conf.d/makina.conf.in:5: \"server\" is \"a.b\\x0a[Manager]\": only "
              "letters, "
              "digits and ._:/,@+=~- can stand here");
    profile = clusters::pair();
    profile.admin.ssh_keys = {"ssh-ed25519 AAAA\nssh-ed25519 BBBB"};
    EXPECT_THAT(problem(profile, "worker-1"), HasSubstr("a control character cannot stand here"));
    profile = clusters::pair();
    profile.name = "x\"\nevil: yes {{ a }}";
    EXPECT_THAT(content(plan_of(profile, "master-1"), "/etc/kubernetes/makina/init.yaml"),
                HasSubstr("\nclusterName: \"x\\\"\\x0aevil: yes {{ a }}\"\n"));
}

TEST(Plan, NamesFileAndLineOfAWrongTemplate) {
    try {
        (void)plan_image(clusters::pair(), clusters::pair().nodes[0], clusters::debian(clusters::pair()), "/nowhere");
        FAIL();
    } catch (const Error& error) {
        EXPECT_STREQ(error.what(), "overlays/any: no such folder at /nowhere/any");
    }
}

TEST(Plan, IsReadByPeople) {
    BaseFacts base = clusters::debian(clusters::pair());
    base.packages.erase("kubelet");
    const std::string text = to_text(plan_of(clusters::pair(), "master-1", base));
    for (const char* line :
         {"node      master-1 (control-plane, arm64, rpi4)\n", "address   192.168.3.251\n", "cluster   makina\n",
          "base      test-base\n", "  0644 root:root    9       /etc/hostname  (overlays/any/etc/hostname.in)\n",
          " root:root    link    /etc/systemd/system/swap.target -> /dev/null  (overlays/any/etc/systemd/system/",
          "\nremoved from the base\n  /etc/ssh/ssh_host_rsa_key\n",
          "\ninstalled by the node at its first boot\n  kubelet\n",
          "\nwarnings\n  master-1: the image lacks kubelet 1.34.1:"}) {
        EXPECT_THAT(text, HasSubstr(line));
    }
}

}  // namespace
}  // namespace makina
