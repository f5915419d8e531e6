#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "builder/profile/address.hpp"
#include "builder/profile/complaint.hpp"

namespace makina {

/// What a node does. k3s-server and k3s-agent will join this list; every switch over it is without a default, so the
/// compiler names the places that must learn them.
enum class Role { control_plane, worker, load_balancer, etcd, gateway };

/// All roles, in the order in which people read them.
[[nodiscard]] const std::vector<Role>& all_roles();
/// The role as profiles spell it: "control-plane", "worker", "load-balancer", "etcd", "gateway".
[[nodiscard]] std::string to_string(Role role);

enum class Architecture { arm64, amd64 };
[[nodiscard]] std::string to_string(Architecture architecture);  ///< Debian's name: "arm64", "amd64"

/// Which board the node is; it decides boot files and kernel arguments. `generic` boots by UEFI or in an emulator.
enum class Hardware { rpi3, rpi4, rpi5, generic };
[[nodiscard]] std::string to_string(Hardware hardware);

/// A Kubernetes version "1.34.1".
struct Version {
    int major = 0, minor = 0, patch = 0;
    auto operator<=>(const Version&) const = default;
};
[[nodiscard]] std::optional<Version> parse_version(std::string_view text);
[[nodiscard]] std::string to_string(const Version& version);  ///< "1.34.1", without a "v"

/// Where kubeadm, kubelet, kubectl, kubernetes-cni and cri-tools come from.
enum class KubernetesSource {
    automatic,   ///< the repository if it answers at build time, else first_boot with one warning
    repository,  ///< pkgs.k8s.io, or the build fails
    first_boot,  ///< the node installs them
    folder       ///< Kubernetes::folder holds .deb files or plain binaries
};

struct Kubernetes {
    Version version;
    KubernetesSource source = KubernetesSource::automatic;
    std::filesystem::path folder;  ///< absolute; set exactly for KubernetesSource::folder
};

struct Network {
    Subnet subnet;
    Address gateway;
    std::vector<Address> dns;
    std::vector<std::string> ntp;  ///< host names or addresses
    Subnet pods;
    Subnet services;
    std::string domain;  ///< the cluster's DNS domain, "cluster.local"
};

enum class Balancer {
    pair,        ///< load-balancer nodes hold the VIP
    static_pod,  ///< haproxy and keepalived as static pods on every control plane
    none         ///< the address is the single control plane's own
};

/// The API endpoint that every node uses: the VIP, or the single control plane.
struct Endpoint {
    Address address;
    std::uint16_t port = 6443;
    Balancer balancer = Balancer::none;
    std::vector<std::string> names;  ///< further certSANs, host names or addresses
    /// Container images of the static pods, each of one version.
    std::string haproxy_image = "docker.io/library/haproxy:3.0.11-alpine";
    std::string keepalived_image = "docker.io/osixia/keepalived:2.0.20";
};

/// Whether control planes hold the authorities' private keys, as kubeadm's signer of node certificates needs them.
enum class Pki { online, offline };

enum class EtcdTopology { stacked, external };

/// Copies of etcd's data, taken on each etcd node.
struct Snapshots {
    std::uint64_t every = 21600;       ///< seconds; 0: none are taken
    std::uint32_t keep = 4;            ///< how many stay on the node
    std::string ssh;                   ///< pushed by rsync to "user@host:folder"; empty: not so
    std::string bucket;                ///< pushed to a store that speaks S3, "bucket" or "bucket/folder"; empty: not so
    std::string endpoint;              ///< of the store, "https://s3.home.arpa:9000"
    std::string region = "us-east-1";  ///< of the store
    std::filesystem::path credentials;  ///< absolute; what opens the place that they are pushed to
};

/// etcd's settings; the defaults suit SD cards, where an fsync can take hundreds of milliseconds.
struct Etcd {
    EtcdTopology topology = EtcdTopology::stacked;
    std::uint32_t heartbeat_ms = 500;
    std::uint32_t election_ms = 5000;        ///< at least 5 x heartbeat_ms, at most 50000
    std::uint64_t quota_bytes = 2147483648;  ///< --quota-backend-bytes
    std::string compaction = "8h";           ///< --auto-compaction-retention, mode periodic
    Snapshots snapshots;
};

enum class BaseKind { packages, image };

/// What images start from.
struct Base {
    BaseKind kind = BaseKind::packages;
    std::string suite = "trixie";  ///< packages: the Debian release
    std::string mirror;            ///< packages: archive URL
    std::string security_mirror;   ///< packages: security archive URL; empty for none
    std::string source;            ///< image: absolute path or http(s) URL
    std::string sha256;            ///< image: 64 lower-case hex digits; required for a URL
    std::uint64_t free_bytes = 0;  ///< free space left in the root file system, in bytes
};

/// The person who may log in. Without keys nobody can: there is no password.
struct Admin {
    std::string user = "makina";
    std::vector<std::string> ssh_keys;  ///< lines of authorized_keys
};

/// A file that the profile adds to the nodes of a role.
struct ExtraFile {
    std::string path;  ///< absolute, on the node
    std::string content;
    std::uint32_t mode = 0644;
};

/// What a profile adds to every node of one role.
struct Extras {
    std::vector<std::string> packages;
    std::vector<ExtraFile> files;
    std::vector<std::string> kernel_arguments;
    std::map<std::string, std::string> sysctls;
    std::vector<std::string> config_txt;  ///< lines appended to the Raspberry Pi's config.txt
};

/// Resource limits of one static pod (Kubernetes quantities), against the OOM that a small board meets.
struct Limits {
    std::string cpu;     ///< "1500m", empty for none
    std::string memory;  ///< "1Gi", empty for none
};

struct ControlPlane {
    Limits api_server;
    Limits etcd;
    bool schedulable = false;  ///< true leaves out the NoSchedule taint
};

/// A TCP or UDP port that the gateway passes from the uplink to a node. One that leads to a gateway is open on that
/// gateway itself.
struct Forward {
    std::string protocol;  ///< "tcp" | "udp"
    std::uint16_t port = 0;
    Address to;
    std::uint16_t to_port = 0;
    std::optional<Subnet> from = {};  ///< who may use it; everybody if absent
};

struct Gateway {
    std::string uplink = "eth0";  ///< interface towards home
    std::string inside = "eth1";  ///< interface towards the cluster
    bool dhcp = false;            ///< dnsmasq serves addresses on `inside`
    Address dhcp_first, dhcp_last;
    bool dns = false;                    ///< dnsmasq answers names on `inside`
    std::vector<Forward> forwards;       ///< what the profile opens from the uplink; nothing else comes in
    std::uint32_t connections = 131072;  ///< that are remembered at once
    // Of two or more gateways:
    std::optional<Address> uplink_address;  ///< home's, which they share as they share network.gateway
    bool conntrack_sync = false;            ///< each knows the other's connections
    std::uint8_t vrid = 0;  ///< VRRP router id 1..255, from the cluster's name and network.gateway unless set
};

struct Node {
    std::string name;
    Role role = Role::worker;
    Address address;
    std::string mac;                     ///< lower-case aa:bb:cc:dd:ee:ff or empty
    std::string uplink_mac, inside_mac;  ///< a gateway's two cards, likewise; each pins the name of its interface
    std::string serial;  ///< the only board that the card works in: 16 lower-case hex digits, or empty for any
    Architecture architecture = Architecture::arm64;
    Hardware hardware = Hardware::rpi4;
    std::map<std::string, std::string> labels;
    std::vector<std::string> taints;    ///< "key=value:Effect" or "key:Effect"
    std::uint64_t spare_partition = 0;  ///< bytes left as an unformatted partition, 0 for none
};

/// One cluster, checked: every value is in range and the whole is consistent (see check in read_profile).
struct Profile {
    std::string name;
    std::filesystem::path path;  ///< the file it was read from
    Kubernetes kubernetes;
    Network network;
    Endpoint api;
    Etcd etcd;
    Pki pki = Pki::online;
    Base base;
    Admin admin;
    ControlPlane control_plane;
    Gateway gateway;
    std::uint8_t vrid = 0;  ///< VRRP router id 1..255, from the cluster's name and VIP unless set
    std::vector<std::filesystem::path> manifests;  ///< absolute; applied once, in this order
    std::map<Role, Extras> extras;
    std::vector<Node> nodes;  ///< in the order of the file

