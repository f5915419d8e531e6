#include "tests/daemon/scene.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/encoding.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/payload.hpp"
#include "firstboot/join/standing.hpp"
#include "firstboot/journal.hpp"
#include "firstboot/node/node.hpp"
#include "firstboot/run.hpp"
#include "tests/daemon/kubernetes_scene.hpp"

namespace makina::test {
namespace {

constexpr const char* haproxy_file = "/etc/haproxy/haproxy.cfg";
constexpr const char* keepalived_file = "/etc/keepalived/keepalived.conf";

bool runs_kubelet(const std::string& role) {
    return role == "control-plane" || role == "worker";
}

std::vector<std::string> units_of(const std::string& role) {
    if (runs_kubelet(role)) return {"kubelet"};
    if (role == "load-balancer") return {"haproxy", "keepalived"};
    if (role == "gateway") return {"nftables"};
    return {};
}

std::string little_endian(std::uint64_t number) {
    std::string bytes;
    for (int i = 0; i < 4; ++i) bytes += static_cast<char>(number >> 8 * i & 0xff);
    return bytes;
}

std::string entry(unsigned char type, std::uint64_t start, std::uint64_t sectors) {
    return std::string(4, '\0') + static_cast<char>(type) + std::string(3, '\0') + little_endian(start) +
           little_endian(sectors);
}

/// A card of 16 GiB with an image of 512 MiB and 2 GiB on it.
Disk new_disk() {
    const std::uint64_t root = std::uint64_t{2} << 21;
    Disk disk{"mmcblk0", std::uint64_t{16} << 21, std::string(446, '\0'), 2, root, root, {1, 2}};
    disk.table += entry(0x0c, 8192, 1 << 20) + entry(0x83, 8192 + (1 << 20), root) + std::string(32, '\0') + "\x55\xaa";
    return disk;
}

Answer make_host_keys(FakeHost& host, const std::vector<std::string>&) {
    for (const std::string kind : {"ecdsa", "ed25519", "rsa"}) {
        const std::string path = "/etc/ssh/ssh_host_" + kind + "_key";
        if (host.has(path)) continue;
        host.put(path, "private " + kind + "\n", {0600, "root", "root"});
        host.put(path + ".pub", "public " + kind + "\n");
        // ssh-keygen leaves that to the kernel.
        host.machine.unsynced.insert({path, path + ".pub"});
    }
    return {};
}

/// systemd-networkd: the address that the network's file names.
Answer reconfigure(FakeHost& host, const std::vector<std::string>& argv) {
    constexpr std::string_view key = "Address=";
    for (Interface& interface : host.machine.interfaces) {
        if (argv.size() == 3 && argv[1] == "reconfigure" && interface.name == argv[2]) {
            const std::string text = host.text(network_file);
            const std::size_t begin = text.find(key) + key.size();
            interface.addresses = {text.substr(begin, text.find('\n', begin) - begin)};
            return {};
        }
    }
    return {1, "", "no such interface\n"};
}

Answer install_packages(FakeHost& host, const std::vector<std::string>&) {
    host.put("/var/lib/dpkg/status",
             host.text("/var/lib/dpkg/status") + "\nPackage: jq\nStatus: install ok installed\nArchitecture: arm64\n");
    return {};
}

Answer load_module(FakeHost& host, const std::vector<std::string>& argv) {
    host.put("/proc/modules", host.text("/proc/modules") + argv.at(1) + " 32768 0 - Live 0x0\n");
    if (argv.at(1) == "br_netfilter") host.put("/proc/sys/net/bridge/bridge-nf-call-iptables", "0\n");
    return {};
}

Answer set_sysctls(FakeHost& host, const std::vector<std::string>&) {
    host.put("/proc/sys/kernel/panic", "10\n");
    host.put("/proc/sys/net/ipv4/ip_forward", "1\n");
    if (host.has("/proc/sys/net/bridge/bridge-nf-call-iptables")) {
        host.put("/proc/sys/net/bridge/bridge-nf-call-iptables", "1\n");
    }
    return {};
}

/// A unit runs and has read its configuration, or made its data. keepalived's process is named after what it has read.
void start(FakeHost& host, const std::string& unit) {
    host.put("/run/active/" + unit, "");
    if (unit == "etcd") host.put("/var/lib/etcd/default/member/wal", "");
    if (unit == "haproxy") host.put("/run/read-by-haproxy", host.text(haproxy_file));
    if (unit != "keepalived") return;
    const std::string text = host.text(keepalived_file);
    const auto at = text.find("vrrp_process_name ");
    host.put("/run/vrrp.pid", "77\n");
    host.put("/proc/77/comm", at == std::string::npos ? "keepalived\n" : text.substr(at + 18));
}

Answer systemctl(FakeHost& host, const std::vector<std::string>& argv) {
    const std::string& unit = argv.back();
    if (argv.at(1) == "start" || argv.at(1) == "restart" || argv.at(1) == "reload-or-restart") {
        start(host, unit);
        return {};
    }
    const bool active = argv.at(1) == "is-active" && host.has("/run/active/" + unit);
    return {active ? 0 : 3, active ? "active\n" : "inactive\n", ""};
}

/// nft: the rules that the unit nftables has loaded.
Answer list_rules(FakeHost& host, const std::vector<std::string>&) {
    if (!host.has("/run/active/nftables")) return {1, "", "Error: No such file or directory\n"};
    return {0,
            "table inet makina {\n\tchain forward {\n"
            "\t\ttype filter hook forward priority filter; policy drop;\n\t}\n}\n",
            ""};
}

/// haproxy -c and keepalived --config-test, as Debian 12's say it.
Answer check_configuration(FakeHost& host, const std::vector<std::string>& argv) {
    const bool good = host.text(argv.back()).find("nonsense") == std::string::npos;
    if (argv[0] == "keepalived") return {143, "", good ? "" : "(" + argv.back() + ": Line 2) Unknown keyword\n"};
    if (good) return {0, "Configuration file is valid\n", ""};
    return {1, "", "[NOTICE]   (77) : haproxy version is 2.6.12\n[ALERT]    (77) : config : unknown keyword\n"};
}

Response answer(const std::string& body) {
    return {200, body, "", true};
}

/// etcd on this node, once it is started: the only member of its cluster. `data` is its folder.
Response ask_etcd(FakeHost& host, const Request& request, const Bundle& bundle, const std::string& data) {
    const std::string address = bundle.address.substr(0, bundle.address.find('/'));
    const bool runs = bundle.role == "etcd" ? host.has("/run/active/etcd") : has_etcd_pod(host);
    if (request.port != 2379 || request.address != address || !runs) return {0, "", "connection refused", false};
    const std::string epoch = data + "/member/epoch";
    if (request.target == "/health") return answer(R"({"health":"true"})");
    if (request.target == "/metrics") return answer("# no other member\n");
    if (request.target == "/v3/cluster/member/list") {
        return answer(R"({"header":{"cluster_id":"7"},"members":[{"ID":"9","name":")" + bundle.node +
                      R"(","peerURLs":["https://)" + address + R"(:2380"],"clientURLs":["https://)" + address +
                      R"(:2379"]}]})");
    }
    if (request.target == "/v3/kv/range") {
        if (!host.has(epoch)) return answer(R"({"header":{}})");
        return answer(R"({"header":{},"kvs":[{"value":")" + to_base64(host.text(epoch)) + "\"}]}");
    }
    if (request.body.find("requestDeleteRange") != std::string::npos) return answer(R"({"header":{}})");
    const std::size_t value = request.body.rfind("\"value\":\"") + 9;
    host.put(epoch, from_base64(request.body.substr(value, request.body.find('"', value) - value)));
    return answer(R"({"succeeded":true})");
}

