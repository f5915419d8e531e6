#include <algorithm>

#include "builder/overlay/syntax.hpp"
#include "builder/plan/parts.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

bool made_of(const std::string& text, std::string_view others) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               others.find(c) != std::string_view::npos;
    });
}

bool one_line(const std::string& text) {
    return std::none_of(text.begin(), text.end(),
                        [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

[[noreturn]] void refuse(const std::string& what, const std::string& value, const std::string& rule) {
    throw Error(what + " " + shown(value) + ": " + rule);
}

// kubeadm writes labels and taints into a file of kubelet's arguments without quotes of its own.
void check_node(const Node& node) {
    const std::string who = "node " + shown(node.name) + ": ";
    const std::string value_of = who + "value of label ";
    for (const auto& [key, value] : node.labels) {
        if (!made_of(key, "._/-")) {
            refuse(who + "label", key, "a label's key is letters, digits and ._/-");
        }
        if (!value.empty() && !made_of(value, "._-")) {
            refuse(std::string(value_of).append(key), value, "a label's value is letters, digits and ._-");
        }
    }
    for (const std::string& taint : node.taints) {
        const auto colon = taint.rfind(':');
        const std::string effect = colon == std::string::npos ? "" : taint.substr(colon + 1);
        const bool known = effect == "NoSchedule" || effect == "PreferNoSchedule" || effect == "NoExecute";
        if (!known || !made_of(taint.substr(0, colon), "._/=-")) {
            refuse(who + "taint", taint,
                   "write key=value:Effect, the effect NoSchedule, PreferNoSchedule or NoExecute");
        }
    }
}

void check_path(const std::string& path) {
    const bool odd = path.size() < 2 || path[0] != '/' || path.back() == '/' || path.find("//") != std::string::npos ||
                     (path + "/").find("/../") != std::string::npos || (path + "/").find("/./") != std::string::npos ||
                     !one_line(path);
    if (odd) {
        refuse("extra file", path, "a path is absolute, without . or .. in it");
    }
}

}  // namespace

void check_values(const Profile& profile, const Node& node, const BaseFacts& base) {
    if (node.architecture != base.architecture) {
        throw Error("node " + shown(node.name) + " is " + to_string(node.architecture) + ", the base is " +
                    to_string(base.architecture));
    }
    check_node(node);
    const Extras& extras = extras_of(profile, node);
    for (const auto& [key, value] : extras.sysctls) {
        if (!made_of(key, "._/*-")) {
            refuse("sysctl", key, "a key is letters, digits and ._/*-");
        }
        if (value.empty() || !one_line(value)) {
            refuse("value of sysctl " + key, value, "it must be one line");
        }
    }
    for (const std::string& argument : extras.kernel_arguments) {
        if (argument.empty() || !one_line(argument) || argument.find(' ') != std::string::npos) {
            refuse("kernel argument", argument, "it must be one word");
        }
    }
    for (const std::string& line : extras.config_txt) {
        if (!one_line(line)) {
            refuse("line of config.txt", line, "it must be one line");
        }
    }
    for (const ExtraFile& file : extras.files) {
        check_path(file.path);
    }
}

}  // namespace makina
