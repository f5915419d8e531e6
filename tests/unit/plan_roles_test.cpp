#include "builder/plan.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "builder/plan/parts.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/payload.hpp"
#include "tests/unit/clusters.hpp"
#include "tests/unit/plans.hpp"

namespace makina {
namespace {

using plans::content;
using plans::enabled;
using plans::node_of;
using plans::overlays_folder;
using plans::plan_of;
using plans::problem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// --- what a Kubernetes node is ---

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
    // A generator once took the port and wrote 9000 always.
    EXPECT_THAT(content(plan_of(clusters::pair(), "lb-1"), "/etc/haproxy/haproxy.cfg"),
                HasSubstr("\n    bind *:9000\n"));
    EXPECT_THAT(content(plan_of(clusters::external_etcd(), "lb-3"), "/etc/haproxy/haproxy.cfg"),
                HasSubstr("\n    bind *:64430\n"));
    EXPECT_THAT(content(plan_of(clusters::external_etcd(), "lb-3"), "/etc/keepalived/keepalived.conf"),
                HasSubstr("\n    script \"/usr/lib/makina/check-api https://127.0.0.1:64430/readyz\"\n"));
}

TEST(Plan, BalancersKeepLongConnections) {
    // Three seconds for clients cut every join with "unexpected EOF".
    const std::string config = content(plan_of(clusters::pair(), "lb-1"), "/etc/haproxy/haproxy.cfg");
    EXPECT_THAT(config, HasSubstr("\n    timeout client 4h\n    timeout server 4h\n"));
}

TEST(Plan, BalancersAskTheControlPlanesThemselves) {
    const std::string config = content(plan_of(clusters::pair(), "lb-1"), "/etc/haproxy/haproxy.cfg");
    for (const char* line :
         {"\n    http-check send meth GET uri /readyz\n", "\n    http-check expect status 200\n",
          "\n    default-server check check-ssl verify none inter 1s fastinter 500ms fall 3 rise 3 tcp-ut 15s\n",
          "\n    server master-1 192.168.3.251:6443\n", "\n    server master-3 192.168.3.253:6443\n"}) {
        EXPECT_THAT(config, HasSubstr(line));
    }
    Profile old = clusters::pair();
    old.kubernetes.version = {1, 13, 5};
    EXPECT_THAT(content(plan_of(old, "lb-1"), "/etc/haproxy/haproxy.cfg"), HasSubstr(" uri /healthz\n"));
}

TEST(Plan, TheVirtualAddressNeedsAWorkingFrontend) {
    // A check of the process alone keeps the address on a balancer that reaches nobody.
    const ImagePlan plan = plan_of(clusters::pair(), "lb-2");
    const std::string config = content(plan, "/etc/keepalived/keepalived.conf");
    for (const char* line :
         {"\n    script \"/usr/lib/makina/check-api https://127.0.0.1:9000/readyz\"\n",
          "\n    script \"/usr/lib/makina/check-address 192.168.3.242\"\n", "\n    weight 0\n", "\n    init_fail\n",
          "\n    state BACKUP\n", "\n    nopreempt\n", "\n    virtual_router_id 77\n", "\n    priority 244\n",
          "\n    unicast_src_ip 192.168.3.242\n", "\n        192.168.3.241 min_ttl 255 max_ttl 255\n    }\n",
          "\n        192.168.3.240/32 dev eth0\n", "\n    track_script {\n        api\n        own_address\n    }\n",
          "\n    enable_script_security\n", "\n    vrrp_check_unicast_src\n"}) {
        EXPECT_THAT(config, HasSubstr(line));
    }
    EXPECT_THAT(config, Not(HasSubstr("auth")));
    EXPECT_EQ(plan.files.find("/usr/lib/makina/check-api")->mode, 0755U);
    EXPECT_EQ(plan.files.find("/usr/lib/makina/check-address")->mode, 0755U);
    EXPECT_THAT(content(plan, "/etc/sysctl.d/91-makina-balancer.conf"), HasSubstr("\nnet.ipv4.ip_nonlocal_bind = 1\n"));
    EXPECT_TRUE(enabled(plan, "haproxy.service"));
    EXPECT_TRUE(enabled(plan, "keepalived.service"));
    EXPECT_THAT(content(plan, "/etc/systemd/system/keepalived.service.d/makina.conf"),
                testing::AllOf(HasSubstr("\nAfter=haproxy.service\n"),
                               HasSubstr("\nExecStopPost=-/usr/bin/ip address delete 192.168.3.240/32 dev eth0\n")));
    EXPECT_THAT(content(plan, "/etc/systemd/system/haproxy.service.d/makina.conf"), HasSubstr("\nRestart=always\n"));
}

/// The name that the configuration gives to keepalived's process.
std::string process_name(const std::string& config) {
    const std::string word = "    vrrp_process_name ";
    const auto at = config.find(word) + word.size();
    return config.substr(at, config.find('\n', at) - at);
}

TEST(Plan, ARunningBalancerCanBeAskedForItsConfiguration) {
    EXPECT_THAT(content(plan_of(clusters::pair(), "lb-1"), "/etc/haproxy/haproxy.cfg"),
                HasSubstr("\n    bind 127.0.0.1:8404\n"));
    EXPECT_THAT(content(plan_of(clusters::pair(), "lb-1"), "/etc/haproxy/haproxy.cfg"),
                HasSubstr(" file /etc/haproxy/haproxy.cfg if { path /configuration }\n"));
    std::set<std::string> names;
    Profile other = clusters::pair();
    other.vrid = 78;
    for (const Profile& profile : {clusters::pair(), other}) {
        for (const char* const node : {"lb-1", "lb-2"}) {
            const std::string config = content(plan_of(profile, node), "/etc/keepalived/keepalived.conf");
            const std::string name = process_name(config);
            EXPECT_EQ(name, process_name(content(plan_of(profile, node), "/etc/keepalived/keepalived.conf")));
            EXPECT_LE(name.size(), 15U);
            names.insert(name);
        }
    }
    EXPECT_EQ(names.size(), 4U);
}

TEST(Plan, BundlesOfBalancersCarryWhatTheImagesHave) {
    Profile own = clusters::pair();
    own.extras[Role::load_balancer].files = {{"/etc/haproxy/haproxy.cfg", "a person's own\n", 0644}};
    for (const Profile& profile : {clusters::pair(), clusters::external_etcd(), own, clusters::static_pods()}) {
        int count = 0;
        for (const Node& node : profile.nodes) {
            const ImagePlan plan = plan_of(profile, node.name);
            for (const Payload& payload : handed_over(profile, node, overlays_folder())) {
                const PayloadKind* const kind = payload_kind(to_string(node.role), payload.name);
                ASSERT_NE(kind, nullptr) << payload.name;
                EXPECT_EQ(payload.content, content(plan, std::string(kind->image_file)));
                EXPECT_FALSE(kind->secret);
                ++count;
            }
        }
        EXPECT_EQ(count, profile.api.balancer == Balancer::static_pod
                             ? 3 * 4
                             : static_cast<int>(profile.with_role(Role::load_balancer).size()) * 2);
    }
    const Profile fewer = [] {
        Profile profile = clusters::pair();
        std::erase_if(profile.nodes, [](const Node& node) { return node.name == "master-3"; });
        return profile;
    }();
    const auto before = handed_over(clusters::pair(), *fewer.find("lb-1"), overlays_folder());
    const auto after = handed_over(fewer, *fewer.find("lb-1"), overlays_folder());
    EXPECT_NE(before.at(0).content, after.at(0).content);
    EXPECT_EQ(before.at(1).content, after.at(1).content) << "keepalived has nothing to do with control planes";
}

TEST(Plan, PodsStartAnewWithANewConfiguration) {
    const auto annotation = [](const ImagePlan& plan, const std::string& pod) {
        const std::string manifest = content(plan, "/etc/kubernetes/manifests/" + pod + ".yaml");
        const auto at = manifest.find("    makina-configuration: ");
        return at == std::string::npos ? manifest : manifest.substr(at, manifest.find('\n', at) - at);
    };
    Profile more = clusters::static_pods();
    more.nodes.push_back(clusters::node("master-4", Role::control_plane, "192.168.3.254"));
    for (const char* const pod : {"haproxy", "keepalived"}) {
        const std::string before = annotation(plan_of(clusters::static_pods(), "master-1"), pod);
        EXPECT_EQ(before, annotation(plan_of(clusters::static_pods(), "master-1"), pod));
        EXPECT_NE(before, annotation(plan_of(more, "master-1"), pod));
        EXPECT_EQ(before.size(), std::string("    makina-configuration: \"01234567\"").size());
    }
}

TEST(Plan, StaticPodsBalanceOnTheControlPlanes) {
    const ImagePlan plan = plan_of(clusters::static_pods(), "master-3");
    EXPECT_THAT(content(plan, "/etc/kubernetes/manifests/haproxy.yaml"),
                HasSubstr("image: \"docker.io/library/haproxy:3.0.11-alpine\"\n"));
    EXPECT_THAT(content(plan, "/etc/kubernetes/manifests/keepalived.yaml"),
                HasSubstr("image: \"docker.io/osixia/keepalived:2.0.20\"\n"));
    EXPECT_THAT(content(plan, "/etc/haproxy/haproxy.cfg"), HasSubstr("\n    bind *:8443\n"));
    EXPECT_THAT(content(plan, "/etc/keepalived/keepalived.conf"),
                HasSubstr("\n        192.168.3.251\n        192.168.3.252\n    }\n"));
    EXPECT_FALSE(enabled(plan, "haproxy.service"));
    EXPECT_EQ(plan_of(clusters::pair(), "master-1").files.find("/etc/kubernetes/manifests/haproxy.yaml"), nullptr);
    // kubeadm join wants an empty folder of manifests.
    EXPECT_THAT(content(plan, "/etc/kubernetes/makina/join.yaml"),
                HasSubstr("\n    - \"DirAvailable--etc-kubernetes-manifests\"\n"));
    Profile own = clusters::static_pods();
    own.api.haproxy_image = "registry.home.arpa:5000/haproxy@sha256:" + std::string(64, 'a');
    EXPECT_THAT(content(plan_of(own, "master-1"), "/etc/kubernetes/manifests/haproxy.yaml"),
                HasSubstr("image: \"registry.home.arpa:5000/haproxy@sha256:" + std::string(64, 'a') + "\"\n"));
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

TEST(Plan, EtcdSpeaksOnlyWithItsOwnCluster) {
    // Who the members are is decided on the nodes: an image that said it could found a second cluster.
    for (const char* node : {"etcd-1", "etcd-2", "etcd-3"}) {
        const std::string config = content(plan_of(clusters::external_etcd(), node), "/etc/default/etcd");
        EXPECT_THAT(config, Not(HasSubstr("ETCD_INITIAL_CLUSTER")));
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
                HasSubstr("\nConditionPathExists=/etc/etcd/pki/server.crt\n"
                          "ConditionPathExists=/var/lib/makina/etcd.env\n"));
    EXPECT_THAT(content(plan, "/usr/lib/tmpfiles.d/makina-etcd.conf"),
                HasSubstr("\nd /etc/etcd/pki 0750 root etcd -\n"));
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
    // In an older gateway the rules stood the wrong way round and worked only because everything was accepted anyway.
    const ImagePlan plan = plan_of(clusters::pair(), "gateway-1");
    const std::string rules = content(plan, "/etc/nftables.conf");
    for (const char* line :
         {"define uplink = \"eth0\"\n", "define inside = \"eth1\"\n",
          "type filter hook forward priority filter; policy drop;\n",
          "type filter hook input priority filter; policy drop;\n", "        iifname $inside oifname $uplink accept\n",
          "        iifname $inside oifname $uplink masquerade\n"}) {
        EXPECT_THAT(rules, HasSubstr(line));
    }
    EXPECT_THAT(rules, Not(HasSubstr("$uplink oifname $inside accept")));
    EXPECT_THAT(rules, Not(HasSubstr("dnat ip to")));
    EXPECT_TRUE(enabled(plan, "nftables.service"));
    // Packets are passed on only while there are rules.
    EXPECT_THAT(content(plan, "/etc/systemd/system/nftables.service.d/makina.conf"),
                HasSubstr("\nExecStartPost=/usr/sbin/sysctl --quiet --write net.ipv4.ip_forward=1\nExecStop=\n"
                          "ExecStop=/usr/sbin/sysctl --quiet --write net.ipv4.ip_forward=0\n"));
    for (const auto& [path, file] : plan.files.files()) {
        EXPECT_TRUE(path.rfind("/etc/sysctl.d/", 0) != 0 || file.content.find("ip_forward") == std::string::npos)
            << path;
    }
}

TEST(Plan, TheGatewayRemembersAsManyConnectionsAsTheProfileSays) {
    const auto sysctls = [](const Profile& profile) {
        return content(plan_of(profile, "gateway-1"), "/etc/sysctl.d/91-makina-gateway.conf");
    };
    Profile profile = clusters::pair();
    EXPECT_THAT(sysctls(profile), HasSubstr("\nnet.netfilter.nf_conntrack_buckets = 131072\n"
                                            "net.netfilter.nf_conntrack_max = 131072\n"));
    profile.gateway.connections = 70000;
    EXPECT_THAT(sysctls(profile), HasSubstr("\nnet.netfilter.nf_conntrack_buckets = 73728\n"
                                            "net.netfilter.nf_conntrack_max = 70000\n"));
}

TEST(Plan, TheGatewayPassesWhatTheProfileForwards) {
    Profile profile = clusters::pair();
    profile.gateway.forwards = {{"tcp", 443, clusters::address("192.168.3.11"), 30443},
                                {"udp", 53, clusters::address("192.168.3.11"), 53, parse_subnet("192.168.1.0/24")}};
    EXPECT_THAT(content(plan_of(profile, "gateway-1"), "/etc/nftables.conf"),
                HasSubstr("\n        tcp dport 443 dnat ip to 192.168.3.11:30443\n"
                          "        ip saddr 192.168.1.0/24 udp dport 53 dnat ip to 192.168.3.11:53\n"));
}

TEST(Plan, GatewaysShareTheAddressThatTheNodesHaveAsTheirs) {
    const Profile profile = clusters::two_gateways();
    const ImagePlan plan = plan_of(profile, "gateway-2");
    EXPECT_THAT(content(plan_of(profile, "worker-1"), "/etc/systemd/network/10-makina.network"),
                HasSubstr("\nGateway=192.168.3.1\n"));
    EXPECT_THAT(content(plan, "/etc/systemd/network/10-makina-inside.network"),
                HasSubstr("\nAddress=192.168.3.3/24\n"));
    const std::string config = content(plan, "/etc/keepalived/keepalived.conf");
    for (const char* line :
         {"\n    state BACKUP\n    priority 100\n    track_interface {\n        eth0 weight -20\n    }\n",
          "\n    weight -20\n    init_fail\n", "\n    virtual_router_id 78\n",
          "\n    unicast_peer {\n        192.168.3.2\n    }\n    check_unicast_src\n",
          "\n        192.168.3.1/32 dev eth1\n", "\n        192.168.1.9/32 dev eth0 no_track\n",
          "\n    notify /usr/lib/makina/gateway-moved\n"}) {
        EXPECT_THAT(config, HasSubstr(line));
    }
    // Whoever held it before would take it back from whoever has it now.
    EXPECT_THAT(content(plan_of(profile, "gateway-1"), "/etc/keepalived/keepalived.conf"),
                HasSubstr("\n    priority 100\n"));
    EXPECT_TRUE(enabled(plan, "keepalived.service"));
    const std::string drop_in = content(plan, "/etc/systemd/system/keepalived.service.d/makina.conf");
    EXPECT_THAT(drop_in, HasSubstr("\nExecStopPost=-/usr/bin/ip address delete 192.168.3.1/32 dev eth1\n"));
    // A card that is plugged in again is another interface for it.
    EXPECT_THAT(drop_in, HasSubstr("\nExecStartPre=/usr/lib/makina/check-inside remember\n"));
    EXPECT_THAT(content(plan, "/etc/nftables.conf"), HasSubstr("\ndefine gateways = {\n    192.168.3.2,\n}\n"));
}

TEST(Plan, OneGatewaySharesNothing) {
    const ImagePlan plan = plan_of(clusters::pair(), "gateway-1");
    for (const char* path : {"/etc/keepalived/keepalived.conf", "/etc/conntrackd/conntrackd.conf",
                             "/usr/lib/makina/gateway-moved", "/usr/lib/makina/check-uplink"}) {
        EXPECT_EQ(plan.files.find(path), nullptr) << path;
    }
    EXPECT_FALSE(enabled(plan, "keepalived.service"));
    EXPECT_FALSE(enabled(plan, "conntrackd.service"));
    const std::vector<std::string> packages = packages_for(clusters::pair(), Role::gateway);
    EXPECT_THAT(packages, Not(testing::Contains("keepalived")));
    EXPECT_THAT(packages, Not(testing::Contains("conntrackd")));
}

TEST(Plan, GatewaysKnowEachOthersConnectionsIfAsked) {
    Profile profile = clusters::two_gateways();
    const ImagePlan plan = plan_of(profile, "gateway-1");
    EXPECT_THAT(content(plan, "/etc/conntrackd/conntrackd.conf"),
                HasSubstr("\n        IPv4_address 192.168.3.2\n        IPv4_Destination_Address 192.168.3.3\n"));
    EXPECT_THAT(content(plan, "/usr/lib/makina/gateway-moved"), HasSubstr("    for step in -c -f -R -B; do\n"));
    EXPECT_TRUE(enabled(plan, "conntrackd.service"));
    EXPECT_THAT(packages_for(profile, Role::gateway), testing::IsSupersetOf({"keepalived", "conntrackd"}));
    EXPECT_THAT(content(plan, "/etc/nftables.conf"),
                HasSubstr("\n        iifname $inside oifname $uplink snat ip to 192.168.1.9\n"));
    profile.gateway.conntrack_sync = false;
    profile.gateway.uplink_address.reset();
    const ImagePlan without = plan_of(profile, "gateway-1");
    EXPECT_EQ(without.files.find("/etc/conntrackd/conntrackd.conf"), nullptr);
    EXPECT_THAT(content(without, "/usr/lib/makina/gateway-moved"), Not(HasSubstr("conntrackd")));
    EXPECT_FALSE(enabled(without, "conntrackd.service"));
    EXPECT_THAT(content(without, "/etc/nftables.conf"),
                HasSubstr("\n        iifname $inside oifname $uplink masquerade\n"));
}

TEST(Plan, WhatLeadsToAGatewayIsOpenOnThatOneAlone) {
    const Profile profile = clusters::two_gateways();
    const std::string first = content(plan_of(profile, "gateway-1"), "/etc/nftables.conf");
    EXPECT_THAT(first, HasSubstr("\n        ip saddr 192.168.1.0/24 tcp dport 22 dnat ip to 192.168.3.2:22\n"));
    EXPECT_THAT(first, Not(HasSubstr("192.168.3.3:22")));
    const std::string second = content(plan_of(profile, "gateway-2"), "/etc/nftables.conf");
    EXPECT_THAT(second, HasSubstr("\n        tcp dport 22 dnat ip to 192.168.3.3:22\n"));
    EXPECT_THAT(second, Not(HasSubstr("192.168.3.2:22")));
    for (const std::string& rules : {first, second}) EXPECT_THAT(rules, HasSubstr("192.168.3.11:30443\n"));
}

TEST(Plan, OnlyTheHolderOfTheSharedAddressAnswersNames) {
    const ImagePlan plan = plan_of(clusters::two_gateways(), "gateway-2");
    EXPECT_THAT(content(plan, "/etc/systemd/system/makina-dnsmasq.service"),
                HasSubstr("\nExecCondition=/usr/lib/makina/holds-gateway\n"));
    EXPECT_THAT(content(plan, "/usr/lib/makina/gateway-moved"),
                HasSubstr("\n    systemctl --no-block start makina-dnsmasq.service\n"));
    const std::string config = content(plan, "/etc/dnsmasq-makina.conf");
    EXPECT_THAT(config, HasSubstr("\ndhcp-option=option:router,192.168.3.1\n"));
    EXPECT_THAT(config, HasSubstr("\ndhcp-option=option:dns-server,192.168.3.1\n"));
    // Asking itself, or the other, would go round in circles.
    EXPECT_THAT(config, Not(HasSubstr("server=192.168.3.")));
    EXPECT_THAT(config, HasSubstr("\nserver=9.9.9.9\n"));
}

TEST(Plan, AGatewayThatHasNoServersAsksThoseOfHome) {
    Profile profile = clusters::pair();
    profile.gateway.dns = true;
    profile.network.dns = {clusters::address("192.168.3.1")};
    const ImagePlan plan = plan_of(profile, "gateway-1");
    EXPECT_THAT(content(plan, "/etc/dnsmasq-makina.conf"),
                HasSubstr("\nresolv-file=/run/systemd/resolve/resolv.conf\n"));
    BaseFacts base = clusters::debian(profile);
    base.layout = Layout::rpios_bookworm;
    base.files["/boot/firmware/cmdline.txt"] = "console=tty1 root=PARTUUID=1234abcd-02 rootwait";
    base.packages.erase("systemd-resolved");
    EXPECT_THAT(plan_of(profile, "gateway-1", base).warnings,
                testing::Contains("gateway-1: without systemd-resolved, which the base lacks, nobody tells it home's "
                                  "name servers: list some in network.dns"));
}

TEST(Plan, TheGatewayFacesTwoNetworks) {
    const ImagePlan plan = plan_of(clusters::pair(), "gateway-1");
    EXPECT_EQ(plan.files.find("/etc/systemd/network/10-makina.network"), nullptr);
    EXPECT_THAT(content(plan, "/etc/systemd/network/10-makina-uplink.network"), HasSubstr("\nDHCP=ipv4\n"));
    const std::string inside = content(plan, "/etc/systemd/network/10-makina-inside.network");
    EXPECT_THAT(inside, HasSubstr("\nName=eth1\n"));
    EXPECT_THAT(inside, HasSubstr("\n[Address]\nAddress=192.168.3.1/24\nDuplicateAddressDetection=ipv4\n"));
    EXPECT_THAT(inside, Not(HasSubstr("\nGateway=")));
    EXPECT_EQ(plan.files.find("/etc/systemd/network/10-makina-uplink.link"), nullptr);
}

TEST(Plan, AMacPinsAnInterfaceUnderANameThatTheKernelDoesNotUse) {
    Profile profile = clusters::pair();
    node_of(profile, "gateway-1").uplink_mac = "02:00:00:00:00:01";
    profile.gateway.inside = "lan";
    node_of(profile, "gateway-1").inside_mac = "02:00:00:00:00:02";
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

}  // namespace
}  // namespace makina
