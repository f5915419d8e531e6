#include "builder/profile/syntax.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace makina {
namespace {

std::optional<std::uint64_t> whole_number(std::string_view text) {
    std::uint64_t value = 0;
    if (text.empty() || !std::ranges::all_of(text, is_digit) || (text.size() > 1 && text[0] == '0'))
        return std::nullopt;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc{} && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

std::optional<std::uint64_t> bytes(std::string_view text) {
    constexpr std::array<std::pair<std::string_view, int>, 4> units = {
        {{"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}}};
    for (const auto& [unit, shift] : units) {
        if (!text.ends_with(unit)) continue;
        const auto value = whole_number(text.substr(0, text.size() - unit.size()));
        return value && *value < (1ULL << 20) ? std::optional(*value << shift) : std::nullopt;
    }
    return std::nullopt;
}

std::string lower(std::string text) {
    for (char& letter : text) {
        if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
    }
    return text;
}

bool is_hexadecimal(char letter) {
    return is_digit(letter) || (letter >= 'a' && letter <= 'f');
}

bool is_label(std::string_view text) {
    const auto fits = [](char letter) { return is_lower(letter) || is_digit(letter) || letter == '-'; };
    return !text.empty() && text.size() <= 63 && std::ranges::all_of(text, fits) && text.front() != '-' &&
           text.back() != '-';
}

bool is_domain(const std::string& text) {
    if (text.size() > 253) return false;
    std::size_t begin = 0;
    for (std::size_t dot = 0; dot != std::string::npos; begin = dot + 1) {
        dot = text.find('.', begin);
        if (!is_label(std::string_view(text).substr(begin, dot == std::string::npos ? dot : dot - begin))) return false;
    }
    return true;
}

/// A name, or an address; "300.1.1.1" is meant as an address and is none.
bool is_host(const std::string& text) {
    return is_made_of(text, ".") && text.find_first_not_of("0123456789.") == std::string::npos
               ? parse_address(text).has_value()
               : is_domain(text);
}

std::optional<std::string> hardware_address(const std::string& text) {
    const std::string address = lower(text);
    if (address.size() != 17 || address == "00:00:00:00:00:00") return std::nullopt;
    for (std::size_t at = 0; at < address.size(); ++at) {
        if (at % 3 == 2 ? address[at] != ':' : !is_hexadecimal(address[at])) return std::nullopt;
    }
    // The lowest bit of the first byte marks a group of cards (IEEE 802).
    const bool group = std::string_view("13579bdf").find(address[1]) != std::string_view::npos;
    return group ? std::nullopt : std::optional(address);
}

/// Decimal digits with a unit, repeated: "1h30m", not zero as a whole.
bool is_duration(const std::string& text) {
    bool digits = false, positive = false;
    for (const char letter : text) {
        const bool unit = letter == 'h' || letter == 'm' || letter == 's';
        if (unit ? !digits : !is_digit(letter)) return false;
        digits = !unit;
        positive = positive || (letter >= '1' && letter <= '9');
    }
    return positive && !digits && text.size() <= 16;
}

/// A reference that names one image, by its tag, its digest or both (github.com/distribution/reference, the grammar).
bool is_container_image(const std::string& text) {
    constexpr std::string_view begins = "sha256:";
    const auto at = std::min(text.find('@'), text.size());
    const std::string_view digest = std::string_view(text).substr(std::min(at + 1, text.size()));
    const bool by_digest = digest.size() == begins.size() + 64 && digest.starts_with(begins) &&
                           std::ranges::all_of(digest.substr(begins.size()), is_hexadecimal);
    if (at != text.size() && !by_digest) return false;
    const std::string_view named = std::string_view(text).substr(0, at);
    const auto last = named.rfind('/') + 1;  // 0 if there is no slash
    const auto colon = std::min(named.find(':', last), named.size());
    const std::string_view name = named.substr(last, colon - last);
    const std::string_view tag = named.substr(std::min(colon + 1, named.size()));
    const auto fits = [](char letter) {
        return is_lower(letter) || is_digit(letter) || letter == '.' || letter == '_' || letter == '-';
    };
    const bool by_tag = tag.size() <= 128 && is_made_of(tag, "._-") && tag.front() != '.' && tag.front() != '-';
    return text.size() <= 255 && !name.empty() && std::ranges::all_of(name, fits) &&
           (last == 0 || is_made_of(named.substr(0, last), "._-:/")) && named.front() != '/' &&
           (colon == named.size() ? by_digest : by_tag && tag != "latest");
}

bool is_quantity(std::string_view text, const std::vector<std::string_view>& units) {
    const auto unit = std::min(text.find_first_not_of("0123456789."), text.size());
    const std::string_view amount = text.substr(0, unit);
    const auto point = std::min(amount.find('.'), amount.size());
    const bool fraction = point == amount.size() || (point + 1 < amount.size() && amount.rfind('.') == point);
    return point > 0 && point < 10 && amount.size() < 16 && fraction &&
           amount.find_first_not_of("0.") != std::string_view::npos &&
           std::ranges::find(units, text.substr(unit)) != units.end();
}

}  // namespace

bool is_digit(char letter) {
    return letter >= '0' && letter <= '9';
}
bool is_lower(char letter) {
    return letter >= 'a' && letter <= 'z';
}
bool is_alphanumeric(char letter) {
    return is_digit(letter) || is_lower(letter) || (letter >= 'A' && letter <= 'Z');
}
bool is_made_of(std::string_view text, std::string_view others) {
    const auto fits = [&](char letter) { return is_alphanumeric(letter) || others.find(letter) != others.npos; };
    return !text.empty() && std::ranges::all_of(text, fits);
}
bool is_printable(std::string_view text) {
    return std::ranges::all_of(text, [](char letter) { return letter >= ' ' && letter <= '~'; });
}

Rule<std::string> text_that(std::string wanted, bool (*fits)(const std::string&)) {
    return {std::move(wanted),
            [fits](const std::string& text) { return fits(text) ? std::optional(text) : std::nullopt; }};
}

Rule<std::uint64_t> number(std::uint64_t lowest, std::uint64_t highest) {
    return {"a number from " + std::to_string(lowest) + " to " + std::to_string(highest), [=](const std::string& text) {
                const auto value = whole_number(text);
                return value && *value >= lowest && *value <= highest ? value : std::nullopt;
            }};
}
Rule<std::uint64_t> port() {
    return {"a port from 1 to 65535", number(1, 65535).parse};
}
Rule<std::uint64_t> size(std::uint64_t lowest, std::uint64_t highest, const std::string& range) {
    return {"a size " + range + ", written as in 512MiB or 2GiB", [=](const std::string& text) {
                const auto value = bytes(text);
                return value && *value >= lowest && *value <= highest ? value : std::nullopt;
            }};
}
Rule<bool> yes_or_no() {
    return {"true or false", [](const std::string& text) {
                return text == "true" || text == "false" ? std::optional(text == "true") : std::nullopt;
            }};
}

Rule<Address> address() {
    return {"an IPv4 address such as 192.168.3.10", [](const std::string& text) { return parse_address(text); }};
}
Rule<Subnet> subnet() {
    return {"a range of addresses such as 192.168.3.0/24", [](const std::string& text) { return parse_subnet(text); }};
}
Rule<std::string> mac() {
    return {"the address of a network card such as dc:a6:32:01:02:03", hardware_address};
}
Rule<std::string> serial() {
    return {"a board's serial number, 8 or 16 hex digits as in /proc/cpuinfo", [](const std::string& text) {
                std::string digits;
                for (const char digit : text) {
                    const bool upper = digit >= 'A' && digit <= 'F';
                    digits += upper ? static_cast<char>(digit - 'A' + 'a') : digit;
                }
                const bool hex = digits.find_first_not_of("0123456789abcdef") == digits.npos;
                if (!hex || (digits.size() != 8 && digits.size() != 16)) return std::optional<std::string>();
                // Boards before the Pi 4 print 8 digits after as many zeros; the device tree has all 16.
                return std::optional(std::string(16 - digits.size(), '0') + digits);
            }};
}
Rule<std::string> label() {
    return text_that("a name of lower-case letters, digits and inner hyphens, at most 63",
                     [](const std::string& text) { return is_label(text); });
}
Rule<std::string> domain() {
    return text_that("a domain name in lower case such as cluster.local", is_domain);
}
Rule<std::string> host() {
    return text_that("a host name in lower case or an IPv4 address", is_host);
}
Rule<std::string> interface_name() {
    return text_that("a network interface such as eth0, at most 15 letters, digits, dots or hyphens",
                     [](const std::string& text) {
                         return text.size() <= 15 && is_made_of(text, ".-_") && text != "." && text != "..";
                     });
}
bool is_web_address(std::string_view text) {
    return text.starts_with("http://") || text.starts_with("https://");
}
Rule<std::string> web_address() {
    return text_that("an address that begins with http:// or https://", [](const std::string& text) {
        if (!is_web_address(text) || !is_made_of(text, "-._~:/?#@%&=+,;")) return false;
        const auto begin = text.find("//") + 2;
        return begin < text.size() && is_alphanumeric(text[begin]);
    });
}

Rule<std::string> container_image() {
    return text_that("a container image of one version such as docker.io/library/haproxy:3.0.11-alpine",
                     is_container_image);
}

Rule<Version> version() {
    return {"a version of three numbers such as 1.34.1", [](const std::string& text) { return parse_version(text); }};
}
Rule<std::string> release() {
    return text_that("a Debian release such as trixie", [](const std::string& text) {
        return text.size() <= 32 && is_made_of(text, "-") &&
               std::ranges::all_of(text,
                                   [](char letter) { return is_lower(letter) || is_digit(letter) || letter == '-'; }) &&
               is_lower(text.front());
    });
}
Rule<std::string> sha256() {
    return {"a sha256 of 64 hexadecimal digits", [](const std::string& text) {
                const std::string sum = lower(text);
                return sum.size() == 64 && std::ranges::all_of(sum, is_hexadecimal) ? std::optional(sum) : std::nullopt;
            }};
}
Rule<std::string> duration() {
    return text_that("a duration such as 8h or 1h30m", is_duration);
}
Rule<std::string> cpu() {
    return text_that("an amount of processors such as 1500m or 2", [](const std::string& text) {
        return is_quantity(text, {"", "m"}) && !(text.ends_with('m') && text.find('.') != std::string::npos);
    });
}
Rule<std::string> memory() {
    return text_that("an amount of memory such as 1Gi or 512Mi", [](const std::string& text) {
        return is_quantity(text, {"", "k", "M", "G", "Ki", "Mi", "Gi"});
    });
}
Rule<std::string> file_name() {
    return text_that("the name of a file", [](const std::string& text) {
        const auto control = [](char letter) { return static_cast<unsigned char>(letter) < 0x20 || letter == 0x7f; };
        return !text.empty() && text.size() <= 4096 && std::ranges::none_of(text, control);
    });
}

}  // namespace makina
