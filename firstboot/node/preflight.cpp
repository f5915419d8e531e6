#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "firstboot/bundle/error.hpp"
#include "firstboot/node/board.hpp"
#include "firstboot/node/node.hpp"
#include "firstboot/text.hpp"

namespace makina {
namespace {

constexpr std::size_t largest = std::size_t{4} << 20;
constexpr std::uint64_t least_free = std::uint64_t{512} << 20;
constexpr const char* own_sysctls = "90-makina.conf";

std::string content_of(Host& host, const std::string& path) {
    return host.read(path, largest).value_or("");
}

bool is_kubernetes(const Bundle& bundle) {
    return bundle.role == "control-plane" || bundle.role == "worker";
}

/// Module names are the same with '-' and with '_'.
std::string module_name(std::string_view text) {
    std::string name(text);
    std::replace(name.begin(), name.end(), '-', '_');
    return name;
}

/// modules-load.d(5).
std::vector<std::string> wanted_modules(Host& host) {
    std::vector<std::string> names;
    const std::string folder = "/etc/modules-load.d";
    for (const std::string& file : host.list(folder)) {
        if (!file.ends_with(".conf")) continue;
        const std::string text = content_of(host, folder + "/" + file);
        for (const std::string_view line : lines_of(text)) {
            const auto words = words_of(line);
            if (!words.empty() && words[0][0] != '#' && words[0][0] != ';') names.push_back(module_name(words[0]));
        }
    }
    return names;
}

std::vector<std::string> missing_modules(Host& host) {
    std::vector<std::string> there;
    const std::string loaded = content_of(host, "/proc/modules");
    for (const std::string_view line : lines_of(loaded)) {
        if (const auto words = words_of(line); !words.empty()) there.push_back(module_name(words[0]));
    }
    const std::string release = content_of(host, "/proc/sys/kernel/osrelease");
    const auto words = words_of(lines_of(release).empty() ? std::string_view() : lines_of(release)[0]);
    const std::string built_in =
        words.empty() ? std::string() : content_of(host, "/lib/modules/" + std::string(words[0]) + "/modules.builtin");
    for (std::string_view line : lines_of(built_in)) {
        // "kernel/net/bridge/br_netfilter.ko"
        line.remove_prefix(line.rfind('/') + 1);
        there.push_back(module_name(line.substr(0, line.find(".ko"))));
    }
    std::vector<std::string> names = wanted_modules(host);
    std::erase_if(names,
                  [&](const std::string& name) { return std::find(there.begin(), there.end(), name) != there.end(); });
    return names;
}

std::string with_single_spaces(std::string_view text) {
    std::string joined;
    for (const std::string_view word : words_of(text)) joined.append(joined.empty() ? "" : " ").append(word);
    return joined;
}

/// sysctl.d(5): "key = value"; a '-' before the key means that it may fail.
std::map<std::string, std::string> sysctls_in(const std::string& text) {
    std::map<std::string, std::string> values;
    for (const std::string_view line : lines_of(text)) {
        const std::size_t equals = line.find('=');
        const auto key = words_of(line.substr(0, equals));
        if (equals == std::string_view::npos || key.empty() ||
            std::string_view("#;-").find(key[0][0]) != std::string::npos) {
            continue;
        }
        values[std::string(key[0])] = with_single_spaces(line.substr(equals + 1));
    }
    return values;
}

/// What the image's own file asks for, but for what a later file says otherwise.
std::map<std::string, std::string> wanted_sysctls(Host& host) {
    const std::string folder = "/etc/sysctl.d/";
    auto wanted = sysctls_in(content_of(host, folder + own_sysctls));
    for (const std::string& file : host.list("/etc/sysctl.d")) {
        if (file <= own_sysctls || !file.ends_with(".conf")) continue;
        for (const auto& [key, value] : sysctls_in(content_of(host, folder + file))) {
            if (const auto found = wanted.find(key); found != wanted.end()) found->second = value;
        }
    }
    return wanted;
}

std::vector<std::string> wrong_sysctls(Host& host) {
    std::vector<std::string> names;
    for (const auto& [key, value] : wanted_sysctls(host)) {
        std::string path = "/proc/sys/" + key;
        std::replace(path.begin() + 10, path.end(), '.', '/');
        const std::string text = content_of(host, path);
        const auto lines = lines_of(text);
        if (lines.empty() || with_single_spaces(lines[0]) != value) names.push_back(key);
    }
    return names;
}

std::vector<std::string> missing_controllers(Host& host) {
    const std::string text = content_of(host, "/sys/fs/cgroup/cgroup.controllers");
    const auto lines = lines_of(text);
    const auto there = words_of(lines.empty() ? std::string_view() : lines[0]);
    std::vector<std::string> names;
    for (const char* const name : {"cpu", "cpuset", "memory", "pids"}) {
        if (std::find(there.begin(), there.end(), name) == there.end()) names.emplace_back(name);
    }
    return names;
}

/// What only a person, or another image, can mend.
std::string fixed_objection(Host& host, const Bundle& bundle) {
    if (std::string objection = board_objection(host, bundle); !objection.empty()) return objection;
    if (host.free_bytes() < least_free) {
        return "512 MiB of room on the root file system: there are " + std::to_string(host.free_bytes() >> 20) + " MiB";
    }
    if (!is_kubernetes(bundle)) return {};
    if (const auto names = missing_controllers(host); !names.empty()) {
        return "the control groups " + some_of(names) + "; cmdline.txt may switch them off, cgroup_enable=memory on";
    }
    // The first line of /proc/swaps is its heading.
    const std::string swaps = content_of(host, "/proc/swaps");
    if (const auto lines = lines_of(swaps); lines.size() > 1) {
        return "swap to be off: " + std::string(words_of(lines[1]).at(0)) + " is in use";
    }
    return {};
}

}  // namespace

Outcome ask_preflight(Host& host, const Bundle& bundle) {
    if (std::string objection = fixed_objection(host, bundle); !objection.empty()) return {false, objection};
    if (const auto names = missing_modules(host); !names.empty()) {
        return {false, "the kernel modules " + some_of(names)};
    }
    if (const auto names = wrong_sysctls(host); !names.empty()) return {false, "the sysctls " + some_of(names)};
    return {true};
}

Outcome do_preflight(Host& host, const Bundle& bundle) {
    if (std::string objection = fixed_objection(host, bundle); !objection.empty()) return {false, objection};
    for (const std::string& name : missing_modules(host)) {
        const Answer answer = host.run({"modprobe", name}, 60);
        if (answer.status != 0) throw Error("modprobe " + name + ": " + last_line(answer.errors));
    }
    if (!wrong_sysctls(host).empty()) {
        // Its own exit code says only that some value of some file could not be set; what matters is asked below.
        (void)host.run({"/usr/lib/systemd/systemd-sysctl"}, 60);
    }
    return ask_preflight(host, bundle);
}

}  // namespace makina
