#include "builder/profile/spelling.hpp"

#include <algorithm>

#include "builder/profile/profile.hpp"
#include "builder/profile/text.hpp"

namespace makina {
namespace {

/// Edits that turn `a` into `b`: insert, delete, replace, or swap two neighbours ("roel" is one edit from "role").
std::size_t edit_distance(const std::string& a, const std::string& b) {
    std::vector<std::size_t> before_last, last(b.size() + 1), current(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        current[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t replace = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
            current[j] = std::min({last[j] + 1, current[j - 1] + 1, replace});
            const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped) current[j] = std::min(current[j], before_last[j - 2] + 1);
        }
        before_last = last;
        std::swap(last, current);
    }
    return last[b.size()];
}

}  // namespace

std::optional<std::string> did_you_mean(const std::string& word, const std::vector<std::string>& candidates) {
    std::size_t nearest = std::max<std::size_t>(1, word.size() / 3) + 1;
    std::optional<std::string> found;
    for (const auto& candidate : candidates) {
        const auto [shorter, longer] = std::minmax({word.size(), candidate.size()});
        if (longer - shorter >= nearest) continue;
        if (const std::size_t distance = edit_distance(word, candidate); distance < nearest) {
            nearest = distance;
            found = candidate;
        }
    }
    return found;
}

std::string visible(const std::string& text, std::size_t longest) {
    constexpr std::string_view hex = "0123456789abcdef";
    std::string result;
    std::size_t at = 0;
    while (at < text.size() && at < longest) {
        const CodePoint point = code_point(text, at);
        if (point.bytes != 0 && is_visible(point.value)) {
            result += text.substr(at, point.bytes);
            at += point.bytes;
        } else {
            const auto byte = static_cast<unsigned char>(text[at++]);
            result += {'\\', 'x', hex[byte >> 4], hex[byte & 15U]};
        }
    }
    return at < text.size() ? result + "..." : result;
}

std::string in_quotes(const std::string& text) {
    std::string escaped;
    for (const char letter : text) {
        if (letter == '"' || letter == '\\') escaped += '\\';
        escaped += letter;
    }
    return '"' + visible(escaped, 60) + '"';
}

std::string suggestion(const std::string& word, const std::vector<std::string>& candidates) {
    const auto meant = did_you_mean(word, candidates);
    return meant ? ", did you mean " + in_quotes(*meant) + "?" : "";
}

std::string enumerate(const std::vector<std::string>& words, const std::string& last) {
    std::string text;
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (i > 0) text += i + 1 == words.size() ? last : ", ";
        text += words[i];
    }
    return text;
}

}  // namespace makina