/// haproxy's own answer about its configuration.
Response ask_haproxy(FakeHost& host, const Request& request) {
    const std::string text = host.text("/run/read-by-haproxy");
    const bool mine = request.address == "127.0.0.1" && request.port == 8404 && request.target == "/configuration";
    if (!mine || !host.has("/run/active/haproxy")) return {0, "", "connection refused", false};
    const bool tells = text.find("path /configuration") != std::string::npos;
    return tells ? answer(text) : Response{404, "", "", true};
}

/// True if every key that the bundle brings is in its place.
bool keys_are_placed(const FakeHost& host, const Bundle& bundle) {
    return std::all_of(bundle.payloads.begin(), bundle.payloads.end(), [&](const Payload& payload) {
        const PayloadKind* const kind = payload_kind(bundle.role, payload.name);
        const auto file = host.machine.files.find(std::string(kind->path));
        return file != host.machine.files.end() && file->second.content == payload.content &&
               file->second.access == Access{kind->mode, std::string(kind->owner), std::string(kind->owner)};
    });
}

/// True if all keys of one bundle are there: of any that these tests hand over.
bool has_keys(const FakeHost& host, const std::string& role) {
    const std::vector<std::uint64_t> epochs = {1, 2, 3, 1001};
    return std::any_of(epochs.begin(), epochs.end(),
                       [&](std::uint64_t epoch) { return keys_are_placed(host, bundle_of(role, epoch)); });
}

