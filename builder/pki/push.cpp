#include "builder/pki/push.hpp"

#include <algorithm>
#include <sstream>
#include <string>
#include <string_view>

#include "builder/pki/folder.hpp"
#include "firstboot/bundle/encoding.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/payload.hpp"

namespace makina {
namespace {

constexpr std::string_view openssh = "-----BEGIN OPENSSH PRIVATE KEY-----";

bool is_printable(std::string_view text) {
    return std::ranges::all_of(text, [](char c) { return c == '\t' || (c >= ' ' && c <= '~'); });
}

std::string trimmed(const std::string& text) {
    const auto first = text.find_first_not_of(" \t\r");
    return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

std::vector<std::string> lines_of(const std::filesystem::path& file) {
    std::istringstream text(read_private(file, largest_payload));
    std::vector<std::string> lines;
    for (std::string line; std::getline(text, line);) {
        if (!is_printable(trimmed(line))) throw Error(file.string() + ": not a file of text");
        lines.push_back(trimmed(line));
    }
    return lines;
}

/// PROTOCOL.key of OpenSSH: the words "openssh-key-v1", a zero byte, and the cipher's name with four bytes of length.
/// The older forms say ENCRYPTED in their first lines.
bool has_passphrase(const std::vector<std::string>& key) {
    std::string body;
    for (const std::string& line : key) {
        if (line.find("ENCRYPTED") != std::string::npos) return true;
        if (!line.starts_with("-----")) body += line;
    }
    constexpr std::string_view plain("openssh-key-v1\0\0\0\0\4none", 23);
    return key.front() == openssh && !from_base64(body).starts_with(plain);
}

bool names_a_host(const std::string& line) {
    std::istringstream words(line);
    std::string host;
    std::string kind;
    std::string key;
    return static_cast<bool>(words >> host >> kind >> key);
}

std::string joined(const std::vector<std::string>& lines) {
    std::string text;
    for (const std::string& line : lines) text += line + "\n";
    return text;
}

}  // namespace

std::vector<Payload> ssh_credentials(const std::filesystem::path& file) {
    const std::vector<std::string> lines = lines_of(file);
    const auto is_mark = [](const std::string& word) {
        return [word](const std::string& line) {
            return line.starts_with("-----" + word + " ") && line.ends_with("PRIVATE KEY-----");
        };
    };
    const auto begin = std::ranges::find_if(lines, is_mark("BEGIN"));
    const auto end = std::find_if(begin, lines.end(), is_mark("END"));
    if (end == lines.end()) throw Error(file.string() + ": there is no private key in it");
    const std::vector<std::string> key(begin, end + 1);
    if (has_passphrase(key)) {
        throw Error(file.string() +
                    ": the private key has a passphrase, and nobody is there to type it: make one without");
    }
    std::vector<std::string> hosts(lines.begin(), begin);
    hosts.insert(hosts.end(), end + 1, lines.end());
    std::erase_if(hosts, [](const std::string& line) { return line.empty() || line.front() == '#'; });
    if (hosts.empty() || !std::ranges::all_of(hosts, names_a_host)) {
        throw Error(file.string() +
                    ": the host's lines of known_hosts are to follow the key: ssh-keyscan HOST prints "
                    "them; compare them with the host's own");
    }
    return {{"snapshots-known-hosts", joined(hosts)}, {"snapshots-ssh.key", joined(key)}};
}

std::vector<Payload> s3_credentials(const std::filesystem::path& file) {
    std::string id;
    std::string secret;
    for (const std::string& line : lines_of(file)) {
        if (line.empty() || line.front() == '#' || line.front() == '[') continue;
        const auto equals = std::min(line.find('='), line.size());
        const std::string name = trimmed(line.substr(0, equals));
        std::string* const value = name == "aws_access_key_id"       ? &id
                                   : name == "aws_secret_access_key" ? &secret
                                                                     : nullptr;
        if (value == nullptr) throw Error(file.string() + ": a line is neither of the two keys");
        if (!value->empty()) throw Error(file.string() + ": " + name + " is there twice");
        *value = equals == line.size() ? "" : trimmed(line.substr(equals + 1));
    }
    // What curl's file of settings and the header of the signature take as it is.
    const auto fits = [](const std::string& text, std::string_view more) {
        return !text.empty() && std::ranges::all_of(text, [&](char c) {
            return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                   more.find(c) != std::string_view::npos;
        });
    };
    if (!fits(id, "-_.")) throw Error(file.string() + ": aws_access_key_id is missing, or has a character of no key");
    if (!fits(secret, "-_.+/=~")) {
        throw Error(file.string() + ": aws_secret_access_key is missing, or has a character of no key");
    }
    return {{"snapshots-s3", "user = \"" + id + ":" + secret + "\"\n"}};
}

}  // namespace makina
