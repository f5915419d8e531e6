#include <set>
#include <string>
#include <vector>

#include "firstboot/node/node.hpp"
#include "firstboot/text.hpp"

namespace makina {
namespace {

constexpr const char* list_file = "/etc/makina/packages";
/// What dpkg knows; a full Debian has a few megabytes.
constexpr const char* database = "/var/lib/dpkg/status";
constexpr std::size_t largest_list = std::size_t{1} << 20;
constexpr std::size_t largest_database = std::size_t{64} << 20;
constexpr unsigned an_hour = 3600;

/// The packages whose state is what `dpkg -s` calls "install ok installed".
std::set<std::string, std::less<>> installed(Host& host) {
    std::set<std::string, std::less<>> names;
    const std::string text = host.read(database, largest_database).value_or("");
    constexpr std::string_view package = "Package: ";
    std::string_view name;
    for (const std::string_view line : lines_of(text)) {
        if (line.empty()) name = {};
        if (line.rfind(package, 0) == 0) name = line.substr(package.size());
        if (line == "Status: install ok installed" && !name.empty()) names.emplace(name);
    }
    return names;
}

std::vector<std::string> missing(Host& host) {
    std::vector<std::string> names;
    const auto list = host.read(list_file, largest_list);
    if (!list) return names;
    const auto there = installed(host);
    for (const std::string_view line : lines_of(*list)) {
        const auto words = words_of(line.substr(0, line.find('#')));
        if (!words.empty() && !there.contains(words[0])) names.emplace_back(words[0]);
    }
    return names;
}

}  // namespace

Outcome ask_packages(Host& host, const Bundle&) {
    const std::vector<std::string> names = missing(host);
    if (names.empty()) return {true};
    return {false, "the packages " + some_of(names)};
}

Outcome do_packages(Host& host, const Bundle& bundle) {
    Outcome outcome = ask_packages(host, bundle);
    if (outcome.done) return outcome;
    const Answer answer = host.run({"/usr/lib/makina/install-packages"}, an_hour);
    outcome = ask_packages(host, bundle);
    if (!outcome.done && answer.status != 0) outcome.waiting_for += " (" + last_line(answer.errors) + ")";
    return outcome;
}

}  // namespace makina