/// systemd starts what can be started.
void go_on(FakeHost& host, const std::string& role) {
    FakeMachine& machine = host.machine;
    if (machine.uptime >= 20 && !machine.moment.synced)
        machine.moment = {std::max(machine.moment.now, issued + a_day), true};
    if (!has_keys(host, role)) return;
    if (runs_kubelet(role) && host.text("/etc/kubernetes/kubelet.conf").empty()) return;
    for (const std::string& unit : units_of(role)) {
        if (!host.has("/run/active/" + unit)) start(host, unit);
    }
}

std::string content_of(const PayloadKind& kind, std::uint64_t epoch) {
    const std::string role(kind.role);
    std::string text = (kind.secret ? "secret of " : "known of ") + role + " " + std::to_string(epoch) + ": " +
                       std::string(kind.name) + "\n";
    if (kind.image_file == haproxy_file) text += "path /configuration\n";
    if (kind.image_file == keepalived_file) text += "vrrp_process_name vrrp-" + std::to_string(epoch) + "\n";
    return text;
}

/// The seals on the machine, as far as they can be read: the done-mark.
std::optional<Bundle> mark_of(const FakeHost& host) {
    if (!host.has(kept::joined)) return std::nullopt;
    try {
        return decode_bundle(host.text(kept::joined));
    } catch (const Untrusted&) {
        return std::nullopt;
    }
}

void expect_truth(const FakeHost& host, const Bundle& mark, const std::string& role) {
    const FakeMachine& machine = host.machine;
    EXPECT_EQ(host.text("/etc/hostname"), mark.node + "\n");
    EXPECT_TRUE(host.has("/etc/ssh/ssh_host_ed25519_key"));
    EXPECT_TRUE(machine.unsynced.empty()) << *machine.unsynced.begin() << " would not outlast a power cut";
    EXPECT_EQ(machine.disk.file_system_sectors, machine.disk.root_sectors / 8 * 8);
    EXPECT_GE(machine.moment.now, mark.issued);
    EXPECT_TRUE(keys_are_placed(host, bundle_of(role, mark.epoch)));
    EXPECT_EQ(machine.interfaces.at(0).addresses, std::vector<std::string>{mark.address});
    for (const std::string& unit : units_of(role)) EXPECT_TRUE(host.has("/run/active/" + unit));
    if (role == "etcd") {
        EXPECT_EQ(decode_statement(host.text(statement_path)).member, true);
        EXPECT_EQ(host.text("/var/lib/etcd/default/member/epoch"), std::to_string(mark.epoch));
    }
}

void expect_no_stray_secret(const FakeHost& host, const std::string& role) {
    for (const auto& [path, file] : host.machine.files) {
        if (file.content.find("secret of ") == std::string::npos) continue;
        const std::string place = path.ends_with(".new") ? path.substr(0, path.size() - 4) : path;
        const auto kinds = payload_kinds();
        const bool allowed = place == kept::bundle || std::any_of(kinds.begin(), kinds.end(), [&](const auto& kind) {
                                 return kind.role == role && kind.secret && kind.path == place;
                             });
        EXPECT_TRUE(allowed) << "a secret in " << path;
        EXPECT_EQ(file.access.mode & 077, 0U) << path << " can be read by others";
    }
    for (const std::string& content : host.machine.freed) {
        EXPECT_EQ(content.find("secret of "), std::string::npos) << "a secret was freed and not overwritten";
    }
}

}  // namespace

