#include <algorithm>
#include <sstream>

#include "builder/plan/parts.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

std::string octal(std::uint32_t mode) {
    std::string digits;
    for (int shift = 9; shift >= 0; shift -= 3) {
        digits += static_cast<char>('0' + ((mode >> static_cast<unsigned>(shift)) & 7U));
    }
    return digits;
}

std::string padded(std::string text, std::size_t width) {
    text.resize(std::max(width, text.size()), ' ');
    return text;
}

std::string size_of(const File& file) {
    switch (file.kind) {
        case FileKind::regular:
            return std::to_string(file.content.size());
        case FileKind::directory:
            return "folder";
        case FileKind::symlink:
            return "link";
    }
    throw Error("unknown kind of file");
}

void list(std::ostringstream& text, const std::string& title, const std::vector<std::string>& lines) {
    if (lines.empty()) {
        return;
    }
    text << title << '\n';
    for (const std::string& line : lines) {
        text << "  " << line << '\n';
    }
}

}  // namespace

std::string to_text(const ImagePlan& plan) {
    std::ostringstream text;
    text << "node      " << plan.node.name << " (" << to_string(plan.node.role) << ", "
         << to_string(plan.node.architecture) << ", " << to_string(plan.node.hardware) << ")\n"
         << "address   " << to_string(plan.node.address) << '\n'
         << "cluster   " << plan.cluster << '\n'
         << "base      " << plan.base_id << '\n'
         << "files     " << plan.files.files().size() << '\n';
    for (const auto& [path, file] : plan.files.files()) {
        const std::string target = file.kind == FileKind::symlink ? " -> " + file.content : "";
        text << "  " << octal(file.mode) << ' ' << padded(file.user + ":" + file.group, 12) << ' '
             << padded(size_of(file), 7) << ' ' << path << target << "  (" << file.origin << ")\n";
    }
    list(text, "removed from the base", plan.removals);
    list(text, "installed by the node at its first boot", plan.first_boot);
    list(text, "warnings", plan.warnings);
    return text.str();
}

}  // namespace makina
