#include "builder/rehearse/questions.hpp"

#include <algorithm>
#include <set>
#include <sstream>

#include "builder/rehearse/firstboot_questions.hpp"
#include "builder/rehearse/probe.hpp"

namespace makina {
namespace {

std::string trimmed(const std::string& text) {
    const auto begin = text.find_first_not_of(" \t\r");
    return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

/// The texts of a folder's files with this ending, by name.
std::map<std::string, std::string> texts(const Card& card, const std::string& folder, const std::string& ending) {
    std::map<std::string, std::string> found;
    if (!card.root()) return found;
    for (const std::string& name : card.root()->list(folder)) {
        if (name.size() <= ending.size() || !name.ends_with(ending)) continue;
        const std::string path = (std::filesystem::path(folder) / name).string();
        // A link is a file that is switched off (/dev/null) or one that is read under its own name.
        if (!card.root()->read_link(path)) found[path] = card.read_file(path);
    }
    return found;
}

void ask_node(const Card& card, const std::string& role, std::vector<Question>& questions) {
    questions.push_back({"no-swap", "cat /proc/swaps; [ $(wc -l </proc/swaps) -le 1 ]"});
    questions.push_back(
        {"no-failed-unit", "failed=$(systemctl --failed --plain --no-legend); echo \"$failed\"; [ -z \"$failed\" ]"});
    questions.push_back({"packages-complete", "audit=$(dpkg --audit); echo \"$audit\"; [ -z \"$audit\" ]"});
    if (role == "control-plane" || role == "worker") {
        questions.push_back(
            {"memory-cgroup",
             "cat /sys/fs/cgroup/cgroup.controllers; grep -qw memory /sys/fs/cgroup/cgroup.controllers"});
    }
    if (card.exists("/etc/hostname")) {
        const std::string expected = trimmed(card.read_file("/etc/hostname"));
        const std::string name = expected.substr(0, expected.find('\n'));
        questions.push_back({"hostname", "cat /proc/sys/kernel/hostname; [ \"$(cat /proc/sys/kernel/hostname)\" = " +
                                             shell_word(name) + " ]"});
    }
    // The emulated machine starts in 1970, as a Raspberry Pi without a clock does.
    std::int64_t built = 0;
    if (const auto manifest = card.manifest()) {
        built = manifest->built;
    } else if (const auto stat = card.root()->stat("/usr/lib/clock-epoch")) {
        built = stat->mtime;
    }
    if (built > 0) questions.push_back({"clock", "date -u; [ $(date +%s) -ge " + std::to_string(built) + " ]"});
}

void ask_kernel(const Card& card, const std::string& role, std::vector<Question>& questions) {
    // What kubelet's networking and the gateway cannot do without, whatever the image's own files say.
    std::map<std::string, std::string> sysctls;
    std::set<std::string> modules;
    if (role == "control-plane" || role == "worker") {
        sysctls = {{"net.bridge.bridge-nf-call-iptables", "1"},
                   {"net.bridge.bridge-nf-call-ip6tables", "1"},
                   {"net.ipv4.ip_forward", "1"}};
        modules = {"overlay", "br_netfilter"};
    }
    if (role == "gateway") sysctls = {{"net.ipv4.ip_forward", "1"}};
    for (const auto& [path, text] : texts(card, "/etc/sysctl.d", ".conf")) {
        for (const auto& [key, value] : parse_sysctls(text)) sysctls[key] = value;
    }
    for (const auto& [key, value] : sysctls) {
        std::string path = key;
        if (path.find('/') == std::string::npos) std::replace(path.begin(), path.end(), '.', '/');
        const std::string file = shell_word("/proc/sys/" + path);
        std::string command = "value=$(tr '\\t' ' ' <";
        command.append(file).append("); echo \"$value\"; [ \"$value\" = ").append(shell_word(value)).append(" ]");
        questions.push_back({"sysctl " + key, std::move(command)});
    }
    for (const auto& [path, text] : texts(card, "/etc/modules-load.d", ".conf")) {
        std::istringstream lines(text);
        for (std::string line; std::getline(lines, line);) {
            line = trimmed(line);
            if (!line.empty() && line[0] != '#' && line[0] != ';') modules.insert(line);
        }
    }
    for (std::string name : modules) {
        const std::string asked = name;
        std::replace(name.begin(), name.end(), '-', '_');
        // A module that is built in has a folder only if it has parameters; modinfo knows it in any case.
        questions.push_back({"module " + asked, "[ -d " + shell_word("/sys/module/" + name) +
                                                    " ] || modinfo -F filename " + shell_word(name) +
                                                    " | grep -q builtin"});
    }
}

void ask_network(const Card& card, std::vector<Question>& questions) {
    for (const auto& [path, text] : texts(card, "/etc/systemd/network", ".network")) {
        const NetworkFile file = parse_network_file(text);
        if (file.names.empty()) continue;
        const std::string& name = file.names.front();
        std::string show = "ip -o addr show";
        if (name.find_first_of("*?[!") == std::string::npos) show.append(" dev ").append(shell_word(name));
        for (const std::string& address : file.addresses) {
            // The network is asked for some seconds who has the address before it is taken (RFC 5227).
            std::string command = "i=0; until " + show + " | grep -qF " + shell_word(" " + address + " ");
            command.append("; do [ $i -lt 40 ] || break; i=$((i+1)); sleep 1; done; ").append(show).append("; ");
            command.append(show).append(" | grep -qF ").append(shell_word(" " + address + " "));
            questions.push_back({"address " + address, std::move(command)});
        }
    }
}

void ask_containerd(const Card& card, const std::string& role, std::vector<Question>& questions) {
    if (!card.exists("/usr/bin/containerd") && !card.exists("/usr/local/bin/containerd")) return;
    questions.push_back({"containerd", "ctr version"});
    if (role != "control-plane" && role != "worker") return;
    questions.push_back({"containerd-cgroups",
                         "containerd config dump >/run/makina-rehearse/containerd && "
                         "grep -n SystemdCgroup /run/makina-rehearse/containerd && "
                         "grep -q 'SystemdCgroup = true' /run/makina-rehearse/containerd"});
}

void ask_kubeadm(const Card& card, std::vector<Question>& questions) {
    if (!card.exists("/usr/bin/kubeadm") && !card.exists("/usr/local/bin/kubeadm")) return;
    questions.push_back({"kubeadm", "kubeadm version -o short"});
    for (const char* const folder : {"/etc/kubernetes", "/etc/kubernetes/makina"}) {
        for (const auto& [path, text] : texts(card, folder, ".yaml")) {
            if (text.find("apiVersion: kubeadm.k8s.io/") == std::string::npos) continue;
            questions.push_back({"kubeadm " + path, "kubeadm config validate --config " + shell_word(path)});
        }
    }
}

/// etcd reads all its settings and checks them against each other before it opens a certificate or its data; what it
/// says of a wrong one is known. It gets a data folder that cannot be: with another one it would begin a cluster.
constexpr const char* etcd_settings =
    "set -a; [ ! -f /etc/default/etcd ] || . /etc/default/etcd; ETCD_DATA_DIR=/dev/null/etcd; "
    "text=$(timeout 20 etcd 2>&1 | head -c 20000); echo \"$text\" | tail -n 5; "
    "! echo \"$text\" | grep -Eiq 'failed to verify flags|error verifying flags|invalid value|parsing.*error|"
    "unrecognized environment|not defined|exec format'";

void ask_services(const Card& card, const std::string& role, std::vector<Question>& questions) {
    const auto has = [&](const std::string& program, const std::string& file) {
        return card.exists(program) && card.exists(file);
    };
    if (has("/usr/sbin/haproxy", "/etc/haproxy/haproxy.cfg")) {
        questions.push_back({"haproxy", "haproxy -c -f /etc/haproxy/haproxy.cfg"});
    }
    if (has("/usr/sbin/keepalived", "/etc/keepalived/keepalived.conf")) {
        questions.push_back({"keepalived", "keepalived -t -f /etc/keepalived/keepalived.conf"});
    }
    // It has no way to only read its file.
    if (has("/usr/sbin/conntrackd", "/etc/conntrackd/conntrackd.conf")) {
        questions.push_back({"conntrackd", "conntrackd -s"});
    }
    if (has("/usr/sbin/nft", "/etc/nftables.conf")) questions.push_back({"nftables", "nft -c -f /etc/nftables.conf"});
    if (role == "gateway") {
        questions.push_back({"nftables-loaded", "nft list ruleset; nft list ruleset | grep -q hook"});
        questions.push_back({"rules-before-network",
                             "rules=$(systemctl show --value -p ActiveEnterTimestampMonotonic nftables); "
                             "network=$(systemctl show --value -p ExecMainStartTimestampMonotonic systemd-networkd); "
                             "echo \"$rules $network\"; [ \"$rules\" -lt \"$network\" ]"});
    }
    if (has("/usr/bin/etcd", "/etc/default/etcd") && role == "etcd") {
        questions.push_back({"etcd", "etcd --version"});
        questions.push_back({"etcd-settings", etcd_settings});
    }
    if (has("/usr/sbin/sshd", "/etc/ssh/sshd_config")) questions.push_back({"sshd", "mkdir -p /run/sshd; sshd -t"});
}

}  // namespace

std::vector<Question> questions_for(const Card& card) {
    const auto manifest = card.manifest();
    const std::string role = manifest ? manifest->role : "";
    std::vector<Question> questions;
    if (!card.root()) return questions;
    ask_node(card, role, questions);
    ask_kernel(card, role, questions);
    ask_network(card, questions);
    ask_containerd(card, role, questions);
    ask_kubeadm(card, questions);
    ask_services(card, role, questions);
    // Last, when the daemon has had the most time.
    const std::vector<Question> firstboot = firstboot_questions(card);
    questions.insert(questions.end(), firstboot.begin(), firstboot.end());
    return questions;
}

std::map<std::string, std::string> parse_sysctls(std::string_view text) {
    std::map<std::string, std::string> found;
    std::istringstream lines{std::string(text)};
    for (std::string line; std::getline(lines, line);) {
        line = trimmed(line);
        const auto equals = line.find('=');
        if (line.empty() || line[0] == '#' || line[0] == ';' || equals == std::string::npos) continue;
        std::string key = trimmed(line.substr(0, equals));
        if (!key.empty() && key[0] == '-') key = trimmed(key.substr(1));
        if (!key.empty() && key.find_first_of("*?[") == std::string::npos)
            found[key] = trimmed(line.substr(equals + 1));
    }
    return found;
}

NetworkFile parse_network_file(std::string_view text) {
    NetworkFile file;
    std::istringstream lines{std::string(text)};
    std::string section;
    for (std::string line; std::getline(lines, line);) {
        line = trimmed(line);
        if (line.empty() || line[0] == '#' || line[0] == ';') continue;
        if (line[0] == '[') section = line;
        const auto equals = line.find('=');
        if (equals == std::string::npos) continue;
        const std::string key = trimmed(line.substr(0, equals));
        const std::string value = trimmed(line.substr(equals + 1));
        if (key == "Name" && (section == "[Match]" || section == "[Link]")) {
            std::istringstream words(value);
            for (std::string word; words >> word;) file.names.push_back(word);
        }
        if (section == "[Match]" && (key == "MACAddress" || key == "PermanentMACAddress")) file.mac = value;
        if (key == "Address" && (section == "[Network]" || section == "[Address]")) file.addresses.push_back(value);
    }
    return file;
}

std::vector<std::string> network_cards(const Card& card) {
    std::map<std::string, std::string> cards = {{"eth0", ""}};
    for (const char* const ending : {".link", ".network"}) {
        for (const auto& [path, text] : texts(card, "/etc/systemd/network", ending)) {
            const NetworkFile file = parse_network_file(text);
            for (const std::string& name : file.names) {
                // Only eth0, eth1, ... are cards; other names are patterns, bridges and tunnels.
                if (name.size() != 4 || name.rfind("eth", 0) != 0 || name[3] < '0' || name[3] > '7') continue;
                std::string& mac = cards[name];
                if (!file.mac.empty()) mac = file.mac;
            }
        }
    }
    std::vector<std::string> macs;
    macs.reserve(cards.size());
    for (const auto& [name, mac] : cards) macs.push_back(mac);
    return macs;
}

}  // namespace makina