const std::vector<std::string>& roles() {
    static const std::vector<std::string> all = {"control-plane", "etcd", "gateway", "load-balancer", "worker"};
    return all;
}

std::string name_of(const std::string& role) {
    std::string name = role;
    std::replace(name.begin(), name.end(), '-', '_');
    return name;
}

std::string first_signer() {
    return sha256("first signer");
}

std::string second_signer() {
    return sha256("second signer");
}

Bundle bundle_of(const std::string& role, std::uint64_t epoch) {
    Bundle bundle;
    bundle.cluster_id = "00112233445566778899aabbccddeeff";
    bundle.cluster = "lab";
    bundle.node = role + "-1";
    bundle.role = role;
    bundle.card = sha256("card " + std::to_string(epoch)).substr(0, 32);
    bundle.epoch = epoch;
    bundle.issued = issued + static_cast<std::int64_t>(epoch);
    bundle.expires = issued + 365 * a_day;
    bundle.architecture = "arm64";
    bundle.board = "rpi4";
    bundle.address = "192.168.3.251/24";
    bundle.api = "192.168.3.240:9000";
    const bool is_founder = role == "etcd" || role == "control-plane";
    bundle.peers = {{"control-plane-1", "control-plane", role == "control-plane" ? "192.168.3.251" : "192.168.3.252"}};
    if (role == "etcd") bundle.peers.push_back({"etcd-1", "etcd", "192.168.3.251"});
    if (is_founder) bundle.genesis = bundle.cluster_id;
    for (const PayloadKind& kind : payload_kinds()) {
        // Kubernetes' own kubeconfigs are for clusters whose authorities stay with the operator.
        const bool offline = kind.path.ends_with(".conf") && kind.path.rfind("/etc/kubernetes/", 0) == 0;
        if (kind.role != role || kind.name == "trust" || offline) continue;
        bundle.payloads.push_back({std::string(kind.name), content_of(kind, epoch)});
    }
    return bundle;
}

Trust trust_of(const std::string& role) {
    const Bundle bundle = bundle_of(role);
    return {bundle.cluster_id, bundle.node, bundle.role, {first_signer()}, {}};
}

std::string network_settings() {
    return "# as an image has it\n[Match]\nName=eth0 en*\n\n[Network]\nGateway=192.168.3.1\n\n[Address]\n"
           "Address=192.168.3.251/24\nDuplicateAddressDetection=ipv4\n";
}

