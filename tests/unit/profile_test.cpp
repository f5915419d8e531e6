#include "builder/profile/profile.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <set>
#include <sstream>

#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

using testing::ElementsAre;

const std::filesystem::path source = MAKINA_SOURCE;

std::string text_of(const std::filesystem::path& file) {
    std::ostringstream text;
    text << std::ifstream(file, std::ios::binary).rdbuf();
    return text.str();
}

/// The profile in `file`; each complaint fails the test.
Profile sound_profile(const std::filesystem::path& file) {
    const ProfileReading reading = read_profile(file);
    for (const Complaint& complaint : reading.complaints) ADD_FAILURE() << to_string(file, complaint);
    return reading.profile.value_or(Profile{});
}

std::vector<std::string> names(const Profile& profile, Role role) {
    std::vector<std::string> result;
    for (const Node* node : profile.with_role(role)) result.push_back(node->name);
    return result;
}

std::string address_of(const Profile& profile, const std::string& name) {
    const Node* node = profile.find(name);
    return node == nullptr ? "no node " + name : to_string(node->address);
}

/// Writes `text` as a profile of its own that is gone with the test.
class WrittenProfile {
  public:
    explicit WrittenProfile(const std::string& text)
        : file_(testing::TempDir() + "makina-profile-" + std::to_string(::getpid()) + ".yaml") {
        std::ofstream(file_, std::ios::binary) << text;
    }
    WrittenProfile(const WrittenProfile&) = delete;
    WrittenProfile& operator=(const WrittenProfile&) = delete;
    ~WrittenProfile() {
        std::error_code ignored;
        std::filesystem::remove(file_, ignored);
    }
    [[nodiscard]] const std::filesystem::path& file() const { return file_; }

  private:
    std::filesystem::path file_;
};

TEST(Profile, TheDefaultProfileIsTheClusterBehindAGateway) {
    const Profile profile = sound_profile(source / "profiles/makina.yaml");
    EXPECT_EQ(profile.name, "makina");
    EXPECT_EQ(to_string(profile.kubernetes.version), "1.34.1");
    EXPECT_EQ(to_string(profile.api.address), "192.168.3.240");
    EXPECT_EQ(profile.api.port, 9000);
    EXPECT_EQ(profile.api.balancer, Balancer::pair);
    EXPECT_EQ(to_string(profile.network.pods), "10.244.0.0/16");
    EXPECT_THAT(names(profile, Role::load_balancer), ElementsAre("lb-1", "lb-2"));
    EXPECT_THAT(names(profile, Role::control_plane), ElementsAre("master-1", "master-2", "master-3"));
    EXPECT_THAT(names(profile, Role::gateway), ElementsAre("gateway-1"));
    EXPECT_GE(names(profile, Role::worker).size(), 1U);
    EXPECT_EQ(address_of(profile, "lb-1"), "192.168.3.241");
    EXPECT_EQ(address_of(profile, "lb-2"), "192.168.3.242");
    EXPECT_EQ(address_of(profile, "master-1"), "192.168.3.251");
    EXPECT_EQ(address_of(profile, "master-3"), "192.168.3.253");
    EXPECT_EQ(profile.gateway.uplink, "eth0");
    EXPECT_EQ(profile.gateway.inside, "eth1");
    EXPECT_EQ(profile.network.gateway, profile.find("gateway-1")->address);
}

TEST(Profile, TheExternalEtcdProfileHasItsOwnMembersAndThreeBalancers) {
    const Profile profile = sound_profile(source / "profiles/external-etcd.yaml");
    EXPECT_EQ(to_string(profile.api.address), "192.168.114.10");
    EXPECT_EQ(profile.api.port, 64430);
    EXPECT_EQ(profile.network.domain, "k8s.home.arpa");
    EXPECT_EQ(profile.etcd.topology, EtcdTopology::external);
    EXPECT_EQ(names(profile, Role::etcd).size(), 3U);
    EXPECT_EQ(names(profile, Role::load_balancer).size(), 3U);
    EXPECT_EQ(names(profile, Role::worker).size(), 7U);
    EXPECT_EQ(address_of(profile, "master-3"), "192.168.114.3");
    EXPECT_EQ(address_of(profile, "node-7"), "192.168.114.17");
}

