#include "tests/crash/node.hpp"

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <set>

#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/payload.hpp"
#include "firstboot/host.hpp"
#include "firstboot/join/standing.hpp"
#include "firstboot/journal.hpp"
#include "firstboot/machine/machine.hpp"
#include "firstboot/node/node.hpp"
#include "tests/bundle/bundles.hpp"
#include "tests/crash/kills.hpp"
#include "tests/crash/rig.hpp"

namespace makina::crash {
namespace {

constexpr const char* address = "192.168.77.20/24";
constexpr const char* interface = "crash0";
constexpr std::int64_t far_away = 4'102'444'800;  // 2100

std::string architecture() {
    std::string name = run_checked({{"uname", "-m"}});
    name.resize(name.find('\n'));
    return name == "x86_64" ? "amd64" : name == "aarch64" ? "arm64" : name;
}

/// A cluster's signing authority and its signer, for longer than these tests will live.
struct Signer {
    forge::Certificate authority = forge::issue(lasting(forge::authority_wish("bundle authority")));
    forge::Certificate signer = forge::issue(lasting(forge::signer_wish()), &authority);

    [[nodiscard]] std::string seal(const Bundle& bundle) const {
        return forge::message(forge::good_seal(encode(bundle), signer));
    }
    static forge::Wish lasting(forge::Wish wish) {
        wish.to = far_away;
        return wish;
    }
};

Bundle bundle_for(const NodeWish& wish, const Trust& trust, std::uint64_t epoch) {
    Bundle bundle = forge::worker_bundle();
    bundle.node = "node-1";
    bundle.role = wish.role;
    bundle.epoch = epoch;
    bundle.architecture = architecture();
    bundle.board = "generic";
    bundle.serial.clear();
    bundle.mac.clear();
    bundle.address = address;
    bundle.interface = interface;
    bundle.expires = far_away;
    bundle.spare = wish.spare;
    bundle.payloads.clear();
    auto seed = static_cast<unsigned>(100 * epoch);
    for (const PayloadKind& kind : payload_kinds()) {
        if (kind.role != wish.role) continue;
        // Of all sizes: inside a block, one block, several.
        const std::size_t size = 200 + 4000 * (seed % 5);
        const bool is_trust = kind.name == "trust";
        bundle.payloads.push_back({std::string(kind.name), is_trust ? encode(trust) : filler(size, seed)});
        ++seed;
    }
    return bundle;
}

/// As full as it gets, so that every note moves every line.
Journal full_journal() {
    Journal journal;
    for (unsigned i = 0; i < Journal::most_notes; ++i) {
        journal.add({Note::Kind::intent, 1'800'000'000 + i, "network", filler(20 + i % 37, i)});
    }
    return journal;
}

void make_tree(const fs::path& root, const std::string& role) {
    const auto on = [&](std::string_view path) { return fs::path(root.string() + std::string(path)); };
    put(on("/etc/passwd"), "root:x:0:0:root:/root:/bin/bash\netcd:x:101:101::/var/lib/etcd:/usr/sbin/nologin\n");
    put(on("/etc/group"), "root:x:0:\netcd:x:101:\n");
    put(on("/etc/hosts"), "127.0.0.1 localhost\n");
    put(on("/etc/hostname"), "raspberrypi\n");
    put(on("/etc/machine-id"), "");
    put(on("/proc/sys/kernel/hostname"), "raspberrypi\n");
    put(on("/proc/swaps"), "Filename\tType\tSize\tUsed\tPriority\n");
    put(on("/sys/fs/cgroup/cgroup.controllers"), "cpuset cpu io memory hugetlb pids\n");
    put(on(kept::clock_epoch), "");
    put(on("/run/systemd/timesync/synchronized"), "");
    fs::create_directories(on("/etc/ssh"));
    if (role == "worker" || role == "control-plane") {
        put(on("/var/lib/kubelet/config.yaml"), "kind: KubeletConfiguration\n");
        put(on("/etc/kubernetes/manifests/kube-apiserver.yaml"), "kind: Pod\n");
    }
    if (role == "gateway") put(on("/proc/sys/net/ipv4/ip_forward"), "1\n");
    if (role == "worker") put(on("/etc/kubernetes/kubelet.conf"), "kind: Config\n", 0600);
}

/// One program that is all of the node's programs, by its name.
fs::path make_programs() {
    fs::path folder = workshop() / "programs";
    for (const char* const name : {"systemctl", "haproxy", "keepalived"})
        put(folder / name, "#!/bin/sh\nexit 0\n", 0755);
    put(folder / "nft", "#!/bin/sh\necho 'type filter hook forward priority filter; policy drop;'\n", 0755);
    put(folder / "ssh-keygen",
        "#!/bin/sh\n"
        "key=$MAKINA_ROOT/etc/ssh/ssh_host_ed25519_key\n"
        "[ -e $key ] || { echo private > $key; echo public > $key.pub; }\n",
        0755);
    return folder;
}

void make_network() {
    static const bool made = [] {
        const std::string other = std::string(interface) + "x";
        run_checked({{"ip", "link", "add", interface, "type", "veth", "peer", "name", other}});
        // Nobody at the other end, not even we.
        run_checked({{"ip", "link", "set", "dev", other, "arp", "off", "up"}});
        run_checked({{"ip", "address", "add", address, "dev", interface}});
        run_checked({{"ip", "link", "set", "dev", interface, "up"}});
        return true;
    }();
    static_cast<void>(made);
}

bool is_new_each_time(const std::string& path) {
    static const std::set<std::string> paths = {"/etc/machine-id", std::string(Journal::path), kept::clock,
                                                statement_path};
    return paths.contains(path) || path.rfind("/etc/ssh/", 0) == 0;
}

/// /run is memory on a node.
class RunFolder {
  public:
    explicit RunFolder(const fs::path& folder) : folder_(folder) {
        if (::mount("tmpfs", folder.c_str(), "tmpfs", 0, "mode=0755") != 0) throw_system("mounting " + folder.string());
        put(folder / "systemd/timesync/synchronized", "");
    }
    RunFolder(const RunFolder&) = delete;
    RunFolder& operator=(const RunFolder&) = delete;
    ~RunFolder() { ::umount2(folder_.c_str(), MNT_DETACH); }

  private:
    fs::path folder_;
};

}  // namespace

std::string title(const NodeWish& wish) {
    std::string name = wish.role;
    std::erase(name, '-');
    return wish.has_delivery ? name + "WithDelivery" : name;
}

Node make_node(const NodeWish& wish) {
    // The network is the workshop's own.
    static_cast<void>(workshop());
    make_network();
    make_programs();
    const Signer signer;
    const Trust trust{forge::cluster_id, "node-1", wish.role, {signer.authority.der}, {}};
    const Bundle first = bundle_for(wish, trust, 3);
    const Bundle last = wish.has_delivery ? bundle_for(wish, trust, 4) : first;

    Node node{wish.role, workshop() / ("tree-" + wish.role), {}};
    node.promise.bundle = signer.seal(first);
    if (wish.has_delivery) node.promise.delivered = signer.seal(last);
    node.promise.joined = encode(without_payloads(last));
    for (const Payload& payload : last.payloads) {
        node.promise.payloads[std::string(payload_kind(wish.role, payload.name)->path)] = payload.content;
    }
    fs::remove_all(node.tree);
    make_tree(node.tree, wish.role);
    const auto on = [&](std::string_view path) { return fs::path(node.tree.string() + std::string(path)); };
    put(on(Trust::path), encode(trust));
    put(on(kept::bundle), node.promise.bundle, 0600);
    put(on(Journal::path), encode(full_journal()), 0600);
    fs::permissions(on(kept::bundle).parent_path(), fs::perms::owner_all);
    if (wish.has_delivery) put(on("/boot/firmware") / delivery_name, node.promise.delivered);
    return node;
}

std::vector<std::string> daemon_on(const fs::path& root) {
    return {MAKINA_FIRSTBOOT, "run",      "--root", root.string(), "--programs", (workshop() / "programs").string(),
            "--until-joined", "--rounds", "2"};
}

Result boot(const fs::path& root) {
    const RunFolder run_folder(root / "run");
    return run_for_a_minute(daemon_on(root));
}

std::map<std::string, std::string> snapshot(const fs::path& root) {
    std::map<std::string, std::string> all;
    for (auto entry = fs::recursive_directory_iterator(root); entry != fs::recursive_directory_iterator(); ++entry) {
        const std::string path = "/" + entry->path().lexically_relative(root).string();
        if (path == "/run" || path == "/lost+found") {
            entry.disable_recursion_pending();
            continue;
        }
        struct stat facts {};
        if (::lstat(entry->path().c_str(), &facts) != 0) throw_system("looking at " + path);
        std::string& what = all[path];
        what = std::to_string(facts.st_mode) + " " + std::to_string(facts.st_uid) + ":" + std::to_string(facts.st_gid);
        if (!S_ISREG(facts.st_mode)) continue;
        if (is_new_each_time(path)) {
            what += facts.st_size == 0 ? " empty" : " with content";
        } else {
            what += " " + content_of(entry->path()).value_or("");
        }
    }
    return all;
}

std::vector<std::string> differences(const std::map<std::string, std::string>& right,
                                     const std::map<std::string, std::string>& there) {
    std::vector<std::string> lines;
    for (const auto& [path, what] : right) {
        const auto found = there.find(path);
        if (found == there.end()) {
            lines.push_back(path + " is missing");
        } else if (found->second != what) {
            lines.push_back(path + " differs");
        }
    }
    for (const auto& [path, what] : there) {
        if (!right.contains(path)) lines.push_back(path + " should not be there");
    }
    return lines;
}

}  // namespace makina::crash
