#include "builder/plan.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "builder/plan/parts.hpp"
#include "firstboot/bundle/error.hpp"
#include "tests/unit/clusters.hpp"

namespace makina {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const std::filesystem::path overlays = std::filesystem::path(MAKINA_SOURCE) / "overlays";

ImagePlan plan_of(const Profile& profile, const std::string& node) {
    return plan_image(profile, *profile.find(node), clusters::debian(profile), overlays);
}

ImagePlan plan_of(const Profile& profile, const std::string& node, const BaseFacts& base) {
    return plan_image(profile, *profile.find(node), base, overlays);
}

std::string content(const ImagePlan& plan, const std::string& path) {
    const File* file = plan.files.find(path);
    return file == nullptr ? "(no " + path + ")" : file->content;
}

std::string problem(const Profile& profile, const std::string& node) {
    try {
        (void)plan_of(profile, node);
        return "no error";
    } catch (const Error& error) {
        return error.what();
    }
}

Node& node_of(Profile& profile, const std::string& name) {
    return *std::find_if(profile.nodes.begin(), profile.nodes.end(),
                         [&](const Node& node) { return node.name == name; });
}

bool masked(const ImagePlan& plan, const std::string& path) {
    const File* file = plan.files.find(path);
    return file != nullptr && file->kind == FileKind::symlink && file->content == "/dev/null";
}

bool enabled(const ImagePlan& plan, const std::string& unit) {
    for (const char* target : {"multi-user", "sysinit", "sockets"}) {
        const File* file = plan.files.find("/etc/systemd/system/" + std::string(target) + ".target.wants/" + unit);
        if (file != nullptr && file->kind == FileKind::symlink) {
            return true;
        }
    }
    return false;
}

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
    EXPECT_THAT(network, HasSubstr("\nAddress=192.168.3.242/24\nGateway=192.168.3.1\n"));
    EXPECT_TRUE(enabled(plan_of(clusters::pair(), "lb-2"), "systemd-networkd.service"));
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

// --- N rows: what a Kubernetes node is ---

TEST(Plan, KubernetesNodesHaveModulesAndSysctls) {
    for (const char* node : {"master-1", "worker-1"}) {
        const ImagePlan plan = plan_of(clusters::pair(), node);
        const std::string modules = content(plan, "/etc/modules-load.d/makina.conf");
        for (const char* module : {"\noverlay\n", "\nbr_netfilter\n", "\nvxlan\n", "\nnf_conntrack\n"}) {
            EXPECT_THAT(modules, HasSubstr(module));
        }
        const std::string sysctls = content(plan, "/etc/sysctl.d/90-makina.conf");
        for (const char* line : {"\nnet.ipv4.ip_forward = 1\n", "\nnet.bridge.bridge-nf-call-iptables = 1\n",
                                 "\nnet.bridge.bridge-nf-call-ip6tables = 1\n"}) {
            EXPECT_THAT(sysctls, HasSubstr(line));
        }
    }
}

TEST(Plan, OtherNodesHaveNothingOfKubernetes) {
    for (const char* node : {"lb-1", "etcd-1", "gateway-1"}) {
        const ImagePlan plan = plan_of(clusters::external_etcd(), node);
        for (const auto& [path, file] : plan.files.files()) {
            EXPECT_THAT(path, Not(HasSubstr("kube"))) << node;
            EXPECT_THAT(path, Not(HasSubstr("containerd"))) << node;
            EXPECT_THAT(path, Not(HasSubstr("/cni"))) << node;
        }
    }
}

TEST(Plan, KubeletWaitsForKubeadmAndKnowsItsAddress) {
    const ImagePlan plan = plan_of(clusters::pair(), "worker-1");
    EXPECT_TRUE(enabled(plan, "kubelet.service"));
    EXPECT_TRUE(enabled(plan, "containerd.service"));
    const std::string drop_in = content(plan, "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf");
    EXPECT_THAT(
        drop_in,
        HasSubstr("\nConditionPathExists=/usr/bin/kubelet\nConditionPathExists=/var/lib/kubelet/config.yaml\n"));
    EXPECT_THAT(content(plan, "/etc/default/kubelet"), HasSubstr("\nKUBELET_EXTRA_ARGS='--node-ip=192.168.3.11'\n"));
}

TEST(Plan, PauseImageIsInStepWithKubeadm) {
    EXPECT_EQ(pause_image({1, 13, 5}), "registry.k8s.io/pause:3.1");
    EXPECT_EQ(pause_image({1, 19, 4}), "registry.k8s.io/pause:3.2");
    EXPECT_EQ(pause_image({1, 21, 0}), "registry.k8s.io/pause:3.4.1");
    EXPECT_EQ(pause_image({1, 22, 0}), "registry.k8s.io/pause:3.5");
    EXPECT_EQ(pause_image({1, 23, 1}), "registry.k8s.io/pause:3.6");
    EXPECT_EQ(pause_image({1, 24, 9}), "registry.k8s.io/pause:3.7");
    EXPECT_EQ(pause_image({1, 30, 0}), "registry.k8s.io/pause:3.9");
    EXPECT_EQ(pause_image({1, 31, 5}), "registry.k8s.io/pause:3.10");
    EXPECT_EQ(pause_image({1, 34, 1}), "registry.k8s.io/pause:3.10.1");
}

TEST(Plan, ReadsTheMajorVersionOfContainerd) {
    BaseFacts base;
    EXPECT_EQ(containerd_major(base), 1);
    base.packages["containerd"] = "1.7.24~ds1-6+deb13u1";
    EXPECT_EQ(containerd_major(base), 1);
    base.packages["containerd"] = "2:2.1.9~ds1-1";
    EXPECT_EQ(containerd_major(base), 2);
    base.packages = {{"containerd.io", "2.1.4-1~debian.13~trixie"}};
    EXPECT_EQ(containerd_major(base), 2);
    base.packages = {{"containerd", "git-7"}};
    EXPECT_THROW((void)containerd_major(base), Error);
}

TEST(Plan, ControlPlanesHaveWhatKubeadmNeeds) {
    const std::string init = content(plan_of(clusters::pair(), "master-2"), "/etc/kubernetes/makina/init.yaml");
    for (const char* line :
         {"\ncontrolPlaneEndpoint: \"192.168.3.240:9000\"\n", "\n    - \"192.168.3.240\"\n",
          "\nclusterName: \"makina\"\n", "\nkubernetesVersion: \"v1.34.1\"\n", "\n  podSubnet: \"10.244.0.0/16\"\n",
          "\n  advertiseAddress: \"192.168.3.252\"\n", "\n  name: \"master-2\"\n", "\ncgroupDriver: systemd\n",
          "\nfailSwapOn: true\n", "\nresolvConf: /run/systemd/resolve/resolv.conf\n"}) {
        EXPECT_THAT(init, HasSubstr(line));
    }
    EXPECT_EQ(plan_of(clusters::pair(), "worker-1").files.find("/etc/kubernetes/makina/init.yaml"), nullptr);
}

TEST(Plan, TaintsAreKubeadmsOwnUnlessTheProfileSaysOtherwise) {
    Profile profile = clusters::pair();
    const auto init = [&] { return content(plan_of(profile, "master-1"), "/etc/kubernetes/makina/init.yaml"); };
    EXPECT_THAT(init(), Not(HasSubstr("taints")));
    profile.control_plane.schedulable = true;
    EXPECT_THAT(init(), HasSubstr("\n  taints: []\n"));
    profile.control_plane.schedulable = false;
    node_of(profile, "master-1").taints = {"disk=slow:PreferNoSchedule"};
    EXPECT_THAT(
        init(),
        HasSubstr(
            "\n    - key: \"node-role.kubernetes.io/control-plane\"\n      value: \"\"\n      effect: \"NoSchedule\"\n"
            "    - key: \"disk\"\n      value: \"slow\"\n      effect: \"PreferNoSchedule\"\n"));
    profile.kubernetes.version = {1, 19, 4};
    EXPECT_THAT(init(), HasSubstr("node-role.kubernetes.io/master"));
    EXPECT_THAT(init(), Not(HasSubstr("node-role.kubernetes.io/control-plane")));
}

TEST(Plan, LabelsGoThroughKubeletUnlessItMayNot) {
    Profile profile = clusters::pair();
    node_of(profile, "worker-1").labels = {
        {"disk", "ssd"}, {"node-role.kubernetes.io/node", ""}, {"topology.kubernetes.io/zone", "a"}};
    const ImagePlan plan = plan_of(profile, "worker-1");
    EXPECT_THAT(content(plan, "/etc/kubernetes/makina/join.yaml"),
                HasSubstr("\n    - name: \"node-labels\"\n      value: \"disk=ssd,topology.kubernetes.io/zone=a\"\n"));
    EXPECT_THAT(plan.warnings,
                ElementsAre("worker-1: kubelet may not give itself the label node-role.kubernetes.io/node: set "
                            "it with kubectl label"));
}

TEST(Plan, LimitsBecomePatches) {
    const ImagePlan plan = plan_of(clusters::pair(), "master-1");
    EXPECT_THAT(content(plan, "/etc/kubernetes/makina/patches/kube-apiserver+strategic.yaml"),
                HasSubstr("\n          cpu: \"1500m\"\n          memory: \"1Gi\"\n"));
    EXPECT_THAT(content(plan, "/etc/kubernetes/makina/patches/etcd+strategic.yaml"),
                HasSubstr("\n        limits:\n          memory: \"512Mi\"\n"));
    EXPECT_THAT(content(plan, "/etc/kubernetes/makina/init.yaml"),
                HasSubstr("\npatches:\n  directory: /etc/kubernetes/makina/patches\n"));
}

TEST(Plan, OldKubeadmHasNoPatchesAndThePersonIsTold) {
    Profile profile = clusters::pair();
    profile.kubernetes.version = {1, 21, 14};
    const ImagePlan plan = plan_of(profile, "master-1");
    EXPECT_EQ(plan.files.find("/etc/kubernetes/makina/patches/etcd+strategic.yaml"), nullptr);
    EXPECT_THAT(content(plan, "/etc/kubernetes/makina/init.yaml"), Not(HasSubstr("patches")));
    EXPECT_THAT(plan.warnings, ElementsAre("master-1: kubeadm of kubernetes 1.21.14 knows no patches: the limits of "
                                           "kube-apiserver and etcd are left out"));
}

TEST(Plan, ABoardOf1GigabyteMayBeAControlPlane) {
    Profile profile = clusters::pair();
    node_of(profile, "master-1").hardware = Hardware::rpi3;
    EXPECT_THAT(content(plan_of(profile, "master-1"), "/etc/kubernetes/makina/init.yaml"),
                HasSubstr("\n  ignorePreflightErrors:\n    - \"Mem\"\n"));
    EXPECT_THAT(content(plan_of(profile, "master-2"), "/etc/kubernetes/makina/init.yaml"), Not(HasSubstr("Mem")));
}

TEST(Plan, RefusesAKubernetesThatCannotBeConfigured) {
    Profile profile = clusters::pair();
    profile.kubernetes.version = {1, 12, 3};
    EXPECT_EQ(
        problem(profile, "master-1"),
        "kubernetes 1.12.3 is older than 1.13, the first whose kubeadm can be configured here: use a newer version");
}

// --- balancers ---

TEST(Plan, BalancersFollowThePortOfTheProfile) {
    // 1E-3: a generator that took the port and wrote 9000 always.
    EXPECT_THAT(content(plan_of(clusters::pair(), "lb-1"), "/etc/haproxy/haproxy.cfg"),
                HasSubstr("\n    bind *:9000\n"));
    EXPECT_THAT(content(plan_of(clusters::external_etcd(), "lb-3"), "/etc/haproxy/haproxy.cfg"),
                HasSubstr("\n    bind *:64430\n"));
    EXPECT_THAT(content(plan_of(clusters::external_etcd(), "lb-3"), "/usr/lib/makina/check-api"),
                HasSubstr("'https://127.0.0.1:64430/readyz'"));
}

TEST(Plan, BalancersKeepLongConnections) {
    // 1E-10: three seconds for clients cut every join with "unexpected EOF".
    const std::string config = content(plan_of(clusters::pair(), "lb-1"), "/etc/haproxy/haproxy.cfg");
    EXPECT_THAT(config, HasSubstr("\n    timeout client 4h\n    timeout server 4h\n"));
}

TEST(Plan, BalancersAskTheControlPlanesThemselves) {
    const std::string config = content(plan_of(clusters::pair(), "lb-1"), "/etc/haproxy/haproxy.cfg");
    for (const char* line :
         {"\n    http-check send meth GET uri /readyz\n", "\n    http-check expect status 200\n",
          "\n    default-server check check-ssl verify none inter 1s rise 2 fall 3\n",
          "\n    server master-1 192.168.3.251:6443\n", "\n    server master-3 192.168.3.253:6443\n"}) {
        EXPECT_THAT(config, HasSubstr(line));
    }
    Profile old = clusters::pair();
    old.kubernetes.version = {1, 13, 5};
    EXPECT_THAT(content(plan_of(old, "lb-1"), "/etc/haproxy/haproxy.cfg"), HasSubstr(" uri /healthz\n"));
}

TEST(Plan, TheVirtualAddressNeedsAWorkingFrontend) {
    // 1E-11: a check of the process alone keeps the address on a balancer that reaches nobody.
    const ImagePlan plan = plan_of(clusters::pair(), "lb-2");
    const std::string config = content(plan, "/etc/keepalived/keepalived.conf");
    for (const char* line :
         {"\n    script \"/usr/lib/makina/check-api\"\n", "\n    weight 0\n", "\n    state BACKUP\n",
          "\n    nopreempt\n", "\n    virtual_router_id 77\n", "\n    unicast_src_ip 192.168.3.242\n",
          "\n    unicast_peer {\n        192.168.3.241\n    }\n", "\n        192.168.3.240/24 dev eth0\n",
          "\n    track_script {\n        api\n    }\n", "\n    enable_script_security\n"}) {
        EXPECT_THAT(config, HasSubstr(line));
    }
    EXPECT_EQ(plan.files.find("/usr/lib/makina/check-api")->mode, 0755U);
    EXPECT_TRUE(enabled(plan, "haproxy.service"));
    EXPECT_TRUE(enabled(plan, "keepalived.service"));
    EXPECT_THAT(content(plan, "/etc/systemd/system/keepalived.service.d/makina.conf"),
                HasSubstr("\nAfter=haproxy.service\n"));
    EXPECT_THAT(content(plan, "/etc/systemd/system/haproxy.service.d/makina.conf"), HasSubstr("\nRestart=always\n"));
}

TEST(Plan, StaticPodsBalanceOnTheControlPlanes) {
    const ImagePlan plan = plan_of(clusters::static_pods(), "master-3");
    EXPECT_THAT(content(plan, "/etc/kubernetes/manifests/haproxy.yaml"),
                HasSubstr("image: docker.io/library/haproxy:3."));
    EXPECT_THAT(content(plan, "/etc/haproxy/haproxy.cfg"), HasSubstr("\n    bind *:8443\n"));
    EXPECT_THAT(content(plan, "/etc/keepalived/keepalived.conf"),
                HasSubstr("\n        192.168.3.251\n        192.168.3.252\n    }\n"));
    EXPECT_FALSE(enabled(plan, "haproxy.service"));
    EXPECT_EQ(plan_of(clusters::pair(), "master-1").files.find("/etc/kubernetes/manifests/haproxy.yaml"), nullptr);
}

TEST(Plan, WithoutABalancerThereIsNone) {
    for (const Node& node : clusters::single().nodes) {
        const ImagePlan plan = plan_of(clusters::single(), node.name);
        EXPECT_EQ(plan.files.find("/etc/haproxy/haproxy.cfg"), nullptr);
        EXPECT_EQ(plan.files.find("/etc/keepalived/keepalived.conf"), nullptr);
        EXPECT_EQ(plan.files.find("/usr/lib/makina/check-api"), nullptr);
    }
}

// --- etcd ---

TEST(Plan, EtcdMembersAgreeOnEachOther) {
    // 1E-1: addresses of the unit and of the restore differed; here both come from the same nodes.
    const std::string cluster =
        "\nETCD_INITIAL_CLUSTER='etcd-1=https://192.168.3.231:2380,etcd-2=https://192.168.3.232:2380,"
        "etcd-3=https://192.168.3.233:2380'\n";
    for (const char* node : {"etcd-1", "etcd-2", "etcd-3"}) {
        const std::string config = content(plan_of(clusters::external_etcd(), node), "/etc/default/etcd");
        EXPECT_THAT(config, HasSubstr(cluster));
        EXPECT_THAT(config, HasSubstr("\nETCD_NAME='" + std::string(node) + "'\n"));
        EXPECT_THAT(config, HasSubstr("\nETCD_CLIENT_CERT_AUTH='true'\n"));
        EXPECT_THAT(config, HasSubstr("\nETCD_PEER_CLIENT_CERT_AUTH='true'\n"));
        EXPECT_THAT(config, HasSubstr("\nETCD_HEARTBEAT_INTERVAL=500\nETCD_ELECTION_TIMEOUT=5000\n"));
    }
}

TEST(Plan, EtcdWaitsForItsCertificate) {
    const ImagePlan plan = plan_of(clusters::external_etcd(), "etcd-1");
    EXPECT_TRUE(enabled(plan, "etcd.service"));
    EXPECT_THAT(content(plan, "/etc/systemd/system/etcd.service.d/makina.conf"),
                HasSubstr("\nConditionPathExists=/etc/etcd/pki/server.crt\n"));
    EXPECT_EQ(plan.files.find("/etc/etcd/pki")->mode, 0750U);
    EXPECT_EQ(plan.files.find("/etc/etcd/pki")->group, "etcd");
}

TEST(Plan, ControlPlanesUseExternalEtcd) {
    const ImagePlan plan = plan_of(clusters::external_etcd(), "master-1");
    EXPECT_THAT(content(plan, "/etc/kubernetes/makina/init.yaml"),
                HasSubstr("\n  external:\n    endpoints:\n      - \"https://192.168.3.231:2379\"\n"));
    EXPECT_THAT(content(plan, "/etc/kubernetes/makina/init.yaml"), Not(HasSubstr("local:")));
    EXPECT_EQ(plan.files.find("/etc/kubernetes/makina/patches/etcd+strategic.yaml"), nullptr);
}

// --- gateway ---

TEST(Plan, TheGatewayLetsTheClusterOutAndNobodyIn) {
    // 1E-9: the rules stood the wrong way round and worked only because everything was accepted anyway.
    const ImagePlan plan = plan_of(clusters::pair(), "gateway-1");
    const std::string rules = content(plan, "/etc/nftables.conf");
    for (const char* line :
         {"define uplink = \"eth0\"\n", "define inside = \"eth1\"\n",
          "type filter hook forward priority filter; policy drop;\n",
          "type filter hook input priority filter; policy drop;\n", "        iifname $inside oifname $uplink accept\n",
          "        iifname $uplink oifname $inside ct status dnat accept\n", "        oifname $uplink masquerade\n"}) {
        EXPECT_THAT(rules, HasSubstr(line));
    }
    EXPECT_THAT(rules, Not(HasSubstr("iifname $uplink oifname $inside accept")));
    EXPECT_THAT(rules, Not(HasSubstr("dport")));
    EXPECT_TRUE(enabled(plan, "nftables.service"));
    EXPECT_THAT(content(plan, "/etc/sysctl.d/91-makina-gateway.conf"), HasSubstr("\nnet.ipv4.ip_forward = 1\n"));
}

TEST(Plan, TheGatewayPassesWhatTheProfileForwards) {
    Profile profile = clusters::pair();
    profile.gateway.forwards = {{"tcp", 443, clusters::address("192.168.3.11"), 30443}};
    EXPECT_THAT(content(plan_of(profile, "gateway-1"), "/etc/nftables.conf"),
                HasSubstr("\n        iifname $uplink tcp dport 443 dnat ip to 192.168.3.11:30443\n"));
}

TEST(Plan, TheGatewayFacesTwoNetworks) {
    const ImagePlan plan = plan_of(clusters::pair(), "gateway-1");
    EXPECT_EQ(plan.files.find("/etc/systemd/network/10-makina.network"), nullptr);
    EXPECT_THAT(content(plan, "/etc/systemd/network/10-makina-uplink.network"), HasSubstr("\nDHCP=ipv4\n"));
    const std::string inside = content(plan, "/etc/systemd/network/10-makina-inside.network");
    EXPECT_THAT(inside, HasSubstr("\nName=eth1\n"));
    EXPECT_THAT(inside, HasSubstr("\nAddress=192.168.3.1/24\n"));
    EXPECT_THAT(inside, Not(HasSubstr("\nGateway=")));
    EXPECT_EQ(plan.files.find("/etc/systemd/network/10-makina-uplink.link"), nullptr);
}

TEST(Plan, AMacPinsAnInterfaceUnderANameThatTheKernelDoesNotUse) {
    Profile profile = clusters::pair();
    profile.gateway.uplink_mac = "02:00:00:00:00:01";
    profile.gateway.inside = "lan";
    profile.gateway.inside_mac = "02:00:00:00:00:02";
    const ImagePlan plan = plan_of(profile, "gateway-1");
    EXPECT_THAT(content(plan, "/etc/systemd/network/10-makina-uplink.link"),
                HasSubstr("\nPermanentMACAddress=02:00:00:00:00:01\n\n[Link]\nName=uplink0\n"));
    EXPECT_THAT(content(plan, "/etc/systemd/network/10-makina-inside.link"), HasSubstr("\nName=lan\n"));
    EXPECT_THAT(content(plan, "/etc/nftables.conf"),
                HasSubstr("define uplink = \"uplink0\"\ndefine inside = \"lan\"\n"));
    EXPECT_THAT(plan.warnings,
                ElementsAre("gateway-1: eth0 is called uplink0 on the node, because a name of the kernel's "
                            "cannot be pinned to 02:00:00:00:00:01"));
}

TEST(Plan, DnsmasqServesOnlyIfAsked) {
    Profile profile = clusters::pair();
    EXPECT_FALSE(enabled(plan_of(profile, "gateway-1"), "makina-dnsmasq.service"));
    EXPECT_EQ(plan_of(profile, "gateway-1").files.find("/etc/dnsmasq-makina.conf"), nullptr);
    profile.gateway.dhcp = true;
    profile.gateway.dhcp_first = clusters::address("192.168.3.100");
    profile.gateway.dhcp_last = clusters::address("192.168.3.150");
    node_of(profile, "worker-1").mac = "02:00:00:00:00:0b";
    const ImagePlan plan = plan_of(profile, "gateway-1");
    EXPECT_TRUE(enabled(plan, "makina-dnsmasq.service"));
    const std::string config = content(plan, "/etc/dnsmasq-makina.conf");
    for (const char* line :
         {"\nport=0\n", "\ninterface=eth1\n", "\ndhcp-range=192.168.3.100,192.168.3.150,255.255.255.0,12h\n",
          "\ndhcp-option=option:router,192.168.3.1\n", "\ndhcp-option=option:dns-server,192.168.3.1,9.9.9.9\n",
          "\ndhcp-host=02:00:00:00:00:0b,worker-1,192.168.3.11\n"}) {
        EXPECT_THAT(config, HasSubstr(line));
    }
}

// --- boot files ---

TEST(Plan, WritesTheRaspberryPisBootFilesForDebian) {
    Profile profile = clusters::pair();
    profile.extras[Role::control_plane].kernel_arguments = {"panic=10", "quiet"};
    profile.extras[Role::control_plane].config_txt = {"dtparam=audio=on"};
    const ImagePlan plan = plan_of(profile, "master-1");
    EXPECT_EQ(content(plan, "/boot/firmware/cmdline.txt"),
              "console=tty0 console=ttyS1,115200 root=PARTUUID=1234abcd-02 rw fsck.repair=yes net.ifnames=0 rootwait "
              "panic=10 quiet\n");
    const std::string config = content(plan, "/boot/firmware/config.txt");
    for (const char* line :
         {"\narm_64bit=1\n", "\nupstream_kernel=1\n", "\nkernel=vmlinuz-6.12.117+deb13-arm64\n",
          "\ninitramfs initrd.img-6.12.117+deb13-arm64\n", "\ngpu_mem=16\n", "\ndtparam=audio=on\n"}) {
        EXPECT_THAT(config, HasSubstr(line));
    }
    EXPECT_EQ(content(plan, "/etc/default/raspi-extra-cmdline"), "panic=10 quiet\n");
    EXPECT_THAT(content(plan, "/etc/default/raspi-firmware"), HasSubstr("\nROOTPART='PARTUUID=1234abcd-02'\n"));
    EXPECT_THAT(content(plan, "/etc/default/raspi-firmware-custom"), HasSubstr("\ndtparam=audio=on\n"));
    EXPECT_THAT(content(plan, "/etc/fstab"),
                HasSubstr("\nPARTUUID=1234abcd-02 / ext4 noatime,errors=remount-ro 0 1\n"));
    EXPECT_THAT(content(plan, "/etc/fstab"), HasSubstr("\nPARTUUID=1234abcd-01 /boot/firmware vfat umask=0077,nofail"));
}

TEST(Plan, ABaseWithoutAKernelKeepsItsOwnBootFiles) {
    BaseFacts base = clusters::debian(clusters::pair());
    base.kernel = "";
    base.files["/etc/fstab"] = "LABEL=x / ext4 defaults 0 1\n/swapfile none swap sw 0 0\n# a swap b swap\n";
    const ImagePlan plan = plan_of(clusters::pair(), "master-1", base);
    EXPECT_EQ(plan.files.find("/boot/firmware/config.txt"), nullptr);
    EXPECT_EQ(content(plan, "/etc/fstab"), "LABEL=x / ext4 defaults 0 1\n# a swap b swap\n");
}

TEST(Plan, EditsOfCmdlineAreOneLineAndIdempotent) {
    const std::vector<std::string> arguments = {"cgroup_enable=memory", "net.ifnames=0"};
    const std::vector<std::string> dropped = {"resize", "init=/x", "systemd.run="};
    const std::string once =
        edit_cmdline("console=tty1 root=PARTUUID=1-02  rootwait resize cgroup_enable=cpuset\ninit=/x systemd.run=/y\n",
                     arguments, dropped);
    EXPECT_EQ(once,
              "console=tty1 root=PARTUUID=1-02 rootwait cgroup_enable=cpuset cgroup_enable=memory net.ifnames=0\n");
    EXPECT_EQ(edit_cmdline(once, arguments, dropped), once);
}

TEST(Plan, EditsOfConfigTxtReplaceOnlyOurs) {
    const std::string base = "dtparam=audio=on\n[cm4]\notg_mode=1\n";
    const std::string once = edit_config_txt(base, {"gpu_mem=16"});
    EXPECT_EQ(once, base + "# makina: begin\n[all]\ngpu_mem=16\n# makina: end\n");
    EXPECT_EQ(edit_config_txt(once, {"gpu_mem=16"}), once);
    EXPECT_EQ(edit_config_txt(once + "mine=1\n", {"a=1"}),
              base + "mine=1\n# makina: begin\n[all]\na=1\n# makina: end\n");
}

// --- vendor images ---

BaseFacts rpios(Layout layout) {
    BaseFacts base = clusters::debian(clusters::pair());
    base.layout = layout;
    base.kernel = "";
    base.packages.erase("raspi-firmware");
    base.packages.erase("linux-image-arm64");
    base.files["/boot/firmware/cmdline.txt"] =
        "console=serial0,115200 console=tty1 root=PARTUUID=1234abcd-02 rootfstype=ext4 fsck.repair=yes rootwait quiet "
        "init=/usr/lib/raspberrypi-sys-mods/firstboot resize ds=nocloud;i=rpios-image\n";
    base.files["/boot/firmware/config.txt"] = "auto_initramfs=1\n[all]\n";
    base.files["/etc/fstab"] = "PARTUUID=1234abcd-02 / ext4 defaults,noatime 0 1\n/var/swap none swap sw 0 0\n";
    return base;
}

TEST(Plan, SwitchesOffWhatRaspberryPiOsDoesByItself) {
    for (const Layout layout : {Layout::rpios_bookworm, Layout::rpios_trixie}) {
        const ImagePlan plan = plan_of(clusters::pair(), "master-1", rpios(layout));
        EXPECT_EQ(
            content(plan, "/boot/firmware/cmdline.txt"),
            "console=serial0,115200 console=tty1 root=PARTUUID=1234abcd-02 rootfstype=ext4 fsck.repair=yes rootwait "
            "cgroup_enable=memory net.ifnames=0\n");
        EXPECT_THAT(content(plan, "/boot/firmware/config.txt"),
                    HasSubstr("auto_initramfs=1\n[all]\n# makina: begin\n"));
        EXPECT_EQ(content(plan, "/etc/fstab"), "PARTUUID=1234abcd-02 / ext4 defaults,noatime 0 1\n");
        for (const char* unit :
             {"userconfig.service", "NetworkManager.service", "rpi-resize.service", "dphys-swapfile.service"}) {
            EXPECT_TRUE(masked(plan, "/etc/systemd/system/" + std::string(unit))) << unit;
        }
        EXPECT_EQ(content(plan, "/etc/rpi/swap.conf.d/makina.conf"), "[Main]\nMechanism=none\n");
        EXPECT_NE(plan.files.find("/etc/cloud/cloud-init.disabled"), nullptr);
        EXPECT_THAT(plan.first_boot, IsEmpty());
    }
}

TEST(Plan, SwitchesOffWhatUbuntuDoesByItself) {
    const ImagePlan plan = plan_of(clusters::pair(), "worker-1", rpios(Layout::ubuntu_2404));
    EXPECT_NE(plan.files.find("/etc/cloud/cloud-init.disabled"), nullptr);
    EXPECT_THAT(plan.removals, Contains("/etc/netplan"));
    EXPECT_THAT(plan.removals, Contains("/boot/firmware/user-data"));
    EXPECT_THAT(content(plan, "/boot/firmware/cmdline.txt"), HasSubstr(" cgroup_enable=memory "));
}

TEST(Plan, RefusesAVendorImageWithoutItsBootFiles) {
    BaseFacts base = rpios(Layout::rpios_trixie);
    base.files.erase("/boot/firmware/cmdline.txt");
    try {
        (void)plan_of(clusters::pair(), "master-1", base);
        FAIL();
    } catch (const Error& error) {
        EXPECT_STREQ(error.what(), "the base has no /boot/firmware/cmdline.txt: is it a rpios-trixie image?");
    }
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
    EXPECT_TRUE(enabled(plan, "makina-packages.service"));
    const std::string script = content(plan, "/usr/lib/makina/install-packages");
    EXPECT_THAT(script, HasSubstr("\nrepository='https://pkgs.k8s.io/core:/stable:/v1.34/deb/'\n"));
    EXPECT_THAT(script, HasSubstr("\nfingerprint='DE15B14486CD377B9E876E1A234654DA9A296436'\n"));
    EXPECT_THAT(content(plan, "/etc/apt/preferences.d/makina-kubernetes"), HasSubstr("\nPin: version 1.34.1-*\n"));
    EXPECT_FALSE(enabled(plan_of(clusters::pair(), "master-1"), "makina-packages.service"));
}

TEST(Plan, TellsThatNoArchiveHasAnOldKubernetes) {
    Profile profile = clusters::pair();
    profile.kubernetes.version = {1, 13, 5};
    profile.control_plane = {};
    BaseFacts base = clusters::debian(profile);
    base.packages.erase("kubeadm");
    EXPECT_THAT(
        plan_of(profile, "worker-1", base).warnings,
        ElementsAre(
            "worker-1: the image lacks kubeadm, and pkgs.k8s.io begins with 1.24: give a folder that has 1.13.5"));
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
          "  0777 root:root    link    /etc/systemd/system/swap.target -> /dev/null  "
          "(overlays/any/etc/systemd/system/swap.target)\n",
          "\nremoved from the base\n  /etc/ssh/ssh_host_rsa_key\n",
          "\ninstalled by the node at its first boot\n  kubelet\n",
          "\nwarnings\n  master-1: the image lacks kubelet 1.34.1:"}) {
        EXPECT_THAT(text, HasSubstr(line));
    }
}

}  // namespace
}  // namespace makina