TEST(Profile, TheSingleProfileIsReachedAtItsControlPlane) {
    const Profile profile = sound_profile(source / "profiles/single.yaml");
    EXPECT_EQ(profile.name, "kubeadm-orenge-cloud-playground");
    EXPECT_EQ(to_string(profile.network.subnet), "192.168.68.0/24");
    EXPECT_EQ(profile.api.balancer, Balancer::none);
    EXPECT_EQ(profile.api.port, 6443);
    ASSERT_EQ(names(profile, Role::control_plane).size(), 1U);
    EXPECT_EQ(profile.api.address, profile.with_role(Role::control_plane).front()->address);
    EXPECT_EQ(names(profile, Role::worker).size(), 3U);
}

TEST(Profile, EveryProfileInTheFolderIsSound) {
    int profiles = 0;
    for (const auto& entry : std::filesystem::directory_iterator(source / "profiles")) {
        if (entry.path().extension() != ".yaml") continue;
        ++profiles;
        EXPECT_FALSE(sound_profile(entry.path()).nodes.empty()) << entry.path();
    }
    EXPECT_GE(profiles, 3);
}

TEST(Profile, DefaultsAreWhatTheReadmeSays) {
    const Profile profile = sound_profile(source / "profiles/single.yaml");
    EXPECT_EQ(profile.kubernetes.source, KubernetesSource::automatic);
    EXPECT_EQ(profile.network.dns, std::vector{profile.network.gateway});
    EXPECT_EQ(profile.network.ntp.front(), "0.debian.pool.ntp.org");
    EXPECT_EQ(profile.network.ntp.size(), 4U);
    EXPECT_EQ(to_string(profile.network.services), "10.96.0.0/12");
    EXPECT_EQ(profile.network.domain, "cluster.local");
    EXPECT_EQ(profile.etcd.topology, EtcdTopology::stacked);
    EXPECT_EQ(profile.etcd.heartbeat_ms, 500U);
    EXPECT_EQ(profile.etcd.election_ms, 5000U);
    EXPECT_EQ(profile.etcd.quota_bytes, 2ULL << 30);
    EXPECT_EQ(profile.etcd.compaction, "8h");
    EXPECT_EQ(profile.etcd.snapshots.every, 21600U);
    EXPECT_EQ(profile.etcd.snapshots.keep, 4U);
    EXPECT_EQ(profile.etcd.snapshots.ssh + profile.etcd.snapshots.bucket, "");
    EXPECT_EQ(profile.etcd.snapshots.region, "us-east-1");
    EXPECT_EQ(profile.base.kind, BaseKind::packages);
    EXPECT_EQ(profile.base.suite, "trixie");
    EXPECT_EQ(profile.base.mirror, "http://deb.debian.org/debian");
    EXPECT_EQ(profile.base.security_mirror, "http://deb.debian.org/debian-security");
    EXPECT_EQ(profile.base.free_bytes, 1ULL << 30);
    EXPECT_EQ(profile.admin.user, "makina");
    EXPECT_TRUE(profile.admin.ssh_keys.empty());
    EXPECT_FALSE(profile.control_plane.schedulable);
    const Node& worker = *profile.find("worker-1");
    EXPECT_EQ(worker.architecture, Architecture::arm64);
    EXPECT_EQ(worker.hardware, Hardware::rpi4);
    EXPECT_EQ(worker.spare_partition, 0U);
}

TEST(Profile, ReadsTheClusterWideKeys) {
    const Profile profile = sound_profile(source / "tests/unit/every_key.yaml");
    EXPECT_EQ(profile.vrid, 77);
    EXPECT_EQ(profile.pki, Pki::offline);
    EXPECT_EQ(to_string(profile.kubernetes.version), "1.31.5");
    EXPECT_EQ(profile.kubernetes.source, KubernetesSource::folder);
    EXPECT_EQ(profile.kubernetes.folder, source / "tests/unit/packages");
    EXPECT_EQ(profile.network.dns.size(), 2U);
    EXPECT_THAT(profile.network.ntp, ElementsAre("time.example.org", "10.1.0.1"));
    EXPECT_EQ(to_string(profile.network.pods), "10.2.0.0/16");
    EXPECT_EQ(to_string(profile.network.services), "10.3.0.0/20");
    EXPECT_THAT(profile.api.names, ElementsAre("api.home.arpa", "203.0.113.7"));
    EXPECT_EQ(profile.etcd.heartbeat_ms, 100U);
    EXPECT_EQ(profile.etcd.election_ms, 1000U);
    EXPECT_EQ(profile.etcd.quota_bytes, 512ULL << 20);
    EXPECT_EQ(profile.etcd.compaction, "1h30m");
    const Snapshots& snapshots = profile.etcd.snapshots;
    EXPECT_EQ(snapshots.every, 5400U);
    EXPECT_EQ(snapshots.keep, 9U);
    EXPECT_EQ(snapshots.ssh, "");
    EXPECT_EQ(snapshots.bucket, "cellar/etcd/home");
    EXPECT_EQ(snapshots.endpoint, "https://s3.home.arpa:9000");
    EXPECT_EQ(snapshots.region, "eu-central-1");
    EXPECT_EQ(snapshots.credentials, source / "tests/unit/every_key.yaml");
    EXPECT_EQ(profile.base.suite, "bookworm");
    EXPECT_EQ(profile.base.mirror, "https://mirror.example.org/debian");
    EXPECT_EQ(profile.base.security_mirror, "");
    EXPECT_EQ(profile.base.free_bytes, 512ULL << 20);
    EXPECT_EQ(profile.admin.user, "ada");
    EXPECT_EQ(profile.admin.ssh_keys.size(), 1U);
    EXPECT_EQ(profile.control_plane.api_server.cpu, "1500m");
    EXPECT_EQ(profile.control_plane.api_server.memory, "1Gi");
    EXPECT_EQ(profile.control_plane.etcd.cpu, "2");
    EXPECT_EQ(profile.control_plane.etcd.memory, "512Mi");
    EXPECT_TRUE(profile.control_plane.schedulable);
    EXPECT_THAT(profile.manifests, ElementsAre(source / "tests/unit/every_key.yaml"));
}

