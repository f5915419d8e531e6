#include "builder/commands/home.hpp"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <system_error>

namespace makina {
namespace {

namespace fs = std::filesystem;

struct Person {
    uid_t user = 0;
    gid_t group = 0;
    fs::path home;
};

std::string_view variable(const char* name) {
    const char* const value = std::getenv(name);
    return value == nullptr ? std::string_view() : std::string_view(value);
}

std::optional<Person> person_of(uid_t user) {
    const passwd* const entry = getpwuid(user);
    if (entry == nullptr || entry->pw_dir == nullptr || *entry->pw_dir == '\0') return std::nullopt;
    return Person{entry->pw_uid, entry->pw_gid, entry->pw_dir};
}

/// Who called sudo (sudo(8): SUDO_UID), if that made us root and HOME is root's own or, as sudo -E leaves it, theirs.
std::optional<Person> invoker() {
    const std::string_view number = variable("SUDO_UID");
    uid_t user = 0;
    const auto read = std::from_chars(number.data(), number.data() + number.size(), user);
    if (geteuid() != 0 || read.ec != std::errc() || read.ptr != number.data() + number.size() || user == 0) return {};
    const auto root = person_of(0);
    auto person = person_of(user);
    const std::string_view home = variable("HOME");
    const auto is_home_of = [&](const std::optional<Person>& owner) { return owner && owner->home == home; };
    return home.empty() || is_home_of(root) || is_home_of(person) ? person : std::nullopt;
}

void give(const fs::path& path, const Person& person) {
    struct stat facts {};
    if (lstat(path.c_str(), &facts) != 0 || facts.st_uid != 0) return;
    // A second name of a file may be one of root's own.
    if (!S_ISDIR(facts.st_mode) && facts.st_nlink > 1) return;
    (void)!lchown(path.c_str(), person.user, person.group);
}

bool is_below(const fs::path& path, const fs::path& folder) {
    const fs::path relative = path.lexically_relative(folder);
    return !relative.empty() && *relative.begin() != ".." && *relative.begin() != ".";
}

}  // namespace

fs::path home_folder() {
    const auto person = invoker();
    return person ? person->home : fs::path(variable("HOME"));
}

void give_to_invoker(const fs::path& folder) {
    const auto person = invoker();
    if (!person || !is_below(folder, person->home)) return;
    for (fs::path above = folder; is_below(above, person->home); above = above.parent_path()) give(above, *person);
    std::error_code failed;
    for (auto entry = fs::recursive_directory_iterator(folder, failed); entry != fs::recursive_directory_iterator();
         entry.increment(failed)) {
        // Another build may have a whole file system in there, with owners of its own.
        if (entry->path().extension() == ".part") {
            entry.disable_recursion_pending();
            continue;
        }
        give(entry->path(), *person);
    }
}

}  // namespace makina
