#include "builder/profile/sections.hpp"

#include <filesystem>

#include "builder/profile/syntax.hpp"

namespace makina {
namespace {

constexpr std::uint64_t mebibyte = 1ULL << 20;
constexpr std::uint64_t gibibyte = 1ULL << 30;

/// Paths in a profile are relative to its folder, so that a profile and its files can move together.
std::filesystem::path beside(const Profile& profile, const std::string& name) {
    return (std::filesystem::absolute(profile.path).parent_path() / name).lexically_normal();
}

void read_kubernetes(Fields& top) {
    Fields fields = top.section("kubernetes");
    Kubernetes& kubernetes = top.draft().profile.kubernetes;
    fields.require("version", "such as 1.34.1");
    fields.read("version", kubernetes.version, version());
    std::string distribution = "kubeadm";
    fields.read("distribution", distribution, Choices<std::string>{{"kubeadm", "kubeadm"}, {"k3s", "k3s"}});
    if (distribution == "k3s") {
        top.draft().complain("kubernetes.distribution",
                             "kubernetes.distribution: k3s is not supported yet, use kubeadm");
    }
    std::string from = "auto";
    fields.read("from", from, file_name());
    kubernetes.source = from == "auto"         ? KubernetesSource::automatic
                        : from == "repository" ? KubernetesSource::repository
                        : from == "first-boot" ? KubernetesSource::first_boot
                                               : KubernetesSource::folder;
    if (kubernetes.source == KubernetesSource::folder) {
        kubernetes.folder = beside(top.draft().profile, from);
        const auto meant = did_you_mean(from, {"auto", "repository", "first-boot"});
        if (meant && from.find('/') == std::string::npos) {
            top.draft().complain("kubernetes.from", "kubernetes.from: " + in_quotes(from) + ", did you mean " +
                                                        in_quotes(*meant) + "? write a folder as " +
                                                        in_quotes("./" + from));
        }
    }
    fields.finish();
}

void read_network(Fields& top) {
    Fields fields = top.section("network");
    Network& network = top.draft().profile.network;
    network.ntp = {"0.debian.pool.ntp.org", "1.debian.pool.ntp.org", "2.debian.pool.ntp.org", "3.debian.pool.ntp.org"};
    network.pods = *parse_subnet("10.244.0.0/16");
    network.services = *parse_subnet("10.96.0.0/12");
    network.domain = "cluster.local";
    fields.require("subnet", "the range of the nodes' addresses such as 192.168.3.0/24");
    fields.require("gateway", "the address of the router such as 192.168.3.1");
    fields.read("subnet", network.subnet, subnet());
    fields.read("gateway", network.gateway, address());
    fields.read_list("dns", network.dns, address());
    fields.read_list("ntp", network.ntp, host());
    fields.read("pods", network.pods, subnet());
    fields.read("services", network.services, subnet());
    fields.read("domain", network.domain, domain());
    fields.finish();
    if (!fields.has("dns")) network.dns = {network.gateway};
}

void read_api(Fields& top) {
    Fields fields = top.section("api");
    Endpoint& api = top.draft().profile.api;
    api.balancer = Balancer::pair;
    fields.read(
        "balancer", api.balancer,
        Choices<Balancer>{{"pair", Balancer::pair}, {"static-pod", Balancer::static_pod}, {"none", Balancer::none}});
    if (api.balancer != Balancer::none && top.draft().sound("api.balancer")) {
        fields.require("address", "an address of the subnet that no node has, which the balancers share");
    }
    fields.read("address", api.address, address());
    fields.read("port", api.port, port());
    fields.read_list("names", api.names, host());
    Fields images = fields.section("images");
    images.read("haproxy", api.haproxy_image, container_image());
    images.read("keepalived", api.keepalived_image, container_image());
    images.finish();
    fields.finish();
}

void read_etcd(Fields& top) {
    Fields fields = top.section("etcd");
    Etcd& etcd = top.draft().profile.etcd;
    fields.read("topology", etcd.topology,
                Choices<EtcdTopology>{{"stacked", EtcdTopology::stacked}, {"external", EtcdTopology::external}});
    fields.read("heartbeat_ms", etcd.heartbeat_ms, number(10, 10000));
    fields.read("election_ms", etcd.election_ms, number(50, 50000));
    fields.read("quota", etcd.quota_bytes, size(64 * mebibyte, 8 * gibibyte, "from 64MiB to 8GiB"));
    fields.read("compaction", etcd.compaction, duration());
    read_snapshots(fields);
    fields.finish();
}

/// Complains about keys that only the other kind of base has.
void refuse_with(Fields& fields, const std::string& reason, const std::vector<std::string>& keys) {
    for (const std::string& key : keys) {
        if (!fields.has(key)) continue;
        std::string text = fields.path_of(key);
        fields.draft().complain(fields.path_of(key), text.append(": ").append(reason));
    }
}

void read_base(Fields& top) {
    Fields fields = top.section("base");
    Base& base = top.draft().profile.base;
    base.kind = fields.has("image") ? BaseKind::image : BaseKind::packages;
    base.mirror = "http://deb.debian.org/debian";
    base.security_mirror = "http://deb.debian.org/debian-security";
    base.free_bytes = gibibyte;
    fields.read("packages", base.suite, release());
    fields.read("mirror", base.mirror, web_address());
    Rule<std::string> web_or_none = web_address();
    fields.read("security_mirror", base.security_mirror,
                Rule<std::string>{web_or_none.wanted + ", or \"\" for none", [&](const std::string& text) {
                                      return text.empty() ? std::optional(text) : web_or_none.parse(text);
                                  }});
    fields.read("image", base.source, file_name());
    fields.read("sha256", base.sha256, sha256());
    fields.read("free", base.free_bytes, size(16 * mebibyte, 1024 * gibibyte, "from 16MiB to 1TiB"));
    if (base.kind == BaseKind::packages)
        refuse_with(fields, "belongs to an image, set base.image or remove it", {"sha256"});
    if (base.kind == BaseKind::image)
        refuse_with(fields, "has no meaning beside base.image, remove one of them",
                    {"packages", "mirror", "security_mirror"});
    if (is_web_address(base.source)) {
        fields.require("sha256", "because the image comes from the network");
    } else if (!base.source.empty()) {
        base.source = beside(top.draft().profile, base.source);
    }
    fields.finish();
}

void read_admin(Fields& top) {
    Fields fields = top.section("admin");
    Admin& admin = top.draft().profile.admin;
    fields.read("user", admin.user, user());
    fields.read_list("ssh_keys", admin.ssh_keys, ssh_key());
    fields.finish();
}

void read_limits(Fields& parent, const std::string& key, Limits& limits) {
    Fields fields = parent.section(key);
    fields.read("cpu", limits.cpu, cpu());
    fields.read("memory", limits.memory, memory());
    fields.finish();
}

void read_control_plane(Fields& top) {
    Fields fields = top.section("control_plane");
    ControlPlane& control_plane = top.draft().profile.control_plane;
    read_limits(fields, "api_server", control_plane.api_server);
    read_limits(fields, "etcd", control_plane.etcd);
    fields.read("schedulable", control_plane.schedulable, yes_or_no());
    fields.finish();
}

void read_manifests(Fields& top) {
    Draft& draft = top.draft();
    std::vector<std::string> names;
    top.read_list("manifests", names,
                  Rule<std::string>{"a file, paths begin at the profile's folder", [&](const std::string& name) {
                                        std::error_code error;
                                        const bool there =
                                            file_name().parse(name) &&
                                            std::filesystem::is_regular_file(beside(draft.profile, name), error);
                                        return there ? std::optional(name) : std::nullopt;
                                    }});
    for (const std::string& name : names) draft.profile.manifests.push_back(beside(draft.profile, name));
}

/// A VRRP id must differ from others in the same network, also of other clusters, so it is drawn from what differs: the
/// name and the address (FNV-1a, 32 bits), and stays the same in every build.
std::uint8_t derived_vrid(const std::string& name, Address vip) {
    std::uint32_t hash = 2166136261U;
    for (const char letter : name + '/' + to_string(vip)) {
        hash = (hash ^ static_cast<unsigned char>(letter)) * 16777619U;
    }
    return static_cast<std::uint8_t>(hash % 255 + 1);
}

void fill_from_others(Draft& draft) {
    Profile& profile = draft.profile;
    const auto control_planes = profile.with_role(Role::control_plane);
    const bool own_address = profile.api.balancer == Balancer::none && control_planes.size() == 1;
    if (own_address && !draft.given("api.address")) profile.api.address = control_planes.front()->address;
    if (!draft.given("vrid")) profile.vrid = derived_vrid(profile.name, profile.api.address);
    std::uint8_t& vrid = profile.gateway.vrid;
    if (!draft.given("gateway.vrid")) {
        vrid = derived_vrid(profile.name, profile.network.gateway);
        if (vrid == profile.vrid) vrid = static_cast<std::uint8_t>(vrid % 255 + 1);
    }
}

}  // namespace

void read_sections(Draft& draft, const Tree& tree) {
    Fields top(draft, tree, "");
    for (const auto& [key, example] :
         {std::pair{"name", "such as home"}, std::pair{"kubernetes", "at least its version"},
          std::pair{"network", "at least its subnet and gateway"}, std::pair{"nodes", "at least one control plane"}}) {
        top.require(key, example);
    }
    top.read("name", draft.profile.name, label());
    top.read("vrid", draft.profile.vrid, number(1, 255));
    top.read("pki", draft.profile.pki, Choices<Pki>{{"online", Pki::online}, {"offline", Pki::offline}});
    read_kubernetes(top);
    read_network(top);
    read_api(top);
    read_etcd(top);
    read_base(top);
    read_admin(top);
    read_control_plane(top);
    read_manifests(top);
    read_roles(top);
    read_nodes(top);
    read_gateway(top);
    top.finish();
    fill_from_others(draft);
}

}  // namespace makina
