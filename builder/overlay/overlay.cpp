#include "builder/overlay/overlay.hpp"

#include <algorithm>
#include <set>
#include <sstream>

#include "builder/overlay/syntax.hpp"
#include "builder/read_file.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

namespace fs = std::filesystem;

constexpr const char* modes_file = ".modes";

std::vector<fs::path> entries_of(const fs::path& folder) {
    std::vector<fs::path> entries;
    for (auto entry = fs::recursive_directory_iterator(folder); entry != fs::recursive_directory_iterator(); ++entry) {
        if (entry->is_symlink() || !entry->is_directory()) {
            entries.push_back(entry->path());
        }
    }
    std::sort(entries.begin(), entries.end());
    return entries;
}

bool ends_with(const std::string& text, const std::string& end) {
    return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// One file of the folder as it will be on the node, or nothing if `only if` leaves it out.
void add_entry(const fs::path& source, const std::string& path, const std::string& origin, const Value::Group& values,
               FileTree& tree) {
    File file;
    file.path = path;
    file.origin = origin;
    if (fs::is_symlink(source)) {
        file.kind = FileKind::symlink;
        file.mode = 0777;
        file.content = fs::read_symlink(source).string();
        tree.put(std::move(file));
        return;
    }
    const auto permissions = fs::status(source).permissions();
    file.mode = (permissions & fs::perms::owner_exec) != fs::perms::none ? 0755 : 0644;
    file.content = read_file(source);
    bool left_out = false;
    if (ends_with(path, ".in")) {
        file.path = path.substr(0, path.size() - 3);
        file.content = render(file.content, origin, values, &left_out);
    }
    if (!left_out) {
        tree.put(std::move(file));
    }
}

struct ModeLine {
    std::uint32_t mode = 0;
    std::string user, group, path;
};

ModeLine parse_mode_line(const std::string& line) {
    std::istringstream words(line);
    std::string mode;
    std::string rest;
    ModeLine result;
    words >> mode >> result.user >> result.group >> result.path;
    const bool octal = mode.size() == 4 && mode.find_first_not_of("01234567") == std::string::npos;
    if (!octal || result.path.empty() || result.path[0] != '/' || words >> rest) {
        throw Error("write MODE USER GROUP PATH, as in 0440 root root /etc/sudoers.d/makina");
    }
    result.mode = static_cast<std::uint32_t>(std::stoul(mode, nullptr, 8));
    return result;
}

void apply_mode(const ModeLine& line, const std::set<std::string>& known, const std::string& origin, FileTree& tree) {
    if (line.path.back() == '/') {
        File folder;
        folder.path = line.path.substr(0, line.path.size() - 1);
        folder.kind = FileKind::directory;
        folder.mode = line.mode;
        folder.user = line.user;
        folder.group = line.group;
        folder.origin = origin;
        tree.put(std::move(folder));
        return;
    }
    if (known.find(line.path) == known.end()) {
        throw Error("no file " + shown(line.path) + " in this overlay");
    }
    if (const File* file = tree.find(line.path)) {
        File changed = *file;
        changed.mode = line.mode;
        changed.user = line.user;
        changed.group = line.group;
        tree.put(std::move(changed));
    }
}

void apply_modes(const std::string& content, const std::set<std::string>& known, const std::string& origin,
                 FileTree& tree) {
    std::istringstream lines(content);
    std::string line;
    for (int number = 1; std::getline(lines, line); ++number) {
        if (line.empty() || line[0] == '#') {
            continue;
        }
        try {
            apply_mode(parse_mode_line(line), known, origin, tree);
        } catch (const Error& error) {
            throw Error(origin + ":" + std::to_string(number) + ": " + error.what());
        }
    }
}

}  // namespace

void read_overlay(const fs::path& folder, const std::string& name, const Value::Group& values, FileTree& tree) {
    std::error_code problem;
    if (!fs::is_directory(folder, problem)) {
        throw Error(name + ": no such folder at " + folder.string());
    }
    std::set<std::string> known;
    for (const fs::path& source : entries_of(folder)) {
        const std::string path = "/" + source.lexically_relative(folder).generic_string();
        if (path == std::string("/") + modes_file) {
            continue;
        }
        add_entry(source, path, name + path, values, tree);
        known.insert(ends_with(path, ".in") ? path.substr(0, path.size() - 3) : path);
    }
    if (fs::exists(folder / modes_file)) {
        apply_modes(read_file(folder / modes_file), known, name + "/" + modes_file, tree);
    }
}

}  // namespace makina
