#include "builder/pki/packed.hpp"

#include <cstdint>
#include <utility>
#include <vector>

#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/lines.hpp"

namespace makina {
namespace {

bool is_file_name(std::string_view text) {
    if (text.empty() || text.size() > 64 || text.front() == '.') return false;
    for (const char c : text) {
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.')) return false;
    }
    return true;
}

bool is_path(std::string_view text) {
    const std::size_t slash = text.find('/');
    return slash == std::string_view::npos
               ? is_file_name(text)
               : is_file_name(text.substr(0, slash)) && is_file_name(text.substr(slash + 1));
}

}  // namespace

std::string packed(const Files& files) {
    std::string text;
    std::string bytes;
    for (const auto& [path, content] : files) {
        if (!is_path(path)) throw Error(path + " is none of the keys' files: take it out of the folder");
        text += "file " + path + " " + std::to_string(content.size()) + "\n";
        bytes += content;
    }
    return text + "end\n" + bytes;
}

Files unpacked(std::string_view content) {
    Lines lines(content);
    std::vector<std::pair<std::string, std::uint64_t>> list;
    while (lines.follows("file")) {
        const std::string_view text = lines.value("file");
        const std::size_t space = text.find(' ');
        std::uint64_t size = 0;
        if (space == std::string_view::npos || !is_path(text.substr(0, space)) ||
            !read_number(text.substr(space + 1), size)) {
            lines.refuse("no path and size of a file");
        }
        list.emplace_back(text.substr(0, space), size);
        if (list.size() > 1 && list[list.size() - 2].first >= list.back().first)
            lines.refuse("the paths do not ascend");
    }
    lines.expect("end");
    Files files;
    std::string_view rest = lines.rest();
    for (const auto& [path, size] : list) {
        if (rest.size() < size) lines.refuse(path + " ends early");
        files[path] = rest.substr(0, size);
        rest.remove_prefix(size);
    }
    if (!rest.empty()) lines.refuse("bytes that no file accounts for");
    return files;
}

}  // namespace makina