TEST(Profile, ReadsTheGatewaysKeys) {
    const Profile profile = sound_profile(source / "tests/unit/every_key.yaml");
    const Gateway& gateway = profile.gateway;
    EXPECT_EQ(gateway.uplink, "end0");
    EXPECT_EQ(gateway.inside, "enx0");
    EXPECT_EQ(profile.find("gateway-1")->uplink_mac, "dc:a6:32:00:00:01");
    EXPECT_EQ(profile.find("gateway-1")->inside_mac, "dc:a6:32:00:00:02");
    EXPECT_TRUE(gateway.dhcp);
    EXPECT_EQ(to_string(gateway.dhcp_first), "10.1.9.1");
    EXPECT_EQ(to_string(gateway.dhcp_last), "10.1.9.254");
    EXPECT_TRUE(gateway.dns);
    ASSERT_EQ(gateway.forwards.size(), 2U);
    EXPECT_EQ(gateway.forwards[0].protocol, "udp");
    EXPECT_EQ(to_string(gateway.forwards[0].to), "10.1.0.6");
    EXPECT_EQ(gateway.forwards[0].to_port, 30443);
    EXPECT_EQ(gateway.forwards[1].protocol, "tcp");
    EXPECT_EQ(gateway.forwards[1].to_port, 80);
    EXPECT_FALSE(gateway.forwards[0].from);
    EXPECT_EQ(to_string(gateway.forwards[1].from.value()), "192.168.1.0/24");
    EXPECT_EQ(gateway.connections, 65536U);
    EXPECT_EQ(to_string(gateway.uplink_address.value()), "192.168.1.9");
    EXPECT_TRUE(gateway.conntrack_sync);
    EXPECT_EQ(gateway.vrid, 78);
    EXPECT_TRUE(profile.shares_gateway());
}

TEST(Profile, ReadsTheKeysOfRolesAndNodes) {
    const Profile profile = sound_profile(source / "tests/unit/every_key.yaml");
    ASSERT_TRUE(profile.extras.contains(Role::worker));
    const Extras& extras = profile.extras.at(Role::worker);
    EXPECT_THAT(extras.packages, ElementsAre("nfs-common", "htop=3.4.1-5"));
    ASSERT_EQ(extras.files.size(), 2U);
    EXPECT_EQ(extras.files[0].content, "a worker\n");
    EXPECT_EQ(extras.files[0].mode, 0644U);
    EXPECT_EQ(extras.files[1].path, "/usr/local/bin/hello");
    EXPECT_EQ(extras.files[1].mode, 0755U);
    EXPECT_THAT(extras.kernel_arguments, ElementsAre("isolcpus=3"));
    EXPECT_THAT(extras.sysctls, ElementsAre(testing::Pair("vm.max_map_count", "262144")));
    EXPECT_THAT(extras.config_txt, ElementsAre("gpu_mem=16"));
    const Node& worker = *profile.find("worker-1");
    EXPECT_EQ(worker.mac, "dc:a6:32:01:02:03");
    EXPECT_EQ(worker.serial, "10000000abcdef01");
    EXPECT_EQ(worker.architecture, Architecture::amd64);
    EXPECT_EQ(worker.hardware, Hardware::generic);
    EXPECT_EQ(worker.labels.at("example.org/disk"), "ssd");
    EXPECT_THAT(worker.taints, ElementsAre("disk=slow:NoSchedule", "drained:NoExecute"));
    EXPECT_EQ(worker.spare_partition, 350ULL << 30);
    EXPECT_EQ(profile.find("master-1")->hardware, Hardware::rpi5);
}

