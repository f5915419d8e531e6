#include "firstboot/machine/accounts.hpp"

#include <charconv>
#include <optional>
#include <sstream>
#include <string_view>

#include "firstboot/bundle/error.hpp"
#include "firstboot/machine/files.hpp"

namespace makina {
namespace {

constexpr std::size_t largest = std::size_t{1} << 20;

std::optional<unsigned> number(std::string_view text) {
    unsigned value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

/// The first entry of passwd(5) or group(5), both NAME:PASSWORD:ID:..., for which `fits(name, id)`.
template <typename Fits>
std::optional<std::pair<std::string, unsigned>> entry(const Files& files, const char* path, Fits fits) {
    std::istringstream lines(files.read(path, largest).value_or(""));
    for (std::string line; std::getline(lines, line);) {
        const std::size_t first = line.find(':');
        const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const std::string name = line.substr(0, first);
        const auto id = number(line.substr(second + 1, line.find(':', second + 1) - second - 1));
        if (id && fits(name, *id)) return std::pair{name, *id};
    }
    return std::nullopt;
}

unsigned id_of(const Files& files, const char* path, const std::string& name, const char* what) {
    if (name == "root") return 0;
    if (const auto found = entry(files, path, [&](const std::string& other, unsigned) { return other == name; })) {
        return found->second;
    }
    if (const auto id = number(name)) return *id;
    throw Error(std::string("no ") + what + " \"" + name + "\" in " + path);
}

std::string name_of(const Files& files, const char* path, unsigned id) {
    if (id == 0) return "root";
    const auto found = entry(files, path, [&](const std::string&, unsigned other) { return other == id; });
    return found ? found->first : std::to_string(id);
}

}  // namespace

uid_t user_id(const Files& files, const std::string& name) {
    return id_of(files, "/etc/passwd", name, "user");
}

gid_t group_id(const Files& files, const std::string& name) {
    return id_of(files, "/etc/group", name, "group");
}

std::string user_name(const Files& files, uid_t id) {
    return name_of(files, "/etc/passwd", id);
}

std::string group_name(const Files& files, gid_t id) {
    return name_of(files, "/etc/group", id);
}

}  // namespace makina