FakeMachine new_machine(const std::string& role) {
    FakeMachine machine;
    machine.moment = {0, false};
    machine.disk = new_disk();
    machine.interfaces = {{"eth0", "dc:a6:32:00:00:01", true, {}}};
    FakeHost host(machine);
    host.put(kept::clock_epoch, "");
    machine.files[kept::clock_epoch].modified = issued - a_day;
    host.put(std::string(Trust::path), encode(trust_of(role)));
    host.put(kept::bundle, seal(bundle_of(role), first_signer()), {0600, "root", "root"});
    host.put(network_file, network_settings());
    host.put("/etc/hostname", "localhost\n");
    host.put("/proc/sys/kernel/hostname", "localhost\n");
    host.put("/etc/hosts", "127.0.0.1 localhost\n");
    host.put("/etc/machine-id", "uninitialized\n");
    host.put("/etc/makina/packages", "# what the image lacks\njq\n");
    host.put("/var/lib/dpkg/status", "Package: libc6\nStatus: install ok installed\n");
    host.put("/etc/sysctl.d/90-makina.conf", "# a comment\nkernel.panic = 10\nnet.ipv4.ip_forward = 1\n");
    host.put("/proc/sys/kernel/panic", "0\n");
    host.put("/proc/sys/net/ipv4/ip_forward", "0\n");
    host.put("/proc/sys/kernel/osrelease", "6.12.0-rpi\n");
    host.put("/lib/modules/6.12.0-rpi/modules.builtin", "kernel/fs/overlayfs/overlay.ko\n");
    host.put("/proc/modules", "");
    host.put("/proc/swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
    host.put("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n");
    for (const PayloadKind& kind : payload_kinds()) {
        const bool looked_at = !kind.image_file.empty() && kind.image_file != kind.path;
        if (kind.role == role && looked_at) host.put(std::string(kind.image_file), content_of(kind, 1));
    }
    if (runs_kubelet(role)) {
        host.put("/etc/modules-load.d/makina.conf", "# modules\noverlay\nbr-netfilter\n");
        host.put("/etc/sysctl.d/90-makina.conf", "kernel.panic = 10\nnet.bridge.bridge-nf-call-iptables = 1\n");
    }
    return machine;
}

std::unique_ptr<FakeHost> host_of(FakeMachine& machine, const std::string& role) {
    auto host = std::make_unique<FakeHost>(machine);
    host->programs = {
        {"ssh-keygen", make_host_keys},
        {"networkctl", reconfigure},
        {"/usr/lib/makina/install-packages", install_packages},
        {"modprobe", load_module},
        {"/usr/lib/systemd/systemd-sysctl", set_sysctls},
        {"nft", list_rules},
        {"systemctl", systemctl},
        {"kubeadm", [](FakeHost& one, const std::vector<std::string>& argv) { return kubeadm(one, argv); }},
        {"kubectl", kubectl},
        {"haproxy", check_configuration},
        {"keepalived", check_configuration}};
    if (role == "etcd") {
        host->network = [](FakeHost& one, const Request& request) {
            return ask_etcd(one, request, bundle_of("etcd"), "/var/lib/etcd/default");
        };
    }
    if (runs_kubelet(role)) {
        host->network = [role](FakeHost& one, const Request& request) {
            if (request.port == 2379) return ask_etcd(one, request, bundle_of(role), "/var/lib/etcd");
            return ask_api_server(one, request, role == "worker");
        };
    }
    if (role == "load-balancer") host->network = ask_haproxy;
    host->world = [role](FakeHost& one) { go_on(one, role); };
    host->after_change = [role](FakeHost& one) { hold(one, role); };
    return host;
}

void hold(FakeHost& host, const std::string& role) {
    const auto mark = mark_of(host);
    EXPECT_TRUE(mark || host.has(kept::bundle)) << "neither bundle nor mark";
    const std::string own = host.text(kept::bundle);
    const bool wrote_mark = !host.changes.empty() && host.changes.back() == std::string("write ") + kept::joined;
    const bool just_marked = wrote_mark && mark && own == seal(bundle_of(role, mark->epoch), first_signer());
    if (just_marked) expect_truth(host, *mark, role);
    const bool told = (!host.statuses.empty() && host.statuses.back().state == "joined") ||
                      (!host.lights.empty() && host.lights.back() == Light::joined);
    if (told) {
        EXPECT_TRUE(mark) << "joined is told without a mark";
        EXPECT_FALSE(host.has(kept::bundle)) << "joined is told, and the bundle is still there";
    }
    expect_no_stray_secret(host, role);
}

void run_to_end(FakeHost& host) {
    RunOptions options;
    options.until_joined = true;
    host.stop_at = std::min<std::int64_t>(host.stop_at, host.machine.uptime + 20000);
    EXPECT_EQ(run(host, options), Ending::joined) << host.lines.back();
}

std::string essence(const FakeMachine& machine) {
    std::string text;
    for (const auto& [path, file] : machine.files) {
        const auto is_below = [&name = path](std::string_view folder) { return name.rfind(folder, 0) == 0; };
        if (is_below(Journal::path) || is_below("/proc/") || is_below("/run/") || path == kept::clock ||
            path == statement_path) {
            continue;
        }
        text +=
            path + " " + std::to_string(file.access.mode) + " " + file.access.user + " " + sha256(file.content) + "\n";
    }
    const Disk& disk = machine.disk;
    text += sha256(disk.table) + " " + std::to_string(disk.root_sectors) + " " +
            std::to_string(disk.file_system_sectors) + " " + std::to_string(disk.partitions.size()) + "\n";
    text += machine.trimmed ? "" : "a wiped bundle that the card may still have\n";
    for (const Delivery& delivery : machine.deliveries) text += delivery.place + " " + sha256(delivery.bytes) + "\n";
    return text;
}

}  // namespace makina::test
