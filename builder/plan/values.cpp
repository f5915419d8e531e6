#include <algorithm>

#include "builder/plan/parts.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

std::string hex8(std::uint32_t number) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string result(8, '0');
    for (std::size_t i = 0; i < 8; ++i) {
        result[7 - i] = digits[(number >> (4 * i)) & 0xfU];
    }
    return result;
}

std::string joined(const std::vector<std::string>& words) {
    std::string result;
    for (const std::string& word : words) {
        result += (result.empty() ? "" : " ") + word;
    }
    return result;
}

Value::List texts(const std::vector<std::string>& words) {
    return {words.begin(), words.end()};
}

std::string cidr(Address address, const Subnet& subnet) {
    return to_string(address) + "/" + std::to_string(subnet.prefix);
}

Value::Group node_group(const Profile& profile, const Node& node) {
    return {{"name", node.name},
            {"role", to_string(node.role)},
            {"address", to_string(node.address)},
            {"cidr", cidr(node.address, profile.network.subnet)},
            {"mac", node.mac},
            {"api", to_string(node.address) + ":6443"}};
}

Value::List node_list(const Profile& profile, const std::vector<const Node*>& nodes) {
    Value::List list;
    for (const Node* node : nodes) {
        list.emplace_back(node_group(profile, *node));
    }
    return list;
}

Value::Group network_group(const Profile& profile, const Node& node) {
    const Network& network = profile.network;
    Value::List dns;
    for (const Address server : network.dns) {
        // A gateway that asked itself for names would never get an answer.
        if (server != node.address && !(node.role == Role::gateway && server == network.gateway)) {
            dns.emplace_back(to_string(server));
        }
    }
    return {{"gateway", to_string(network.gateway)},
            {"subnet", to_string(network.subnet)},
            {"mask", to_string(Address{network.subnet.mask()})},
            {"dns", dns},
            {"ntp", texts(network.ntp)},
            {"pods", to_string(network.pods)},
            {"services", to_string(network.services)},
            {"domain", network.domain}};
}

Value::Group api_group(const Profile& profile) {
    const Endpoint& api = profile.api;
    const std::string address = to_string(api.address);
    // The name that /etc/hosts gives the endpoint; without it in the certificate it would be a trap.
    const std::string own_name = "kubernetes-api";
    Value::List names = {address, own_name};
    Value::List host_names = {own_name};
    for (const std::string& name : api.names) {
        names.emplace_back(name);
        if (!parse_address(name)) {
            host_names.emplace_back(name);
        }
    }
    // /readyz came with 1.16; before it there is /healthz.
    const std::string path = profile.kubernetes.version < Version{1, 16, 0} ? "/healthz" : "/readyz";
    return {{"address", address},
            {"port", std::uint64_t{api.port}},
            {"endpoint", address + ":" + std::to_string(api.port)},
            {"health_path", path},
            {"local_url", "https://127.0.0.1:" + std::to_string(api.port) + path},
            {"names", names},
            {"host_names", host_names},
            {"haproxy_image", api.haproxy_image},
            {"keepalived_image", api.keepalived_image}};
}

/// 255 is the address's owner (RFC 5798, section 6.1).
constexpr std::uint64_t highest_priority = 254;

Value::Group keepalived_group(const Profile& profile, const Node& node) {
    Value::List peers;
    std::uint64_t priority = highest_priority;
    const std::vector<const Node*> holders = balancers_of(profile);
    for (std::size_t i = 0; i < holders.size(); ++i) {
        if (holders[i]->name == node.name) {
            // They decide who is first if all start at once, and who stays if two were parted; nopreempt keeps the
            // holder. Each step is 39 ms of waiting, so that the next one has been heard before.
            priority = highest_priority - 10 * std::min<std::uint64_t>(i, 25);
        } else {
            peers.emplace_back(to_string(holders[i]->address));
        }
    }
    return {{"router", std::uint64_t{profile.vrid}}, {"priority", priority}, {"peers", peers}};
}

Value limits_group(const Limits& limits, bool supported) {
    return Value::Group{{"use", supported && !(limits.cpu.empty() && limits.memory.empty())},
                        {"cpu", limits.cpu},
                        {"memory", limits.memory}};
}

