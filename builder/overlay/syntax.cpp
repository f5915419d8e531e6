#include "builder/overlay/syntax.hpp"

#include <algorithm>

#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

constexpr std::string_view hex_digits = "0123456789abcdef";

bool is_control(char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

std::string hex_escape(char c) {
    const auto byte = static_cast<unsigned char>(c);
    return {'\\', 'x', hex_digits[byte >> 4U], hex_digits[byte & 0xfU]};
}

bool is_word(std::string_view text) {
    constexpr std::string_view others = "._:/,@+=~-";
    return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               others.find(c) != std::string_view::npos;
    });
}

bool is_line(std::string_view text) {
    return std::none_of(text.begin(), text.end(), is_control);
}

// YAML 1.2 section 7.3.1: inside double quotes only \ and " are special, and control characters need an escape.
std::string yaml_scalar(std::string_view text) {
    std::string result = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            result += '\\';
            result += c;
        } else {
            result += is_control(c) ? hex_escape(c) : std::string(1, c);
        }
    }
    return result + '"';
}

// A quoted scalar is one only if it is all there is between the signs of YAML: in `url: https://{{ x }}` the quotes
// would be part of the text.
void check_yaml_place(std::string_view before, std::string_view after) {
    while (!before.empty() && before.back() == ' ') {
        before.remove_suffix(1);
    }
    const bool begins = before.empty() || std::string_view("-:,[{").find(before.back()) != std::string_view::npos;
    while (!after.empty() && after.front() == ' ') {
        after.remove_prefix(1);
    }
    const bool key = !after.empty() && after.front() == ':' && (after.size() == 1 || after[1] == ' ');
    const bool ends = after.empty() || key || std::string_view(",]}#").find(after.front()) != std::string_view::npos;
    if (!begins || !ends) {
        throw Error("a placeholder in YAML must be a whole value, not a part of one");
    }
}

// Inside "..." single quotes are text, and $(...) in the value would run.
void check_shell_place(std::string_view before) {
    char open = 0;
    for (std::size_t i = 0; i < before.size(); ++i) {
        const char c = before[i];
        if (c == '\\' && open != '\'') {
            ++i;
        } else if (open == 0 && (c == '"' || c == '\'' || c == '`')) {
            open = c;
        } else if (c == open) {
            open = 0;
        }
    }
    if (open != 0) {
        throw Error("a placeholder in a shell file must stand outside quotes");
    }
}

std::string shell_word(std::string_view text) {
    std::string result = "'";
    for (const char c : text) {
        result += c == '\'' ? std::string("'\\''") : std::string(1, c);
    }
    return result + "'";
}

std::string written_text(Syntax syntax, const std::string& name, const std::string& text, std::string_view before,
                         std::string_view after) {
    switch (syntax) {
        case Syntax::yaml:
            check_yaml_place(before, after);
            return yaml_scalar(text);
        case Syntax::shell:
            check_shell_place(before);
            if (!is_line(text)) {
                throw Error("\"" + name + "\" is " + shown(text) + ": a control character cannot stand here");
            }
            return shell_word(text);
        case Syntax::word:
            if (!is_word(text)) {
                throw Error("\"" + name + "\" is " + shown(text) +
                            ": only letters, digits and ._:/,@+=~- can stand here");
            }
            return text;
        case Syntax::line:
            if (!is_line(text)) {
                throw Error("\"" + name + "\" is " + shown(text) + ": a control character cannot stand here");
            }
            return text;
    }
    throw Error("unknown syntax");
}

}  // namespace

Syntax parse_syntax(const std::string& word) {
    if (word == "yaml") {
        return Syntax::yaml;
    }
    if (word == "shell") {
        return Syntax::shell;
    }
    if (word == "word") {
        return Syntax::word;
    }
    if (word == "line") {
        return Syntax::line;
    }
    throw Error("unknown syntax " + shown(word) + ", use yaml, shell, word or line");
}

std::string written(Syntax syntax, const std::string& name, const Value& value, std::string_view before,
                    std::string_view after) {
    switch (value.kind) {
        case Value::Kind::text:
            return written_text(syntax, name, value.text, before, after);
        case Value::Kind::number:
            return value.text;
        case Value::Kind::flag:
            if (syntax != Syntax::yaml) {
                throw Error("\"" + name + "\" is yes or no: use %% if");
            }
            return value.flag ? "true" : "false";
        case Value::Kind::list:
            throw Error("\"" + name + "\" is a list: use %% for");
        case Value::Kind::group:
            throw Error("\"" + name + "\" has fields: use one, as in {{ " + name + "." +
                        (value.group.empty() ? "field" : value.group.begin()->first) + " }}");
    }
    throw Error("unknown kind of value");
}

std::string shown(std::string_view text) {
    std::string result = "\"";
    for (const char c : text) {
        const bool odd = is_control(c) || static_cast<unsigned char>(c) >= 0x80;
        result += odd ? hex_escape(c) : std::string(1, c);
    }
    return result + '"';
}

}  // namespace makina
