#include <algorithm>
#include <array>
#include <sstream>

#include "builder/plan/parts.hpp"

namespace makina {
namespace {

constexpr std::string_view begin_mark = "# makina: begin";
constexpr std::string_view end_mark = "# makina: end";

std::vector<std::string> words_of(const std::string& text) {
    std::istringstream stream(text);
    std::vector<std::string> words;
    for (std::string word; stream >> word;) {
        words.push_back(word);
    }
    return words;
}

bool contains(const std::vector<std::string>& words, const std::string& word) {
    return std::find(words.begin(), words.end(), word) != words.end();
}

}  // namespace

bool writes_pi_boot(const BaseFacts& base) {
    return base.layout == Layout::debian && base.architecture == Architecture::arm64 && !base.kernel.empty();
}

std::vector<std::string> kernel_arguments(const Profile& profile, const Node& node, const BaseFacts& base) {
    std::vector<std::string> arguments;
    switch (base.layout) {
        case Layout::debian:
            break;  // Debian's kernel has every controller on
        case Layout::rpios_bookworm:
        case Layout::rpios_trixie:
        case Layout::ubuntu_2404:
            // The device tree of a Raspberry Pi says cgroup_disable=memory; what comes later wins
            // (raspberrypi/linux#6980). eth0 is what every file of ours calls the interface.
            arguments = {"cgroup_enable=memory", "net.ifnames=0"};
            break;
    }
    for (const std::string& argument : extras_of(profile, node).kernel_arguments) {
        if (!contains(arguments, argument)) {
            arguments.push_back(argument);
        }
    }
    return arguments;
}

std::string edit_cmdline(const std::string& content, const std::vector<std::string>& arguments,
                         const std::vector<std::string>& dropped) {
    std::string result;
    std::vector<std::string> words = words_of(content);
    for (const std::string& argument : arguments) {
        if (!contains(words, argument)) {
            words.push_back(argument);
        }
    }
    for (const std::string& word : words) {
        const bool drop = std::any_of(dropped.begin(), dropped.end(), [&](const std::string& each) {
            return word == each || (each.back() == '=' && word.rfind(each, 0) == 0);
        });
        if (!drop) {
            result += (result.empty() ? "" : " ") + word;
        }
    }
    return result + '\n';
}

std::string edit_config_txt(const std::string& content, const std::vector<std::string>& lines) {
    std::istringstream stream(content);
    std::string result;
    bool ours = false;
    for (std::string line; std::getline(stream, line);) {
        if (line == begin_mark) {
            ours = true;
        }
        if (!ours) {
            result += line + '\n';
        }
        if (line == end_mark) {
            ours = false;
        }
    }
    // [all]: whatever filter the base ended with, these lines are for every board.
    result += std::string(begin_mark) + "\n[all]\n";
    for (const std::string& line : lines) {
        result += line + '\n';
    }
    return result + std::string(end_mark) + '\n';
}

std::string edit_fstab(const std::string& content) {
    std::istringstream stream(content);
    std::string result;
    for (std::string line; std::getline(stream, line);) {
        const std::vector<std::string> fields = words_of(line);
        const bool entry = fields.size() >= 3 && fields[0][0] != '#';
        if (!entry || fields[2] != "swap") {
            result += line + '\n';
        }
    }
    return result;
}

std::string lock_root(const std::string& content) {
    std::istringstream stream(content);
    std::string result;
    for (std::string line; std::getline(stream, line);) {
        constexpr std::string_view root = "root:";
        const auto end = line.find(':', root.size());
        if (line.rfind(root, 0) == 0 && end != std::string::npos) {
            line = "root:*" + line.substr(end);
        }
        result += line + '\n';
    }
    return result;
}

}  // namespace makina