Value::Group disk_group(const BaseFacts& base) {
    const std::string id = hex8(base.disk_id);
    return {{"firmware", id + "-01"}, {"root", id + "-02"}, {"root_argument", "PARTUUID=" + id + "-02"}};
}

Value::List sysctl_list(const Extras& extras) {
    Value::List list;
    for (const auto& [key, value] : extras.sysctls) {
        list.emplace_back(Value::Group{{"key", key}, {"value", value}});
    }
    return list;
}

// What Debian's raspi-firmware would write, so that its next kernel update changes nothing.
std::string pi_cmdline(const BaseFacts& base, const std::string& extra) {
    return "console=tty0 console=ttyS1,115200 root=PARTUUID=" + hex8(base.disk_id) +
           "-02 rw fsck.repair=yes net.ifnames=0 rootwait" + (extra.empty() ? "" : " " + extra);
}

}  // namespace

const Extras& extras_of(const Profile& profile, const Node& node) {
    static const Extras none;
    const auto found = profile.extras.find(node.role);
    return found == profile.extras.end() ? none : found->second;
}

std::vector<const Node*> balancers_of(const Profile& profile) {
    switch (profile.api.balancer) {
        case Balancer::pair:
            return profile.with_role(Role::load_balancer);
        case Balancer::static_pod:
            return profile.with_role(Role::control_plane);
        case Balancer::none:
            return {};
    }
    throw Error("unknown balancer");
}

bool balances_api(const Profile& profile, const Node& node) {
    const std::vector<const Node*> holders = balancers_of(profile);
    return std::any_of(holders.begin(), holders.end(), [&](const Node* holder) { return holder->name == node.name; });
}

Value::Group template_values(const Profile& profile, const Node& node, const BaseFacts& base) {
    const Extras& extras = extras_of(profile, node);
    const bool kubernetes = node.role == Role::control_plane || node.role == Role::worker;
    const bool static_pod = profile.api.balancer == Balancer::static_pod && node.role == Role::control_plane;
    const bool patches = profile.kubernetes.version >= Version{1, 22, 0};
    const std::string extra_cmdline = joined(kernel_arguments(profile, node, base));
    std::vector<const Node*> all;
    for (const Node& each : profile.nodes) {
        all.push_back(&each);
    }
    return {
        {"cluster", Value::Group{{"name", profile.name}}},
        {"node", node_group(profile, node)},
        {"nodes", node_list(profile, all)},
        {"control_planes", node_list(profile, profile.with_role(Role::control_plane))},
        {"network", network_group(profile, node)},
        {"interface", "eth0"},
        {"api", api_group(profile)},
        {"admin", Value::Group{{"user", profile.admin.user}, {"keys", texts(profile.admin.ssh_keys)}}},
        {"control_plane", node.role == Role::control_plane},
        {"gateway_node", node.role == Role::gateway},
        {"kubernetes_node", kubernetes},
        {"balances_api", balances_api(profile, node)},
        {"static_balancer", static_pod},
        {"keepalived", keepalived_group(profile, node)},
        {"resolved", base.packages.count("systemd-resolved") == 1},
        // An older networkd takes the address away while it asks who has it: 252 does, 257 does not.
        {"takes_address", major_of(base, "systemd") >= 257},
        {"containerd", Value::Group{{"config_3", containerd_major(base) >= 2},
                                    {"pause_image", pause_image(profile.kubernetes.version)}}},
        {"kubelet", Value::Group{{"extra_args", "--node-ip=" + to_string(node.address)}}},
        {"kubeadm", kubernetes ? kubeadm_values(profile, node) : Value::Group{}},
        {"limits", Value::Group{{"api_server", limits_group(profile.control_plane.api_server, patches)},
                                {"etcd", limits_group(profile.control_plane.etcd,
                                                      patches && profile.etcd.topology == EtcdTopology::stacked)}}},
        {"etcd", etcd_values(profile, node)},
        {"gateway", gateway_values(profile, node)},
        {"sysctls", sysctl_list(extras)},
        {"config_txt", texts(extras.config_txt)},
        {"pi_boot", writes_pi_boot(base)},
        {"kernel", base.kernel},
        {"disk", disk_group(base)},
        {"cmdline", pi_cmdline(base, extra_cmdline)},
        {"extra_cmdline", extra_cmdline},
    };
}

}  // namespace makina
