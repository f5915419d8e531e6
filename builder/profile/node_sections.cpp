#include <algorithm>

#include "builder/profile/sections.hpp"
#include "builder/profile/syntax.hpp"

namespace makina {
namespace {

Choices<Role> role_words() {
    Choices<Role> words;
    for (const Role role : all_roles()) words.emplace_back(to_string(role), role);
    return words;
}

/// Words that other tools use for our roles, too far from them for an edit distance.
std::string usual_word(const std::string& word) {
    if (word.starts_with("k3s-")) return "k3s is not supported yet";
    const std::vector<std::pair<std::string, std::string>> words = {{"master", "control-plane"},
                                                                    {"server", "control-plane"},
                                                                    {"controller", "control-plane"},
                                                                    {"agent", "worker"},
                                                                    {"node", "worker"},
                                                                    {"lb", "load-balancer"},
                                                                    {"haproxy", "load-balancer"},
                                                                    {"balancer", "load-balancer"},
                                                                    {"router", "gateway"}};
    const auto found = std::ranges::find(words, word, &std::pair<std::string, std::string>::first);
    return found == words.end() ? "" : "did you mean " + in_quotes(found->second) + "?";
}

std::optional<Role> read_role(Fields& fields, const std::string& path, Position at, const Tree& tree) {
    const std::string hint = tree.kind == TreeKind::scalar ? usual_word(tree.text) : "";
    if (hint.empty()) return fields.choose(path, tree, role_words());
    fields.draft().complain(path, at, path + ": " + in_quotes(tree.text) + " is not a role, " + hint);
    return std::nullopt;
}

/// The entries of a map that a user names, its values texts.
std::map<std::string, std::string> read_pairs(Fields& fields, const std::string& key,
                                              bool (*is_key)(const std::string&), const std::string& wanted,
                                              const Rule<std::string>& rule) {
    std::map<std::string, std::string> pairs;
    const std::string path = fields.path_of(key);
    for (const TreeEntry& entry : fields.entries(key)) {
        if (!is_key(entry.key)) {
            std::string name = in_quotes(entry.key);
            fields.draft().complain(path, entry.at, path + ": " + name.append(" is not ").append(wanted));
        }
        if (auto value = fields.convert(fields.path_of(key + '.' + entry.key), entry.value, rule)) {
            pairs.emplace(entry.key, std::move(*value));
        }
    }
    return pairs;
}

void read_files(Fields& fields, std::vector<ExtraFile>& files) {
    Draft& draft = fields.draft();
    const Rule<std::string> content = {"a text without the character NUL", [](const std::string& text) {
                                           return text.find('\0') == text.npos ? std::optional(text) : std::nullopt;
                                       }};
    for (const TreeEntry& entry : fields.entries("files")) {
        const std::string path = fields.path_of("files") + '.' + entry.key;
        ExtraFile file;
        file.path = entry.key;
        if (const auto rule = node_path(); !rule.parse(entry.key)) {
            draft.complain(path, entry.at,
                           fields.path_of("files") + ": " + in_quotes(entry.key) + " is not " + rule.wanted);
        }
        if (entry.value.kind == TreeKind::map) {
            Fields details(draft, entry.value, path, "roles.<role>.files.<path>");
            details.require("content", "the text of the file");
            details.read("content", file.content, content);
            details.read("mode", file.mode, file_mode());
            details.finish();
        } else if (auto text = fields.convert(path, entry.value, content)) {
            file.content = std::move(*text);
        }
        files.push_back(std::move(file));
    }
}

void read_extras(Fields& fields, Extras& extras) {
    fields.read_list("packages", extras.packages, package());
    fields.read_list("kernel_arguments", extras.kernel_arguments, kernel_argument());
    // config.txt has sections, in which the same line may stand again.
    for (const Tree& line : fields.items("config_txt")) {
        if (auto text = fields.convert(fields.path_of("config_txt"), line, config_line())) {
            extras.config_txt.push_back(std::move(*text));
        }
    }
    const auto is_sysctl = [](const std::string& text) { return sysctl_name().parse(text).has_value(); };
    extras.sysctls = read_pairs(fields, "sysctls", is_sysctl, sysctl_name().wanted, one_line());
    read_files(fields, extras.files);
}

void read_machine(Fields& fields, Node& node) {
    Draft& draft = fields.draft();
    fields.read("arch", node.architecture,
                Choices<Architecture>{{"arm64", Architecture::arm64}, {"amd64", Architecture::amd64}});
    node.hardware = node.architecture == Architecture::amd64 ? Hardware::generic : Hardware::rpi4;
    fields.read("hardware", node.hardware,
                Choices<Hardware>{{"rpi3", Hardware::rpi3},
                                  {"rpi4", Hardware::rpi4},
                                  {"rpi5", Hardware::rpi5},
                                  {"generic", Hardware::generic}});
    if (node.architecture == Architecture::amd64 && node.hardware != Hardware::generic) {
        draft.complain(fields.path_of("hardware"), fields.path_of("hardware") + ": " + to_string(node.hardware) +
                                                       " is an arm64 board, set arch to arm64 or hardware to generic");
    }
    fields.read("spare", node.spare_partition, size(1ULL << 20, 1ULL << 44, "from 1MiB to 16TiB"));
}

/// Labels and taints belong to the Kubernetes node; load balancers, etcd and gateways are none.
void refuse_without_kubelet(Fields& fields, const Node& node) {
    if (node.role == Role::control_plane || node.role == Role::worker) return;
    for (const std::string key : {"labels", "taints"}) {
        if (!fields.has(key)) continue;
        fields.draft().complain(fields.path_of(key), fields.path_of(key) + ": a " + to_string(node.role) +
                                                         " is not a node of Kubernetes, remove it");
    }
}

Node read_node(Fields& fields, const std::string& name) {
    Node node;
    node.name = name;
    fields.require("role", "such as worker");
    fields.require("address", "an address of the subnet");
    if (const Tree* role = fields.take("role")) {
        const auto value = read_role(fields, fields.path_of("role"), role->at, *role);
        if (value) node.role = *value;
    }
    fields.read("address", node.address, address());
    fields.read("mac", node.mac, mac());
    fields.read("uplink_mac", node.uplink_mac, mac());
    fields.read("inside_mac", node.inside_mac, mac());
    fields.read("serial", node.serial, serial());
    read_machine(fields, node);
    const auto is_key = [](const std::string& text) { return is_label_key(text); };
    node.labels = read_pairs(fields, "labels", is_key, "a label such as disk or example.org/disk", label_value());
    fields.read_list("taints", node.taints, taint());
    if (fields.draft().sound(fields.path_of("role"))) refuse_without_kubelet(fields, node);
    fields.finish();
    return node;
}

/// "to" of a forward: a node's name or an address.
void read_target(Fields& fields, Address& target) {
    const Tree* tree = fields.take("to");
    const std::string path = fields.path_of("to");
    const std::string* text = tree == nullptr ? nullptr : fields.scalar(path, *tree, "a node or an address");
    if (text == nullptr) return;
    const Profile& profile = fields.draft().profile;
    std::vector<std::string> names;
    for (const Node& node : profile.nodes) names.push_back(node.name);
    if (const Node* node = profile.find(*text)) {
        target = node->address;
    } else if (const auto given = parse_address(*text)) {
        target = *given;
    } else {
        fields.draft().complain(path, path + ": no node " + in_quotes(*text) + suggestion(*text, names));
    }
}

void read_forwards(Fields& fields, std::vector<Forward>& forwards) {
    const std::string path = fields.path_of("forwards");
    std::size_t index = 0;
    for (const Tree& item : fields.items("forwards")) {
        const std::string here = path + '.' + std::to_string(++index);
        fields.draft().place(here, item.at);
        if (item.kind != TreeKind::map) {
            fields.draft().complain(here, path + ": expected keys and values such as {port: 443, to: worker-1}");
            continue;
        }
        Fields details(fields.draft(), item, here, path);
        Forward forward;
        forward.protocol = "tcp";
        details.require("port", "the port on the uplink");
        details.require("to", "the node that answers");
        details.read("protocol", forward.protocol, Choices<std::string>{{"tcp", "tcp"}, {"udp", "udp"}});
        details.read("port", forward.port, port());
        forward.to_port = forward.port;
        read_target(details, forward.to);
        details.read("to_port", forward.to_port, port());
        details.read("from", forward.from, subnet());
        details.finish();
        forwards.push_back(forward);
    }
}

}  // namespace

void read_roles(Fields& top) {
    Draft& draft = top.draft();
    for (const TreeEntry& entry : top.entries("roles")) {
        const std::string path = "roles." + entry.key;
        draft.place(path, entry.at);
        Tree word;
        word.kind = TreeKind::scalar;
        word.text = entry.key;
        word.at = entry.at;
        const auto role = read_role(top, "roles", entry.at, word);
        if (entry.value.kind != TreeKind::map) {
            if (entry.value.kind == TreeKind::refused) continue;
            draft.complain(path, path + ": expected keys such as packages or sysctls");
            continue;
        }
        Fields fields(draft, entry.value, path, "roles.<role>");
        Extras extras;
        read_extras(fields, extras);
        fields.finish();
        if (role) draft.profile.extras[*role] = std::move(extras);
    }
}

void read_nodes(Fields& top) {
    Draft& draft = top.draft();
    for (const TreeEntry& entry : top.entries("nodes")) {
        const std::string path = "nodes." + entry.key;
        draft.place(path, entry.at);
        if (const auto rule = label(); !rule.parse(entry.key) || entry.key == "localhost") {
            draft.complain(path, "nodes: " + in_quotes(entry.key) + " is not " + rule.wanted);
        }
        if (entry.value.kind == TreeKind::map) {
            Fields fields(draft, entry.value, path, "nodes.<node>");
            draft.profile.nodes.push_back(read_node(fields, entry.key));
        } else if (entry.value.kind != TreeKind::refused) {
            draft.complain(path, path + ": expected its keys, such as {role: worker, address: 192.168.3.10}");
        }
    }
}

void read_gateway(Fields& top) {
    Fields fields = top.section("gateway");
    Gateway& gateway = top.draft().profile.gateway;
    fields.read("uplink", gateway.uplink, interface_name());
    fields.read("inside", gateway.inside, interface_name());
    fields.read("dns", gateway.dns, yes_or_no());
    fields.read("connections", gateway.connections, number(4096, 1048576));
    fields.read("uplink_address", gateway.uplink_address, address());
    fields.read("conntrack_sync", gateway.conntrack_sync, yes_or_no());
    fields.read("vrid", gateway.vrid, number(1, 255));
    gateway.dhcp = fields.has("dhcp");
    Fields dhcp = fields.section("dhcp");
    if (gateway.dhcp) {
        dhcp.require("first", "the first address to give away");
        dhcp.require("last", "the last address to give away");
    }
    dhcp.read("first", gateway.dhcp_first, address());
    dhcp.read("last", gateway.dhcp_last, address());
    dhcp.finish();
    read_forwards(fields, gateway.forwards);
    fields.finish();
}

}  // namespace makina
