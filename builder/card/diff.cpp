#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>
#include <set>

#include "builder/card/card.hpp"
#include "builder/disk/temporary.hpp"
#include "builder/process.hpp"
#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

/// A text longer than this is told as one line: nobody reads a longer unified diff, and it would be held in memory.
constexpr std::uint64_t longest_text = 1 << 20;

std::string octal(std::uint32_t mode) {
    std::array<char, 16> text{};
    return {text.data(), static_cast<std::size_t>(std::snprintf(text.data(), text.size(), "%04o", mode))};
}

std::string kind(std::uint32_t mode) {
    if (S_ISREG(mode)) return "a file";
    if (S_ISDIR(mode)) return "a folder";
    if (S_ISLNK(mode)) return "a link";
    return "a device";
}

bool is_text(const std::string& content) {
    return content.size() <= longest_text && std::none_of(content.begin(), content.end(), [](char letter) {
               const auto byte = static_cast<unsigned char>(letter);
               return byte < 0x20 && letter != '\n' && letter != '\t' && letter != '\r' && letter != '\f';
           });
}

std::string unified(const std::string& path, const std::string& a, const std::string& b) {
    const TemporaryFile first;
    const TemporaryFile second;
    first.fill(a);
    second.fill(b);
    const Result result = run({{"diff", "-u", "--label", "a" + path, "--label", "b" + path, "--", first.path().string(),
                                second.path().string()}});
    if (result.status > 1) throw Error("comparing " + path + ": " + result.errors);
    return result.output;
}

Difference content_difference(const std::string& path, const std::string& a, const std::string& b) {
    if (is_text(a) && is_text(b)) return {path, "content", unified(path, a, b)};
    return {path, "binary content, " + std::to_string(a.size()) + " and " + std::to_string(b.size()) + " bytes", {}};
}

Difference presence(const std::string& path, bool in_a) {
    return {path, in_a ? "only in a" : "only in b", {}};
}

void compare_boot(const Card& a, const Card& b, std::vector<Difference>& found) {
    std::set<std::string> names;
    std::array<std::set<std::string>, 2> sides;
    for (const auto& [card, side] : {std::pair(&a, 0U), std::pair(&b, 1U)}) {
        if (!card->boot()) continue;
        for (const std::string& name : card->boot()->list()) {
            sides.at(side).insert(name);
            names.insert(name);
        }
    }
    for (const std::string& name : names) {
        const std::string path = "/boot/firmware/" + name;
        if (!sides[0].contains(name) || !sides[1].contains(name)) {
            found.push_back(presence(path, sides[0].contains(name)));
            continue;
        }
        const std::string left = a.boot()->read_file(name);
        const std::string right = b.boot()->read_file(name);
        if (left != right) found.push_back(content_difference(path, left, right));
    }
}

using Listing = std::map<std::string, Stat>;

Listing list_root(const Card& card) {
    Listing listing;
    if (card.root()) {
        card.root()->walk("/", [&](const std::string& path, const Stat& stat) { listing.emplace(path, stat); });
    }
    return listing;
}

std::string digest_of(const Card& card, const std::string& path) {
    Sha256 digest;
    card.root()->read_file(path, [&](const char* data, std::size_t size) { digest.update({data, size}); });
    return digest.hex();
}

void compare_content(const Card& a, const Card& b, const std::string& path, const Stat& left, const Stat& right,
                     std::vector<Difference>& found) {
    if (S_ISLNK(left.mode)) {
        const std::string one = a.root()->read_link(path).value_or("");
        const std::string two = b.root()->read_link(path).value_or("");
        if (one != two) found.push_back({path, "a link to " + one + " and to " + two, {}});
        return;
    }
    if (!S_ISREG(left.mode)) return;
    if (left.size == right.size && digest_of(a, path) == digest_of(b, path)) return;
    if (std::max(left.size, right.size) > longest_text) {
        found.push_back(
            {path, "content, " + std::to_string(left.size) + " and " + std::to_string(right.size) + " bytes", {}});
        return;
    }
    found.push_back(content_difference(path, a.root()->read_file(path), b.root()->read_file(path)));
}

void compare_root(const Card& a, const Card& b, std::vector<Difference>& found) {
    const Listing left = list_root(a);
    Listing right = list_root(b);
    for (const auto& [path, one] : left) {
        const auto other = right.find(path);
        if (other == right.end()) {
            found.push_back(presence(path, true));
            continue;
        }
        const Stat two = other->second;
        right.erase(other);
        if ((one.mode & S_IFMT) != (two.mode & S_IFMT)) {
            found.push_back({path, kind(one.mode) + " and " + kind(two.mode), {}});
            continue;
        }
        if ((one.mode & 07777) != (two.mode & 07777)) {
            found.push_back({path, "mode " + octal(one.mode & 07777) + " and " + octal(two.mode & 07777), {}});
        }
        if (one.uid != two.uid || one.gid != two.gid) {
            found.push_back({path,
                             "owner " + std::to_string(one.uid) + ":" + std::to_string(one.gid) + " and " +
                                 std::to_string(two.uid) + ":" + std::to_string(two.gid),
                             {}});
        }
        if (a.root()->xattrs(path) != b.root()->xattrs(path)) found.push_back({path, "extended attributes", {}});
        compare_content(a, b, path, one, two, found);
    }
    for (const auto& [path, stat] : right) found.push_back(presence(path, false));
}

const char* kind(FileKind file_kind) {
    switch (file_kind) {
        case FileKind::regular:
            return "a file";
        case FileKind::directory:
            return "a folder";
        case FileKind::symlink:
            return "a link";
    }
    return "";
}

void compare_files(const File& a, const File& b, std::vector<Difference>& found) {
    if (a.kind != b.kind) {
        found.push_back({a.path, std::string(kind(a.kind)) + " and " + kind(b.kind), {}});
        return;
    }
    if (a.mode != b.mode) found.push_back({a.path, "mode " + octal(a.mode) + " and " + octal(b.mode), {}});
    if (a.user != b.user || a.group != b.group) {
        found.push_back({a.path, "owner " + a.user + ":" + a.group + " and " + b.user + ":" + b.group, {}});
    }
    if (a.content == b.content) return;
    if (a.kind == FileKind::symlink) {
        found.push_back({a.path, "a link to " + a.content + " and to " + b.content, {}});
    } else {
        found.push_back(content_difference(a.path, a.content, b.content));
    }
}

void sort_by_path(std::vector<Difference>& found) {
    std::stable_sort(found.begin(), found.end(),
                     [](const Difference& a, const Difference& b) { return a.path < b.path; });
}

}  // namespace

std::vector<Difference> diff_cards(const Card& a, const Card& b) {
    std::vector<Difference> found;
    compare_boot(a, b, found);
    compare_root(a, b, found);
    sort_by_path(found);
    return found;
}

std::vector<Difference> diff_trees(const FileTree& a, const FileTree& b) {
    std::vector<Difference> found;
    for (const auto& [path, file] : a.files()) {
        const File* const other = b.find(path);
        if (other == nullptr) {
            found.push_back(presence(path, true));
        } else {
            compare_files(file, *other, found);
        }
    }
    for (const auto& [path, file] : b.files()) {
        if (a.find(path) == nullptr) found.push_back(presence(path, false));
    }
    sort_by_path(found);
    return found;
}

std::string to_text(const std::vector<Difference>& differences) {
    std::string text;
    for (const Difference& difference : differences) {
        text += difference.path + ": " + difference.what + '\n' + difference.diff;
        if (!difference.diff.empty() && difference.diff.back() != '\n') text += '\n';
    }
    return text;
}

}  // namespace makina
