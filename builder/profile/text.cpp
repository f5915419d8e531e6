#include "builder/profile/text.hpp"

#include <array>

namespace makina {
namespace {

constexpr std::size_t most_complaints = 20;  // a file in another encoding would complain once a character

bool continues(const std::string& text, std::size_t at) {
    return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0U) == 0x80;
}

/// Invisible characters that show one text and mean another (Unicode TR36), and line breaks only some programs see.
bool is_deceptive(char32_t value) {
    return (value >= 0x200b && value <= 0x200f) || (value >= 0x2028 && value <= 0x202e) ||
           (value >= 0x2066 && value <= 0x2069) || value == 0xfeff;
}

bool is_control(char32_t value) {
    return value < 0x20 || (value >= 0x7f && value < 0xa0);
}

std::string hexadecimal(char32_t value) {
    std::string digits;
    for (int shift = 12; shift >= 0; shift -= 4) digits += "0123456789ABCDEF"[value >> shift & 15U];
    return digits;
}

/// What is wrong with the code point at `at`, empty if nothing.
std::string objection(const std::string& text, std::size_t at, const CodePoint& point) {
    if (point.bytes == 0) return "not valid UTF-8, save the file as UTF-8";
    if (point.value == '\r' && at + 1 < text.size() && text[at + 1] == '\n') return "";
    if (point.value == '\t' || point.value == '\n') return "";
    if (is_control(point.value)) return "control character U+" + hexadecimal(point.value) + ", remove it";
    if (is_deceptive(point.value)) return "invisible character U+" + hexadecimal(point.value) + ", remove it";
    return "";
}

}  // namespace

CodePoint code_point(const std::string& text, std::size_t at) {
    const auto first = static_cast<unsigned char>(text[at]);
    if (first < 0x80) return {first, 1};
    const std::size_t bytes = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4) return {};
    char32_t value = first & (0x7fU >> bytes);
    for (std::size_t next = 1; next < bytes; ++next) {
        if (!continues(text, at + next)) return {};
        value = value << 6 | (static_cast<unsigned char>(text[at + next]) & 0x3fU);
    }
    constexpr std::array<char32_t, 5> smallest = {0, 0, 0x80, 0x800, 0x10000};
    const bool surrogate = value >= 0xd800 && value <= 0xdfff;
    if (value < smallest.at(bytes) || value > 0x10ffff || surrogate) return {};
    return {value, bytes};
}

bool is_visible(char32_t value) {
    return !is_control(value) && !is_deceptive(value);
}

std::vector<Complaint> check_text(const std::string& text) {
    if (text.size() > largest_profile) {
        return {{1, 1, "larger than 64 KiB, which no profile needs; is this the right file?"}};
    }
    if (text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff")) {
        return {{1, 1, "encoded as UTF-16, save the file as UTF-8"}};
    }
    std::vector<Complaint> complaints;
    Position here;
    for (std::size_t at = 0; at < text.size() && complaints.size() < most_complaints;) {
        const CodePoint point = code_point(text, at);
        if (auto text_wrong = objection(text, at, point); !text_wrong.empty()) {
            complaints.push_back({here.line, here.column, std::move(text_wrong)});
        }
        at += point.bytes == 0 ? 1 : point.bytes;
        while (point.bytes == 0 && continues(text, at)) ++at;  // the rest of the same broken character
        here = point.value == '\n' ? Position{here.line + 1, 1} : Position{here.line, here.column + 1};
    }
    return complaints;
}

}  // namespace makina
