#include "builder/profile/profile.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "builder/profile/check.hpp"
#include "builder/profile/draft.hpp"
#include "builder/profile/sections.hpp"
#include "builder/profile/text.hpp"
#include "builder/profile/tree.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/handle.hpp"

namespace makina {
namespace {

/// At most one byte more than a profile may have, which is enough to refuse it.
std::string read_text(const std::filesystem::path& file) {
    const Descriptor input(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!input) throw_system("reading " + file.string());
    struct stat status = {};
    if (::fstat(input.get(), &status) != 0) throw_system("reading " + file.string());
    if (!S_ISREG(status.st_mode)) throw Error("reading " + file.string() + ": not a regular file");
    std::string text(largest_profile + 1, '\0');
    std::size_t length = 0;
    while (length < text.size()) {
        const ssize_t count = ::read(input.get(), text.data() + length, text.size() - length);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) throw_system("reading " + file.string());
        if (count == 0) break;
        length += static_cast<std::size_t>(count);
    }
    text.resize(length);
    return text;
}

std::vector<Complaint> in_file_order(std::vector<Complaint> complaints) {
    std::ranges::sort(complaints);
    complaints.erase(std::unique(complaints.begin(), complaints.end()), complaints.end());
    return complaints;
}

}  // namespace

const std::vector<Role>& all_roles() {
    static const std::vector<Role> roles = {Role::control_plane, Role::worker, Role::load_balancer, Role::etcd,
                                            Role::gateway};
    return roles;
}

std::string to_string(Role role) {
    switch (role) {
        case Role::control_plane:
            return "control-plane";
        case Role::worker:
            return "worker";
        case Role::load_balancer:
            return "load-balancer";
        case Role::etcd:
            return "etcd";
        case Role::gateway:
            return "gateway";
    }
    return {};
}

std::string to_string(Architecture architecture) {
    switch (architecture) {
        case Architecture::arm64:
            return "arm64";
        case Architecture::amd64:
            return "amd64";
    }
    return {};
}

std::string to_string(Hardware hardware) {
    switch (hardware) {
        case Hardware::rpi3:
            return "rpi3";
        case Hardware::rpi4:
            return "rpi4";
        case Hardware::rpi5:
            return "rpi5";
        case Hardware::generic:
            return "generic";
    }
    return {};
}

std::optional<Version> parse_version(std::string_view text) {
    std::array<int, 3> parts = {};
    for (std::size_t part = 0; part < parts.size(); ++part) {
        if (part > 0) {
            if (!text.starts_with('.')) return std::nullopt;
            text.remove_prefix(1);
        }
        const std::string_view digits = text.substr(0, text.find_first_not_of("0123456789"));
        if (digits.empty() || digits.size() > 4 || (digits.size() > 1 && digits[0] == '0')) return std::nullopt;
        std::from_chars(digits.data(), digits.data() + digits.size(), parts.at(part));
        text.remove_prefix(digits.size());
    }
    return text.empty() ? std::optional(Version{parts[0], parts[1], parts[2]}) : std::nullopt;
}

std::string to_string(const Version& version) {
    return std::to_string(version.major) + '.' + std::to_string(version.minor) + '.' + std::to_string(version.patch);
}

const Node* Profile::find(const std::string& node) const {
    const auto found = std::ranges::find(nodes, node, &Node::name);
    return found == nodes.end() ? nullptr : &*found;
}

std::vector<const Node*> Profile::with_role(Role role) const {
    std::vector<const Node*> found;
    for (const Node& node : nodes) {
        if (node.role == role) found.push_back(&node);
    }
    return found;
}

std::string to_string(const std::filesystem::path& file, const Complaint& complaint) {
    return file.string() + ':' + std::to_string(complaint.line) + ':' + std::to_string(complaint.column) + ": " +
           complaint.text;
}

ProfileReading read_profile(const std::filesystem::path& file) {
    std::string text = read_text(file);
    // Some editors put a byte order mark before UTF-8; it says nothing.
    if (text.starts_with("\xef\xbb\xbf")) text.erase(0, 3);
    ProfileReading reading{std::nullopt, check_text(text)};
    if (!reading.complaints.empty()) return reading;
    Draft draft;
    draft.profile.path = file;
    const Tree tree = parse_tree(text, draft.complaints);
    if (tree.kind == TreeKind::map) {
        read_sections(draft, tree);
        check(draft);
    } else if (tree.kind != TreeKind::refused) {
        draft.complain("", tree.at, "a profile is a set of keys and values, the first one for example name: home");
    }
    reading.complaints = in_file_order(std::move(draft.complaints));
    if (reading.complaints.empty()) reading.profile = std::move(draft.profile);
    return reading;
}

}  // namespace makina
