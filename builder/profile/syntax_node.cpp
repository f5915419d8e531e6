#include <algorithm>
#include <array>
#include <filesystem>

#include "builder/profile/syntax.hpp"

namespace makina {
namespace {

/// The bytes of a base64 text (RFC 4648 section 4, with padding), or nothing.
std::optional<std::string> decode_base64(std::string_view text) {
    constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (text.empty() || text.size() % 4 != 0) return std::nullopt;
    const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
    std::string bytes;
    std::uint32_t bits = 0;
    for (std::size_t at = 0; at < text.size(); ++at) {
        const bool pad = at >= text.size() - padding;
        const auto value = pad ? 0 : alphabet.find(text[at]);
        if (value == std::string_view::npos) return std::nullopt;
        bits = bits << 6 | static_cast<std::uint32_t>(value);
        if (at % 4 != 3) continue;
        for (const int shift : {16, 8, 0}) bytes += static_cast<char>(bits >> shift & 255U);
    }
    bytes.resize(bytes.size() - padding);
    return bytes;
}

/// RFC 4253 section 6.6: the key itself begins with its type, so a key that lost a piece is noticed here and not
/// when nobody can log in.
bool is_ssh_key(const std::string& text) {
    constexpr std::array<std::string_view, 7> types = {"ssh-ed25519",
                                                       "ecdsa-sha2-nistp256",
                                                       "ecdsa-sha2-nistp384",
                                                       "ecdsa-sha2-nistp521",
                                                       "sk-ssh-ed25519@openssh.com",
                                                       "sk-ecdsa-sha2-nistp256@openssh.com",
                                                       "ssh-rsa"};
    const auto type_end = text.find(' ');
    const std::string type = text.substr(0, type_end);
    if (!is_printable(text) || type_end == std::string::npos || std::ranges::find(types, type) == types.end()) {
        return false;
    }
    const std::string_view rest = std::string_view(text).substr(type_end + 1);
    const auto key = decode_base64(rest.substr(0, rest.find(' ')));
    const std::string begin = std::string(3, '\0') + static_cast<char>(type.size()) + type;
    return key && key->size() >= begin.size() + 36 && key->starts_with(begin);
}

bool is_user(const std::string& text) {
    constexpr std::array<std::string_view, 25> taken = {
        "root",       "daemon", "bin",     "sys",        "sync",    "games",   "man", "lp",     "mail",
        "news",       "uucp",   "proxy",   "www-data",   "backup",  "list",    "irc", "nobody", "sshd",
        "messagebus", "etcd",   "haproxy", "keepalived", "dnsmasq", "_chrony", "_apt"};
    const auto fits = [](char letter) {
        return is_lower(letter) || is_digit(letter) || letter == '-' || letter == '_';
    };
    return !text.empty() && text.size() <= 32 && std::ranges::all_of(text, fits) &&
           (is_lower(text[0]) || text[0] == '_') && !text.starts_with("systemd-") &&
           std::ranges::find(taken, text) == taken.end();
}

bool is_package(const std::string& text) {
    const auto equals = text.find('=');
    const std::string_view name = std::string_view(text).substr(0, equals);
    const auto fits = [](char letter) {
        return is_lower(letter) || is_digit(letter) || letter == '+' || letter == '-' || letter == '.';
    };
    if (name.size() < 2 || !std::ranges::all_of(name, fits) || !is_alphanumeric(name[0])) return false;
    if (equals == std::string::npos) return true;
    const std::string_view version = std::string_view(text).substr(equals + 1);
    return is_made_of(version, ".+~:-") && is_digit(version[0]);
}

bool is_node_path(const std::string& text) {
    constexpr std::array<std::string_view, 5> fleeting = {"/proc/", "/sys/", "/dev/", "/run/", "/tmp/"};
    const std::filesystem::path path(text);
    return text.size() > 1 && text.size() <= 4095 && text.starts_with('/') && !text.starts_with("//") &&
           !text.ends_with('/') && is_printable(text) && path.lexically_normal() == path &&
           std::ranges::none_of(path, [](const auto& part) { return part == ".." || part.native().size() > 255; }) &&
           std::ranges::none_of(fleeting, [&](std::string_view folder) { return text.starts_with(folder); });
}

/// kubernetes.io "Labels and Selectors": letters, digits, - _ . inside, at most 63.
bool is_label_name(std::string_view text) {
    return text.size() <= 63 && is_made_of(text, "-_.") && is_alphanumeric(text.front()) &&
           is_alphanumeric(text.back());
}

bool is_taint(const std::string& text) {
    const auto colon = text.rfind(':');
    if (colon == std::string::npos) return false;
    const std::string effect = text.substr(colon + 1);
    const std::string_view pair = std::string_view(text).substr(0, colon);
    const auto equals = pair.find('=');
    const bool value =
        equals == std::string_view::npos || equals + 1 == pair.size() || is_label_name(pair.substr(equals + 1));
    return (effect == "NoSchedule" || effect == "PreferNoSchedule" || effect == "NoExecute") && value &&
           is_label_key(pair.substr(0, equals));
}

}  // namespace

bool is_label_key(std::string_view text) {
    const auto slash = text.find('/');
    if (slash == std::string_view::npos) return is_label_name(text);
    return domain().parse(std::string(text.substr(0, slash))).has_value() && is_label_name(text.substr(slash + 1));
}

Rule<std::string> label_value() {
    return text_that("a label's value: letters, digits and inner -, _ or ., at most 63",
                     [](const std::string& text) { return text.empty() || is_label_name(text); });
}
Rule<std::string> taint() {
    return text_that("a taint such as disk=slow:NoSchedule, with NoSchedule, PreferNoSchedule or NoExecute", is_taint);
}
Rule<std::string> user() {
    return text_that("a user name of lower-case letters, digits, - or _ that the system does not use itself", is_user);
}
Rule<std::string> ssh_key() {
    return text_that("a whole public key in one line, as in ~/.ssh/id_ed25519.pub", is_ssh_key);
}
Rule<std::string> package() {
    return text_that("a Debian package such as htop or htop=3.4.1-5", is_package);
}
Rule<std::string> node_path() {
    return text_that("a full path without .. such as /etc/motd, outside /proc, /sys, /dev, /run and /tmp",
                     is_node_path);
}
Rule<std::uint64_t> file_mode() {
    return {"permissions in octal such as 0644", [](const std::string& text) -> std::optional<std::uint64_t> {
                const bool octal = text.find_first_not_of("01234567") == std::string::npos;
                if (!octal || text.size() < 3 || text.size() > 4) return std::nullopt;
                return std::stoul(text, nullptr, 8);
            }};
}
Rule<std::string> kernel_argument() {
    return text_that("one kernel argument without blanks or quotes", [](const std::string& text) {
        return !text.empty() && text.size() <= 256 && is_printable(text) && text.find_first_of(" \"'\\") == text.npos;
    });
}
Rule<std::string> sysctl_name() {
    return text_that("a sysctl such as net.ipv4.ip_forward", [](const std::string& text) {
        return is_made_of(text, "._-/") && text.find_first_of("./") != text.npos && text.find("..") == text.npos &&
               is_alphanumeric(text.front()) && is_alphanumeric(text.back());
    });
}
Rule<std::string> one_line() {
    return text_that("one line of plain text", [](const std::string& text) {
        return !text.empty() && is_printable(text) && text.front() != ' ' && text.back() != ' ';
    });
}
Rule<std::string> config_line() {
    return text_that("one line of config.txt, at most 98 characters",
                     [](const std::string& text) { return !text.empty() && text.size() <= 98 && is_printable(text); });
}

}  // namespace makina
