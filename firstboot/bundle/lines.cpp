#include "firstboot/bundle/lines.hpp"

#include <algorithm>
#include <charconv>

#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/payload.hpp"

namespace makina {
namespace {

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

bool is_lower(char c) {
    return c >= 'a' && c <= 'z';
}

}  // namespace

bool read_number(std::string_view text, std::uint64_t& number) {
    if (text.empty() || !std::all_of(text.begin(), text.end(), is_digit)) return false;
    if (text.size() > 1 && text.front() == '0') return false;
    return std::from_chars(text.data(), text.data() + text.size(), number).ec == std::errc();
}

bool is_hex(std::string_view text, std::size_t digits) {
    return text.size() == digits &&
           std::all_of(text.begin(), text.end(), [](char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); });
}

bool is_role(std::string_view text) {
    const auto kinds = payload_kinds();
    return std::any_of(kinds.begin(), kinds.end(), [&](const PayloadKind& kind) { return kind.role == text; });
}

bool is_dns_label(std::string_view text) {
    if (text.empty() || text.size() > 63 || text.front() == '-' || text.back() == '-') return false;
    return std::all_of(text.begin(), text.end(), [](char c) { return is_digit(c) || is_lower(c) || c == '-'; });
}

std::string_view Lines::next() {
    ++read_;
    const std::size_t end = rest_.find('\n');
    if (end == std::string_view::npos) refuse("a line without its end");
    const std::string_view line = rest_.substr(0, end);
    if (!std::all_of(line.begin(), line.end(), [](char c) { return c >= ' ' && c <= '~'; })) {
        refuse("a character that is not printable ASCII");
    }
    rest_.remove_prefix(end + 1);
    return line;
}

void Lines::refuse(const std::string& what) const {
    throw Untrusted(what + ", line " + std::to_string(read_));
}

bool Lines::follows(std::string_view key) const {
    return rest_.size() > key.size() && rest_.substr(0, key.size()) == key && rest_[key.size()] == ' ';
}

void Lines::expect(std::string_view line) {
    if (next() != line) refuse("\"" + std::string(line) + "\" is expected");
}

std::string_view Lines::value(std::string_view key) {
    const bool right = follows(key);
    const std::string_view line = next();
    if (!right || line.size() == key.size() + 1) refuse("\"" + std::string(key) + "\" and a value are expected");
    return line.substr(key.size() + 1);
}

std::uint64_t Lines::number(std::string_view key, std::uint64_t least, std::uint64_t most) {
    std::uint64_t number = 0;
    if (!read_number(value(key), number) || number < least || number > most) {
        refuse("\"" + std::string(key) + "\" is no number from " + std::to_string(least) + " to " +
               std::to_string(most) + " in its shortest form");
    }
    return number;
}

std::string Lines::hex(std::string_view key, std::size_t digits) {
    const std::string_view text = value(key);
    if (!is_hex(text, digits)) {
        refuse("\"" + std::string(key) + "\" is not " + std::to_string(digits) + " lower-case hex digits");
    }
    return std::string(text);
}

std::string Lines::label(std::string_view key) {
    const std::string_view text = value(key);
    if (!is_dns_label(text)) refuse("\"" + std::string(key) + "\" is no DNS label");
    return std::string(text);
}

std::string Lines::role(std::string_view key) {
    const std::string_view text = value(key);
    if (!is_role(text)) refuse("\"" + std::string(key) + "\" is no role that this program knows");
    return std::string(text);
}

}  // namespace makina