    /// nullptr if the profile has no such node.
    [[nodiscard]] const Node* find(const std::string& node) const;
    [[nodiscard]] std::vector<const Node*> with_role(Role role) const;
    /// True if two or more gateways share network.gateway; one alone has it as its own address.
    [[nodiscard]] bool shares_gateway() const { return with_role(Role::gateway).size() > 1; }
};

/// "profiles/a.yaml:12:3: unknown key "roel", did you mean "role"?"
[[nodiscard]] std::string to_string(const std::filesystem::path& file, const Complaint& complaint);

/// What reading a profile gives: a profile if and only if there are no complaints.
struct ProfileReading {
    std::optional<Profile> profile;
    std::vector<Complaint> complaints;  ///< in file order
};

/// Reads and checks one profile file. Every mistake is reported, not only the first.
/// Throws Error only if the file cannot be read at all.
[[nodiscard]] ProfileReading read_profile(const std::filesystem::path& file);

/// Every key that a profile may have, as a dotted path; what the user names stands in angle brackets:
/// "network.subnet", "nodes.<node>.role".
[[nodiscard]] const std::vector<std::string>& profile_keys();

/// The candidate nearest to `word` by edit distance, if it is near enough to be what was meant (at most a third of
/// the word's length, at least 1).
[[nodiscard]] std::optional<std::string> did_you_mean(const std::string& word,
                                                      const std::vector<std::string>& candidates);

}  // namespace makina
