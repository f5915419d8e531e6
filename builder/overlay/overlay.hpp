#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "builder/file_tree.hpp"

namespace makina {

/// What a name in a template stands for: a text, a number, yes or no, a list, or a group of further names.
struct Value {
    enum class Kind { text, number, flag, list, group };
    using List = std::vector<Value>;
    using Group = std::map<std::string, Value>;

    Value(std::string value) : kind(Kind::text), text(std::move(value)) {}
    Value(const char* value) : kind(Kind::text), text(value) {}
    Value(bool value) : kind(Kind::flag), flag(value) {}
    Value(std::uint64_t value) : kind(Kind::number), text(std::to_string(value)) {}
    Value(List value) : kind(Kind::list), list(std::move(value)) {}
    Value(Group value) : kind(Kind::group), group(std::move(value)) {}

    Kind kind;
    std::string text;  ///< of a text, or a number's decimal digits
    bool flag = false;
    List list;
    Group group;
};

/// Renders one template; `origin` is how its errors name it. The language:
///
///     %% only if NAME       (first line) the file is left out unless NAME is true; also `only if not NAME`
///     %% syntax KIND        what is written here; before the first placeholder. It decides what a value may be:
///           yaml            any text, written as a double-quoted scalar; numbers and yes/no as themselves
///           shell           any line, written in single quotes; refused inside quotes
///           word            letters, digits and ._:/,@+=~-  (haproxy, keepalived, nftables, systemd units, ...)
///           line            anything without control characters (authorized_keys, sysctl.d, ...)
///     %% for X in NAME ... %% end
///     %% if NAME ... %% else ... %% end;  %% if not NAME.  A list is true if it is not empty, a text likewise.
///     {{ NAME }}, {{ NAME.FIELD }}
///
/// A value never becomes configuration: what KIND does not allow is refused.
/// `*left_out` tells whether `only if` dropped the file. Throws Error "<origin>:<line>: ...".
[[nodiscard]] std::string render(const std::string& content, const std::string& origin, const Value::Group& values,
                                 bool* left_out = nullptr);

/// Reads a folder that mirrors / into `tree`. Files ending in ".in" are rendered and lose that suffix; symlinks stay
/// symlinks; a file is 0755 if its owner may execute it, else 0644, of root. A file ".modes" in the folder says what
/// differs, one "MODE USER GROUP PATH" a line; a PATH ending in "/" is made as a folder. `name` is the folder as
/// errors and File::origin have it, "overlays/any". Throws Error for wrong templates and .modes, and if the folder
/// cannot be read.
void read_overlay(const std::filesystem::path& folder, const std::string& name, const Value::Group& values,
                  FileTree& tree);

}  // namespace makina