TEST(Profile, ImagesOfStaticPodsCanBeChosen) {
    const std::string begins =
        "name: home\nkubernetes: {version: 1.34.1}\nnetwork: {subnet: 192.168.3.0/24, gateway: 192.168.3.1}\n"
        "nodes: {master-1: {role: control-plane, address: 192.168.3.10}, worker-1: {role: worker, address: "
        "192.168.3.20}}\napi: {balancer: static-pod, address: 192.168.3.5, port: 9000";
    const WrittenProfile plain(begins + "}\n");
    EXPECT_EQ(sound_profile(plain.file()).api.haproxy_image, "docker.io/library/haproxy:3.0.11-alpine");
    EXPECT_EQ(sound_profile(plain.file()).api.keepalived_image, "docker.io/osixia/keepalived:2.0.20");
    const std::string digest = "registry.home.arpa:5000/haproxy@sha256:" + std::string(64, '0');
    const WrittenProfile own(begins + ", images: {haproxy: \"" + digest + "\", keepalived: keepalived:2.3.3}}\n");
    EXPECT_EQ(sound_profile(own.file()).api.haproxy_image, digest);
    EXPECT_EQ(sound_profile(own.file()).api.keepalived_image, "keepalived:2.3.3");
    for (const char* const image :
         {"haproxy", "haproxy:latest", "haproxy:", "haproxy:-1", "haproxy@sha256:00", "haproxy:3@", "Haproxy:3", "/h:3",
          "haproxy:3 # x", "registry:5000/haproxy", ":3", "@sha256:"}) {
        const WrittenProfile wrong(begins + ", images: {haproxy: \"" + image + "\"}}\n");
        const ProfileReading reading = read_profile(wrong.file());
        ASSERT_EQ(reading.complaints.size(), 1U) << image;
        EXPECT_EQ(reading.complaints[0].text, "api.images.haproxy: \"" + std::string(image) +
                                                  "\" is not a container image of one version such as "
                                                  "docker.io/library/haproxy:3.0.11-alpine");
    }
}

TEST(Profile, AnImageBaseIsFoundFromTheProfilesFolder) {
    std::string text = text_of(source / "profiles/single.yaml");
    const std::string sum(64, 'A');
    const WrittenProfile written(text + "\nbase: {image: images/pi.img.xz, sha256: " + sum + "}\n");
    const Profile profile = sound_profile(written.file());
    EXPECT_EQ(profile.base.kind, BaseKind::image);
    EXPECT_EQ(profile.base.source, (written.file().parent_path() / "images/pi.img.xz").string());
    EXPECT_EQ(profile.base.sha256, std::string(64, 'a'));
}

TEST(Profile, TheVrrpIdFollowsFromTheNameAndTheAddress) {
    const std::string text = text_of(source / "profiles/makina.yaml");
    std::set<std::uint8_t> ids;
    for (const std::string name : {"makina", "blue", "green", "home", "lab"}) {
        std::string renamed = text;
        renamed.replace(renamed.find("name: makina"), 12, "name: " + name);
        const WrittenProfile first(renamed);
        const Profile profile = sound_profile(first.file());
        const std::uint8_t id = profile.vrid;
        EXPECT_GE(id, 1);
        EXPECT_EQ(id, sound_profile(first.file()).vrid);
        EXPECT_GE(profile.gateway.vrid, 1);
        EXPECT_NE(id, profile.gateway.vrid) << "both addresses are in the same network";
        ids.insert(id);
    }
    EXPECT_GE(ids.size(), 4U) << "different clusters in one network must rarely share an id";
}

TEST(Profile, AByteOrderMarkBeforeUtf8AndWindowsLineEndsSayNothing) {
    std::string text = "\xef\xbb\xbf";
    for (const char letter : text_of(source / "profiles/makina.yaml")) {
        if (letter == '\n') text += '\r';
        text += letter;
    }
    EXPECT_EQ(sound_profile(WrittenProfile(text).file()).nodes.size(), 9U);
}

TEST(Profile, AFileThatCannotBeReadIsAnError) {
    EXPECT_THROW(static_cast<void>(read_profile("/nonexistent/home.yaml")), Error);
    EXPECT_THROW(static_cast<void>(read_profile(testing::TempDir())), Error);
    EXPECT_THROW(static_cast<void>(read_profile("/dev/zero")), Error);
}

