#include <algorithm>
#include <string>

#include "firstboot/bundle/encoding.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/lines.hpp"
#include "firstboot/node/node.hpp"
#include "firstboot/text.hpp"

namespace makina {
namespace {

constexpr std::size_t largest = std::size_t{1} << 20;
constexpr const char* kernel_name = "/proc/sys/kernel/hostname";
constexpr const char* machine_id = "/etc/machine-id";
constexpr const char* ssh = "/etc/ssh";

/// machine-id(5): 32 lower-case hex digits and a newline, not all zero. Empty or "uninitialized": not made yet.
bool has_machine_id(Host& host) {
    const std::string text = host.read(machine_id, largest).value_or("");
    return text.size() == 33 && text.back() == '\n' && is_hex({text.data(), 32}, 32) &&
           text.find_first_not_of("0\n") != std::string::npos;
}

std::string new_machine_id(Host& host) {
    return to_hex(host.random(16)) + "\n";
}

/// hosts(5): an address, then its names, up to a comment.
bool knows_itself(Host& host, const Bundle& bundle) {
    const std::string text = host.read("/etc/hosts", largest).value_or("");
    for (const std::string_view line : lines_of(text)) {
        const auto words = words_of(line.substr(0, line.find('#')));
        if (words.size() > 1 && std::find(words.begin() + 1, words.end(), bundle.node) != words.end()) return true;
    }
    return false;
}

void add_to_hosts(Host& host, const Bundle& bundle) {
    std::string text = host.read("/etc/hosts", largest).value_or("");
    if (!text.empty() && text.back() != '\n') text += '\n';
    text += bundle.address.substr(0, bundle.address.find('/')) + " " + bundle.node + "\n";
    host.write("/etc/hosts", text, {0644, "root", "root"});
}

bool is_host_key(const std::string& name) {
    return name.rfind("ssh_host_", 0) == 0;
}

bool is_empty(Host& host, const std::string& path) {
    const auto facts = host.look(path);
    return facts && facts->size == 0;
}

/// ssh-keygen does not sync what it writes: a power cut may leave keys without content, with which sshd cannot start.
std::vector<std::string> empty_host_keys(Host& host) {
    std::vector<std::string> paths;
    for (const std::string& name : host.list(ssh)) {
        const std::string path = std::string(ssh) + "/" + name;
        if (is_host_key(name) && is_empty(host, path)) paths.push_back(path);
    }
    return paths;
}

bool has_host_keys(Host& host) {
    return host.look("/etc/ssh/ssh_host_ed25519_key") && host.look("/etc/ssh/ssh_host_ed25519_key.pub") &&
           empty_host_keys(host).empty();
}

void make_host_keys(Host& host) {
    for (const std::string& path : empty_host_keys(host)) {
        // A key and its public half go together: ssh-keygen makes both only if the key is missing.
        host.remove(path.ends_with(".pub") ? path.substr(0, path.size() - 4) : path);
        host.remove(path);
    }
    if (!host.look("/etc/ssh/ssh_host_ed25519_key.pub")) host.remove("/etc/ssh/ssh_host_ed25519_key");
    const Answer answer = host.run({"ssh-keygen", "-A"}, 300);
    if (answer.status != 0) throw Error("ssh-keygen failed: " + last_line(answer.errors));
}

bool is_named(Host& host, const Bundle& bundle) {
    return host.read("/etc/hostname", largest) == bundle.node + "\n";
}

bool is_called(Host& host, const Bundle& bundle) {
    return host.read(kernel_name, largest) == bundle.node + "\n";
}

}  // namespace

Outcome ask_identity(Host& host, const Bundle& bundle) {
    if (!is_named(host, bundle)) return {false, "the name " + bundle.node + " in /etc/hostname"};
    if (!is_called(host, bundle)) return {false, "the kernel to be called " + bundle.node};
    if (!has_machine_id(host)) return {false, "a machine id"};
    if (!knows_itself(host, bundle)) return {false, "the name " + bundle.node + " in /etc/hosts"};
    if (!has_host_keys(host)) return {false, "the ssh host keys"};
    return {true};
}

Outcome do_identity(Host& host, const Bundle& bundle) {
    if (!is_named(host, bundle)) host.write("/etc/hostname", bundle.node + "\n", {0644, "root", "root"});
    if (!is_called(host, bundle)) host.set_hostname(bundle.node);
    if (!has_machine_id(host)) host.write(machine_id, new_machine_id(host), {0444, "root", "root"});
    if (!knows_itself(host, bundle)) add_to_hosts(host, bundle);
    if (!has_host_keys(host)) make_host_keys(host);
    // Also those that an earlier attempt has made: whether they are durable cannot be asked.
    host.sync(ssh);
    return ask_identity(host, bundle);
}

}  // namespace makina
