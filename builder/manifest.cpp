#include "builder/manifest.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

constexpr std::string_view first_line = "makina-manifest 1";
constexpr std::string_view hex_digits = "0123456789abcdef";

std::string escape(std::string_view text, bool keep_spaces) {
    std::string escaped;
    for (const char letter : text) {
        const auto byte = static_cast<unsigned char>(letter);
        if ((byte > 0x20 || (byte == 0x20 && keep_spaces)) && byte < 0x7f && letter != '%') {
            escaped += letter;
        } else {
            escaped += {'%', hex_digits[byte >> 4], hex_digits[byte & 15]};
        }
    }
    return escaped;
}

[[nodiscard]] bool is_hash(std::string_view text) {
    return text.size() == 64 && text.find_first_not_of(hex_digits) == std::string_view::npos;
}

/// One line being read from left to right; every refusal names its number.
class Line {
  public:
    Line(std::string_view text, int number) : text_(text), number_(number) {}

    [[noreturn]] void refuse(const std::string& why) const {
        throw Error("line " + std::to_string(number_) + ": " + why);
    }
    /// Up to the next `end`, which is consumed; without one, or with nothing before it, the line is refused.
    std::string_view word(char end, const char* what) {
        const std::size_t length = text_.find(end);
        if (length == std::string_view::npos || length == 0) refuse(std::string("no ") + what);
        const std::string_view word = text_.substr(0, length);
        text_.remove_prefix(length + 1);
        return word;
    }
    [[nodiscard]] std::string_view rest() const { return text_; }

    /// The text that was escaped. Refused unless it is exactly what `escape` gives, so that one manifest has one text.
    [[nodiscard]] std::string plain(std::string_view escaped, bool keep_spaces, const char* what) const {
        std::string text;
        for (std::size_t i = 0; i < escaped.size(); ++i) {
            if (escaped[i] != '%') {
                text += escaped[i];
                continue;
            }
            const auto high = i + 2 < escaped.size() ? hex_digits.find(escaped[i + 1]) : std::string_view::npos;
            const auto low = i + 2 < escaped.size() ? hex_digits.find(escaped[i + 2]) : std::string_view::npos;
            if (high == std::string_view::npos || low == std::string_view::npos) refuse_escape(what);
            text += static_cast<char>(high * 16 + low);
            i += 2;
        }
        if (escape(text, keep_spaces) != escaped) refuse_escape(what);
        return text;
    }
    template <typename Number>
    [[nodiscard]] Number number(std::string_view text, int base, const char* what) const {
        Number value = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
        if (error != std::errc() || end != text.data() + text.size()) {
            refuse("the " + std::string(what) + " is \"" + std::string(text) + "\", not a number");
        }
        return value;
    }

  private:
    [[noreturn]] void refuse_escape(const char* what) const {
        refuse("the " + std::string(what) + " is not percent-encoded as it should be");
    }

    std::string_view text_;
    int number_;
};

Manifest::Entry decode_entry(Line line) {
    Manifest::Entry entry;
    entry.sha256 = line.word(' ', "hash");
    if (!is_hash(entry.sha256)) line.refuse("the hash is not 64 lower-case hex digits");
    entry.mode = line.number<std::uint32_t>(line.word(' ', "mode"), 8, "mode");
    if (entry.mode > 07777) line.refuse("the mode is more than 7777");
    entry.user = line.plain(line.word(' ', "user"), false, "user");
    entry.group = line.plain(line.word(' ', "group"), false, "group");
    entry.path = line.plain(line.word('\t', "path and tab"), false, "path");
    if (entry.path.front() != '/') line.refuse("the path is not absolute");
    entry.origin = line.plain(line.rest(), true, "origin");
    return entry;
}

}  // namespace

std::string encode(const Manifest& manifest) {
    std::string text = std::string(first_line) + '\n';
    const std::array<std::pair<const char*, std::string>, 4> values = {
        {{"cluster", manifest.cluster}, {"node", manifest.node}, {"role", manifest.role}, {"base", manifest.base}}};
    for (const auto& [key, value] : values) text += std::string(key) + ' ' + escape(value, true) + '\n';
    text += "built " + std::to_string(manifest.built) + '\n';
    for (const Manifest::Entry& entry : manifest.files) {
        std::array<char, 12> mode{};
        const auto end = std::to_chars(mode.data(), mode.data() + mode.size(), entry.mode, 8).ptr;
        text += "file " + entry.sha256 + ' ' + std::string(mode.data(), end) + ' ' + escape(entry.user, false) + ' ' +
                escape(entry.group, false) + ' ' + escape(entry.path, false) + '\t' + escape(entry.origin, true) + '\n';
    }
    during("the manifest of " + manifest.node, [&] { (void)decode(text); });
    return text;
}

Manifest decode(std::string_view text) {
    Manifest manifest;
    const std::array<std::pair<std::string_view, std::string*>, 4> values = {
        {{"cluster", &manifest.cluster}, {"node", &manifest.node}, {"role", &manifest.role}, {"base", &manifest.base}}};
    int number = 0;
    while (!text.empty() || number < 6) {
        Line line(text.substr(0, text.find('\n')), ++number);
        if (text.find('\n') == std::string_view::npos) {
            line.refuse(text.empty() ? "missing, the manifest ends too early" : "not ended by a newline");
        }
        text.remove_prefix(text.find('\n') + 1);
        if (number == 1) {
            if (line.rest() != first_line) line.refuse("not \"" + std::string(first_line) + "\"");
            continue;
        }
        const std::string_view key = line.word(' ', "key");
        const std::string_view expected = number <= 5   ? values.at(static_cast<std::size_t>(number - 2)).first
                                          : number == 6 ? "built"
                                                        : "file";
        if (key != expected) line.refuse("\"" + std::string(key) + "\" where " + std::string(expected) + " belongs");
        if (number <= 5) {
            *values.at(static_cast<std::size_t>(number - 2)).second = line.plain(line.rest(), true, "value");
        } else if (number == 6) {
            manifest.built = line.number<std::int64_t>(line.rest(), 10, "time");
        } else {
            manifest.files.push_back(decode_entry(line));
        }
    }
    return manifest;
}

}  // namespace makina