TEST(Profile, TheReadmeListsEveryKeyAndNoOther) {
    std::set<std::string> listed;
    std::istringstream readme(text_of(source / "profiles/README.md"));
    for (std::string line; std::getline(readme, line);) {
        const bool is_key = line.starts_with("| `") && line.find(".yaml`") == std::string::npos;
        if (!is_key) continue;
        const std::string key = line.substr(3, line.find('`', 3) - 3);
        EXPECT_TRUE(listed.insert(key).second) << key << " is listed twice";
        EXPECT_EQ(std::ranges::count(line, '|'), 4) << line;
    }
    const auto& keys = profile_keys();
    EXPECT_THAT(listed, testing::UnorderedElementsAreArray(keys));
}

TEST(Profile, TheFileOfEveryKeyHasEveryKey) {
    const std::string text = text_of(source / "tests/unit/every_key.yaml");
    for (const std::string& key : profile_keys()) {
        const std::string last = key.substr(key.rfind('.') + 1);
        // Those that exclude what the file has: packages as the base, machines as balancers.
        const bool excluded = key == "base.image" || key == "base.sha256" || key.starts_with("api.images.");
        if (excluded || last.starts_with('<')) continue;
        EXPECT_NE(text.find(last + ":"), std::string::npos) << key;
    }
}

TEST(Profile, SuggestsTheNearestWordAndNoFarOne) {
    EXPECT_EQ(did_you_mean("roel", {"role", "rule"}), "role");
    EXPECT_EQ(did_you_mean("adress", {"arch", "address"}), "address");
    EXPECT_EQ(did_you_mean("master-l", {"worker-1", "master-1"}), "master-1");
    EXPECT_EQ(did_you_mean("x", {"role"}), std::nullopt);
    EXPECT_EQ(did_you_mean("printer", {"worker", "gateway"}), std::nullopt);
    EXPECT_EQ(did_you_mean("", {"role"}), std::nullopt);
    EXPECT_EQ(did_you_mean("role", {}), std::nullopt);
}

TEST(Profile, ComplaintsNameFileLineAndColumn) {
    EXPECT_EQ(to_string(std::filesystem::path("profiles/a.yaml"), Complaint{12, 3, "unknown key"}),
              "profiles/a.yaml:12:3: unknown key");
}

TEST(Profile, VersionsAreThreeNumbersAndNothingElse) {
    EXPECT_EQ(parse_version("1.34.1"), (Version{1, 34, 1}));
    EXPECT_LT(*parse_version("1.9.10"), *parse_version("1.10.0"));
    for (const char* text :
         {"", "1", "1.34", "v1.34.1", "1.34.1.0", "1.34.1-rc.1", "1.034.1", "1..1", " 1.2.3", "1.2.99999999999"}) {
        EXPECT_FALSE(parse_version(text)) << text;
    }
}

TEST(Address, IsFourDecimalNumbersAndNothingElse) {
    EXPECT_EQ(parse_address("192.168.3.10")->value, 0xc0a8030aU);
    EXPECT_EQ(to_string(*parse_address("255.0.0.1")), "255.0.0.1");
    for (const char* text : {"", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.04", "1.2.3.-4", "1.2.3.4 ", " 1.2.3.4",
                             "1.2.3.", "0x1.2.3.4", "1.2.3.1000", "::1"}) {
        EXPECT_FALSE(parse_address(text)) << text;
    }
}

TEST(Address, ASubnetKnowsItsEnds) {
    const Subnet subnet = *parse_subnet("192.168.3.7/24");
    EXPECT_EQ(to_string(subnet), "192.168.3.7/24");
    EXPECT_EQ(to_string(subnet.first()), "192.168.3.0");
    EXPECT_EQ(to_string(subnet.last()), "192.168.3.255");
    EXPECT_TRUE(subnet.contains(*parse_address("192.168.3.255")));
    EXPECT_FALSE(subnet.contains(*parse_address("192.168.4.0")));
    EXPECT_TRUE(subnet.overlaps(*parse_subnet("192.168.0.0/16")));
    EXPECT_FALSE(subnet.overlaps(*parse_subnet("192.168.4.0/24")));
    EXPECT_TRUE(parse_subnet("0.0.0.0/0")->contains(*parse_address("255.255.255.255")));
    for (const char* text : {"", "1.2.3.4", "1.2.3.4/", "1.2.3.4/33", "1.2.3.4/08", "1.2.3.4/8x", "/8", "1.2.3.4/-1"}) {
        EXPECT_FALSE(parse_subnet(text)) << text;
    }
}

}  // namespace
}  // namespace makina
