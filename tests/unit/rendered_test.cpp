#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <filesystem>
#include <regex>
#include <sstream>

#include "builder/plan.hpp"
#include "builder/process.hpp"
#include "firstboot/bundle/error.hpp"
#include "tests/unit/clusters.hpp"
#include "tests/unit/plans.hpp"
#include "tests/unit/scratch.hpp"

namespace makina {
namespace {

// The files of images as the programs see them that read them on the node.

using plans::content;
using plans::overlays_folder;
using plans::plan_of;

std::vector<Profile> all_clusters() {
    std::vector<Profile> all = {clusters::pair(), clusters::external_etcd(), clusters::static_pods(),
                                clusters::single()};
    Profile gateway = clusters::pair();
    gateway.gateway.dhcp = true;
    gateway.gateway.dns = true;
    gateway.gateway.dhcp_first = clusters::address("192.168.3.100");
    gateway.gateway.dhcp_last = clusters::address("192.168.3.150");
    plans::node_of(gateway, "gateway-1").uplink_mac = "02:00:00:00:00:01";
    plans::node_of(gateway, "gateway-1").inside_mac = "02:00:00:00:00:02";
    gateway.gateway.forwards = {{"tcp", 22, clusters::address("192.168.3.1"), 22},
                                {"udp", 5353, clusters::address("192.168.3.11"), 53}};
    gateway.nodes[5].mac = "02:00:00:00:00:0b";
    all.push_back(gateway);
    all.push_back(clusters::two_gateways());
    return all;
}

// Calls `look` for every regular file of every node of every cluster whose path has `part` in it; returns how many.
template <typename Look>
int each_file(const std::string& part, Look&& look) {
    int count = 0;
    for (const Profile& profile : all_clusters()) {
        for (const Node& node : profile.nodes) {
            const ImagePlan plan = plan_of(profile, node.name);
            for (const auto& [path, file] : plan.files.files()) {
                if (file.kind == FileKind::regular && path.find(part) != std::string::npos) {
                    SCOPED_TRACE(profile.name + " " + node.name + " " + path);
                    look(file);
                    ++count;
                }
            }
        }
    }
    return count;
}

bool ends_with(const std::string& text, const std::string& end) {
    return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// A network of the test's own, where root rights are not needed and nothing of the machine is touched.
bool have_network_namespace() {
    return have_program("unshare") && run({{"unshare", "-rn", "true"}}).status == 0;
}

TEST(Rendered, EveryNodeOfEveryTopologyHasAPlanWithoutWarning) {
    for (const Profile& profile :
         {clusters::pair(), clusters::external_etcd(), clusters::static_pods(), clusters::single()}) {
        for (const Node& node : profile.nodes) {
            const ImagePlan plan = plan_of(profile, node.name);
            EXPECT_TRUE(plan.warnings.empty()) << plan.warnings.front();
            EXPECT_TRUE(plan.first_boot.empty()) << plan.first_boot.front();
        }
    }
}

TEST(Rendered, EveryNodeOfEveryProfileOfTheProjectHasAPlan) {
    int count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(MAKINA_SOURCE) / "profiles")) {
        if (entry.path().extension() != ".yaml") {
            continue;
        }
        const ProfileReading reading = read_profile(entry.path());
        ASSERT_TRUE(reading.profile) << to_string(entry.path(), reading.complaints.at(0));
        for (const Node& node : reading.profile->nodes) {
            BaseFacts base = clusters::debian(*reading.profile);
            base.architecture = node.architecture;
            const ImagePlan plan = plan_image(*reading.profile, node, base, overlays_folder());
            EXPECT_EQ(content(plan, "/etc/hostname"), node.name + "\n");
            ++count;
        }
    }
    EXPECT_GT(count, 0);
}

TEST(Rendered, NoFileKeepsAPlaceholderOrADirective) {
    const int count = each_file("/", [](const File& file) {
        EXPECT_EQ(file.content.find("{{"), std::string::npos);
        EXPECT_EQ(file.content.find("%%"), std::string::npos);
    });
    EXPECT_GT(count, 500);
}

TEST(Rendered, HaproxyAcceptsItsConfiguration) {
    if (!have_program("haproxy")) {
        GTEST_SKIP() << "haproxy is not installed";
    }
    const Scratch scratch;
    const int count = each_file("/haproxy.cfg", [&](const File& file) {
        // haproxy reads the file that it shows; it is not on this machine.
        std::string text = file.content;
        const std::string path = (scratch / "haproxy.cfg").string();
        if (const auto at = text.find("/etc/haproxy/haproxy.cfg"); at != std::string::npos) text.replace(at, 24, path);
        const Result result = run({{"haproxy", "-c", "-f", scratch.write("haproxy.cfg", text).string()}});
        EXPECT_EQ(result.status, 0) << result.errors;
        EXPECT_EQ(result.errors.find("WARNING"), std::string::npos) << result.errors;
    });
    EXPECT_EQ(count, 2 + 3 + 3 + 2 + 2);
}

TEST(Rendered, KeepalivedAcceptsItsConfiguration) {
    if (!have_program("keepalived") || !have_network_namespace()) {
        GTEST_SKIP() << "keepalived is not installed, or no network namespace can be made";
    }
    const Scratch scratch;
    const int count = each_file("/keepalived.conf", [&](const File& file) {
        // The scripts are on the node, and a user namespace knows no other user.
        std::string text = std::regex_replace(file.content, std::regex("/usr/lib/makina/[a-z-]+"), "/usr/bin/true");
        ASSERT_NE(text, file.content);
        text = std::regex_replace(text, std::regex("script_user nobody"), "script_user root");
        const std::string path = scratch.write("keepalived.conf", text).string();
        const std::string start =
            "ip link add eth0 type veth peer name eth1 && exec keepalived --config-test --log-console -f \"$0\"";
        const Result result = run({{"unshare", "-rnpf", "sh", "-c", start, path}});
        // Who is not root sees root's programs as somebody else's, and keepalived calls them insecure.
        const bool root = geteuid() == 0;
        EXPECT_EQ(result.status, root ? 0 : 5);
        std::istringstream lines(result.errors + result.output);
        for (std::string line; std::getline(lines, line);) {
            EXPECT_TRUE(!root && line.ends_with(" due to insecure")) << line;
        }
    });
    EXPECT_EQ(count, 2 + 3 + 3 + 2 + 4);
}

TEST(Rendered, ConntrackdAcceptsItsConfiguration) {
    if (!have_program("conntrackd")) {
        GTEST_SKIP() << "conntrackd is not installed";
    }
    const Scratch scratch;
    const int count = each_file("/conntrackd.conf", [&](const File& file) {
        // It reads its configuration before it looks for the one that runs, which is nowhere.
        const std::string path = scratch.write("conntrackd.conf", file.content).string();
        const Result result = run({{"conntrackd", "-C", path, "-s"}});
        EXPECT_THAT(result.errors, testing::HasSubstr("can't connect"));
        EXPECT_THAT(result.errors,
                    testing::Not(testing::AnyOf(testing::HasSubstr("parse"), testing::HasSubstr("WARN"))));
    });
    EXPECT_EQ(count, 2);
}

TEST(Rendered, NftAcceptsTheRulesOfEveryGateway) {
    if (!have_program("nft") || !have_network_namespace()) {
        GTEST_SKIP() << "nft is not installed, or no network namespace can be made";
    }
    const Scratch scratch;
    const int count = each_file("/nftables.conf", [&](const File& file) {
        const Result result =
            run({{"unshare", "-rn", "nft", "-c", "-f", scratch.write("nftables.conf", file.content).string()}});
        EXPECT_EQ(result.status, 0) << result.errors;
    });
    EXPECT_EQ(count, 3 + 2);
}

TEST(Rendered, DnsmasqAcceptsItsConfiguration) {
    if (!have_program("dnsmasq")) {
        GTEST_SKIP() << "dnsmasq is not installed";
    }
    const Scratch scratch;
    const int count = each_file("/dnsmasq-makina.conf", [&](const File& file) {
        const Result result =
            run({{"dnsmasq", "--test", "--conf-file=" + scratch.write("dnsmasq.conf", file.content).string()}});
        EXPECT_EQ(result.status, 0) << result.errors;
    });
    EXPECT_EQ(count, 1 + 2);
}

TEST(Rendered, ContainerdUnderstandsItsConfiguration) {
    if (!have_program("containerd")) {
        GTEST_SKIP() << "containerd is not installed";
    }
    const Scratch scratch;
    const std::string config = content(plan_of(clusters::pair(), "master-1"), "/etc/containerd/config.toml");
    const Result result =
        run({{"containerd", "--config", scratch.write("config.toml", config).string(), "config", "dump"}});
    ASSERT_EQ(result.status, 0) << result.errors;
    for (const char* line : {"sandbox_image = \"registry.k8s.io/pause:3.10.1\"", "bin_dir = \"/opt/cni/bin\"",
                             "SystemdCgroup = true", "runtime_type = \"io.containerd.runc.v2\""}) {
        EXPECT_NE(result.output.find(line), std::string::npos) << line;
    }
}

TEST(Rendered, Containerd2HasAConfigurationOfItsOwn) {
    const Profile profile = clusters::pair();
    BaseFacts base = clusters::debian(profile);
    base.packages["containerd"] = "1:2.1.9-1";
    const std::string config =
        content(plan_image(profile, *profile.find("worker-1"), base, overlays_folder()), "/etc/containerd/config.toml");
    EXPECT_NE(config.find("version = 3\n"), std::string::npos);
    EXPECT_NE(config.find("bin_dirs = [\"/opt/cni/bin\", \"/usr/lib/cni\"]\n"), std::string::npos);
    EXPECT_NE(
        config.find(
            "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]\n  SystemdCgroup = true\n"),
        std::string::npos);
    EXPECT_EQ(config.find("io.containerd.grpc.v1.cri"), std::string::npos);
}

TEST(Rendered, SystemdAcceptsEveryUnitOfOurs) {
    if (!have_program("systemd-analyze")) {
        GTEST_SKIP() << "systemd-analyze is not installed";
    }
    const Scratch scratch;
    const int count = each_file("/etc/systemd/system/", [&](const File& file) {
        if (!ends_with(file.path, ".service") && !ends_with(file.path, ".timer")) {
            return;
        }
        const std::string name = std::filesystem::path(file.path).filename().string();
        const Result result =
            run({{"systemd-analyze", "verify", "--man=no", scratch.write(name, file.content).string()}});
        // The programs are on the node, not here; nothing else may be wrong.
        std::istringstream lines(result.errors);
        for (std::string line; std::getline(lines, line);) {
            EXPECT_NE(line.find("is not executable: No such file or directory"), std::string::npos) << line;
        }
    });
    EXPECT_GT(count, 0);
}

TEST(Rendered, EtcdKnowsEveryVariableAndAsksForTheCertificate) {
    if (!have_program("etcd") || !have_network_namespace()) {
        GTEST_SKIP() << "etcd is not installed, or no network namespace can be made";
    }
    const Scratch scratch;
    const int count = each_file("/etc/default/etcd", [&](const File& file) {
        Command command{{"unshare", "-rn", "etcd"}};
        std::istringstream lines(file.content);
        for (std::string line; std::getline(lines, line);) {
            const auto equals = line.find('=');
            if (line.rfind("ETCD_", 0) == 0 && equals != std::string::npos) {
                std::string value = line.substr(equals + 1);
                value.erase(std::remove(value.begin(), value.end(), '\''), value.end());
                command.environment[line.substr(0, equals)] = value;
            }
        }
        EXPECT_GT(command.environment.size(), 20U);
        command.environment["ETCD_DATA_DIR"] = (scratch / "data").string();
        const Result result = run(command);
        const std::string said = result.output + result.errors;
        EXPECT_NE(result.status, 0);
        EXPECT_EQ(said.find("unrecognized"), std::string::npos) << said;
        EXPECT_NE(said.find("open /etc/etcd/pki/peer.crt: no such file or directory"), std::string::npos) << said;
    });
    EXPECT_EQ(count, 3);
}

TEST(Rendered, SysusersMakesTheAdministratorWithoutAPassword) {
    if (!have_program("systemd-sysusers")) {
        GTEST_SKIP() << "systemd-sysusers is not installed";
    }
    if (geteuid() != 0) {
        GTEST_SKIP() << "systemd-sysusers changes owners, which needs root";
    }
    const Scratch scratch;
    const ImagePlan plan = plan_of(clusters::pair(), "lb-1");
    scratch.write("usr/lib/sysusers.d/makina.conf", content(plan, "/usr/lib/sysusers.d/makina.conf"));
    // A vendor's image may have somebody with the number 1000 already.
    scratch.write("etc/passwd", "root:x:0:0:root:/root:/bin/bash\npi:x:1000:1000::/home/pi:/bin/sh\n");
    scratch.write("etc/group", "root:x:0:\npi:x:1000:\n");
    const Result result = run({{"systemd-sysusers", "--root=" + scratch.path().string()}});
    ASSERT_EQ(result.status, 0) << result.errors;
    EXPECT_NE(slurp(scratch / "etc/passwd").find(":MAKINA administrator:/home/makina:/bin/bash\n"), std::string::npos);
    EXPECT_NE(slurp(scratch / "etc/shadow").find("makina:!*:"), std::string::npos);
}

TEST(Rendered, OwnersAreUsersThatEveryBaseHas) {
    // An image of a base without etcd or haproxy must still be built; their users come with their packages.
    (void)each_file("/", [](const File& file) {
        EXPECT_EQ(file.user, "root");
        EXPECT_EQ(file.group, "root");
    });
}

TEST(Rendered, EveryDropInIsMadeOfSectionsAndSettings) {
    const int count = each_file("/etc/systemd/", [](const File& file) {
        std::istringstream lines(file.content);
        for (std::string line; std::getline(lines, line);) {
            const bool section = !line.empty() && line[0] == '[' && line.back() == ']';
            EXPECT_TRUE(line.empty() || line[0] == '#' || section || line.find('=') != std::string::npos) << line;
        }
    });
    EXPECT_GT(count, 100);
}

TEST(Rendered, EveryYamlFileIsYaml) {
    const int count = each_file(".yaml", [](const File& file) {
        const std::vector<YAML::Node> documents = YAML::LoadAll(file.content);
        EXPECT_FALSE(documents.empty());
        for (const YAML::Node& document : documents) {
            EXPECT_TRUE(document.IsMap());
        }
    });
    EXPECT_GT(count, 20);
}

TEST(Rendered, EveryScriptIsAShellScript) {
    const Scratch scratch;
    int scripts = 0;
    const Profile profile = clusters::pair();
    BaseFacts bare = clusters::debian(profile);
    bare.packages.clear();
    for (const Node& node : profile.nodes) {
        const ImagePlan plan = plan_image(profile, node, bare, overlays_folder());
        for (const auto& [path, file] : plan.files.files()) {
            if (file.content.rfind("#!/bin/sh", 0) == 0) {
                const Result result = run({{"sh", "-n", scratch.write("script", file.content).string()}});
                EXPECT_EQ(result.status, 0) << path << result.errors;
                EXPECT_EQ(file.mode, 0755U) << path;
                ++scripts;
            }
        }
    }
    EXPECT_GE(scripts, 7 + 2);
}

}  // namespace
}  // namespace makina
