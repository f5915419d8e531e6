#include "firstboot/bundle/bundle.hpp"

#include <algorithm>
#include <initializer_list>
#include <limits>

#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/lines.hpp"
#include "firstboot/bundle/payload.hpp"

namespace makina {
namespace {

/// The last second of the year 9999, which X.509 (RFC 5280, 4.1.2.5) cannot go beyond either.
constexpr std::uint64_t latest = 253402300799;

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> words) {
    return std::find(words.begin(), words.end(), text) != words.end();
}

bool is_ipv4(std::string_view text) {
    for (int part = 0; part < 4; ++part) {
        const std::size_t dot = text.find('.');
        std::uint64_t number = 0;
        if ((dot == std::string_view::npos) != (part == 3)) return false;
        if (!read_number(text.substr(0, dot), number) || number > 255) return false;
        text.remove_prefix(part == 3 ? text.size() : dot + 1);
    }
    return true;
}

bool is_cidr(std::string_view text) {
    const std::size_t slash = text.find('/');
    std::uint64_t length = 0;
    return slash != std::string_view::npos && is_ipv4(text.substr(0, slash)) &&
           read_number(text.substr(slash + 1), length) && length >= 1 && length <= 32;
}

bool is_domain(std::string_view text) {
    if (text.size() > 253) return false;
    for (std::size_t dot = text.find('.'); dot != std::string_view::npos; dot = text.find('.')) {
        if (!is_dns_label(text.substr(0, dot))) return false;
        text.remove_prefix(dot + 1);
    }
    // A last label of digits alone would be a bad IPv4 address, not a name.
    std::uint64_t number = 0;
    return is_dns_label(text) && !read_number(text, number);
}

bool is_endpoint(std::string_view text) {
    const std::size_t colon = text.find(':');
    std::uint64_t port = 0;
    if (colon == std::string_view::npos || !read_number(text.substr(colon + 1), port)) return false;
    const std::string_view host = text.substr(0, colon);
    return port >= 1 && port <= 65535 && (is_ipv4(host) || is_domain(host));
}

bool is_mac(std::string_view text) {
    if (text.size() != 17) return false;
    for (std::size_t i = 0; i < text.size(); i += 3) {
        if (!is_hex(text.substr(i, 2), 2) || (i + 2 < text.size() && text[i + 2] != ':')) return false;
    }
    return true;
}

/// Linux's own rules for a name (dev_valid_name: at most 15 bytes, no slash), narrowed to characters that need no care.
bool is_interface(std::string_view text) {
    const auto fits = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
               c == '.';
    };
    return text.size() <= 15 && text.front() != '.' && text.front() != '-' &&
           std::all_of(text.begin(), text.end(), fits);
}

template <typename Check>
std::string read_checked(Lines& lines, std::string_view key, const char* rule, Check check) {
    const std::string_view text = lines.value(key);
    if (!check(text)) lines.refuse("\"" + std::string(key) + "\" is " + rule);
    return std::string(text);
}

void read_where(Lines& lines, Bundle& bundle) {
    bundle.architecture = read_checked(lines, "architecture", "neither arm64 nor amd64", [](std::string_view text) {
        return is_one_of(text, {"arm64", "amd64"});
    });
    bundle.board = read_checked(lines, "board", "no board that this program knows", [](std::string_view text) {
        return is_one_of(text, {"rpi3", "rpi4", "rpi5", "generic"});
    });
    if (lines.follows("serial")) bundle.serial = lines.hex("serial", 16);
    if (lines.follows("mac")) bundle.mac = read_checked(lines, "mac", "no lower-case aa:bb:cc:dd:ee:ff", is_mac);
    bundle.address = read_checked(lines, "address", "no IPv4 address with its prefix length", is_cidr);
    if (lines.follows("interface")) {
        bundle.interface = read_checked(lines, "interface", "no name of an interface", is_interface);
    }
    bundle.api = read_checked(lines, "api", "no host and port", is_endpoint);
    bundle.spare = lines.number("spare", 0, std::numeric_limits<std::int64_t>::max());
}

void read_genesis(Lines& lines, Bundle& bundle) {
    if (!lines.follows("genesis")) return;
    const std::string_view text = lines.value("genesis");
    const std::size_t space = std::min(text.find(' '), text.size());
    bundle.genesis = text.substr(0, space);
    bundle.genesis_again = text.substr(space) == " again";
    if (!is_hex(bundle.genesis, 32) || (!bundle.genesis_again && text.substr(space) != " first")) {
        lines.refuse("\"genesis\" is without 32 lower-case hex digits, and first or again");
    }
    if (!lines.follows("restore")) return;
    bundle.restore = lines.hex("restore", 64);
    if (bundle.role != "etcd") lines.refuse("only etcd begins from a snapshot");
}

/// A line "peer NAME ROLE ADDRESS".
Peer read_peer(Lines& lines) {
    const std::string_view text = lines.value("peer");
    const std::size_t first = text.find(' ');
    const std::size_t second = first == std::string_view::npos ? first : text.find(' ', first + 1);
    if (second == std::string_view::npos) lines.refuse("\"peer\" is without name, role and address");
    Peer peer{std::string(text.substr(0, first)), std::string(text.substr(first + 1, second - first - 1)),
              std::string(text.substr(second + 1))};
    if (!is_dns_label(peer.name) || !is_role(peer.role) || !is_ipv4(peer.address)) {
        lines.refuse("\"peer\" is not a name, a role and an IPv4 address");
    }
    return peer;
}

void read_peers(Lines& lines, Bundle& bundle) {
    while (lines.follows("peer")) {
        bundle.peers.push_back(read_peer(lines));
        const std::size_t count = bundle.peers.size();
        if (count > Bundle::most_peers) lines.refuse("there are too many peers");
        if (count > 1 && bundle.peers[count - 2].name >= bundle.peers.back().name) {
            lines.refuse("the peers' names do not ascend");
        }
    }
}

Bundle read_header(Lines& lines) {
    Bundle bundle;
    lines.expect(Bundle::context);
    bundle.cluster_id = lines.hex("cluster-id", 32);
    bundle.cluster = lines.label("cluster");
    bundle.node = lines.label("node");
    bundle.role = lines.role("role");
    bundle.card = lines.hex("card", 32);
    bundle.epoch = lines.number("epoch", 1, std::numeric_limits<std::uint64_t>::max());
    const std::uint64_t issued = lines.number("issued", 1, latest - 1);
    bundle.issued = static_cast<std::int64_t>(issued);
    bundle.expires = static_cast<std::int64_t>(lines.number("expires", issued + 1, latest));
    read_where(lines, bundle);
    read_genesis(lines, bundle);
    read_peers(lines, bundle);
    return bundle;
}

/// A line "payload NAME SIZE SHA256".
struct Announced {
    std::string name;
    std::uint64_t size = 0;
    std::string sha256;
};

Announced read_announced(Lines& lines, const std::string& role) {
    const std::string_view text = lines.value("payload");
    const std::size_t first = text.find(' ');
    const std::size_t second = first == std::string_view::npos ? first : text.find(' ', first + 1);
    if (second == std::string_view::npos) lines.refuse("\"payload\" is without name, size and SHA-256");
    Announced announced;
    announced.name = text.substr(0, first);
    announced.sha256 = text.substr(second + 1);
    if (payload_kind(role, announced.name) == nullptr) lines.refuse("a " + role + " has no payload of this name");
    if (!read_number(text.substr(first + 1, second - first - 1), announced.size) || announced.size > largest_payload) {
        lines.refuse("the payload's size is no number up to " + std::to_string(largest_payload));
    }
    if (!is_hex(announced.sha256, 64)) lines.refuse("the payload's SHA-256 is not 64 lower-case hex digits");
    return announced;
}

void write_line(std::string& text, std::string_view key, std::string_view value) {
    text.append(key).append(" ").append(value).append("\n");
}

std::string written(const Bundle& bundle) {
    std::string text = std::string(Bundle::context) + "\n";
    write_line(text, "cluster-id", bundle.cluster_id);
    write_line(text, "cluster", bundle.cluster);
    write_line(text, "node", bundle.node);
    write_line(text, "role", bundle.role);
    write_line(text, "card", bundle.card);
    write_line(text, "epoch", std::to_string(bundle.epoch));
    write_line(text, "issued", std::to_string(bundle.issued));
    write_line(text, "expires", std::to_string(bundle.expires));
    write_line(text, "architecture", bundle.architecture);
    write_line(text, "board", bundle.board);
    if (!bundle.serial.empty()) write_line(text, "serial", bundle.serial);
    if (!bundle.mac.empty()) write_line(text, "mac", bundle.mac);
    write_line(text, "address", bundle.address);
    if (!bundle.interface.empty()) write_line(text, "interface", bundle.interface);
    write_line(text, "api", bundle.api);
    write_line(text, "spare", std::to_string(bundle.spare));
    if (!bundle.genesis.empty()) {
        write_line(text, "genesis", bundle.genesis + (bundle.genesis_again ? " again" : " first"));
    }
    if (!bundle.restore.empty()) write_line(text, "restore", bundle.restore);
    for (const Peer& peer : bundle.peers) write_line(text, "peer", peer.name + " " + peer.role + " " + peer.address);
    for (const Payload& payload : bundle.payloads) {
        write_line(text, "payload",
                   payload.name + " " + std::to_string(payload.content.size()) + " " + sha256(payload.content));
    }
    text += "end\n";
    for (const Payload& payload : bundle.payloads) text += payload.content;
    return text;
}

}  // namespace

std::string encode(const Bundle& bundle) {
    std::string text = written(bundle);
    // What is valid is decided in one place: where it is read.
    Bundle read;
    try {
        read = decode_bundle(text);
    } catch (const Untrusted& error) {
        throw Error(std::string("the bundle cannot be written: ") + error.what());
    }
    if (read != bundle) throw Error("the bundle cannot be written: a value has a line break in it");
    return text;
}

Bundle decode_bundle(std::string_view content) {
    if (content.size() > Bundle::largest) throw Untrusted("the bundle is larger than any can be");
    Lines lines(content);
    Bundle bundle = read_header(lines);
    std::vector<Announced> announced;
    while (lines.follows("payload")) {
        announced.push_back(read_announced(lines, bundle.role));
        if (announced.size() > 1 && announced[announced.size() - 2].name >= announced.back().name) {
            lines.refuse("the payloads' names do not ascend");
        }
    }
    lines.expect("end");
    std::string_view rest = lines.rest();
    for (Announced& payload : announced) {
        if (rest.size() < payload.size) lines.refuse("payload " + payload.name + " ends early");
        const std::string_view bytes = rest.substr(0, payload.size);
        if (sha256(bytes) != payload.sha256) lines.refuse("payload " + payload.name + " has another SHA-256");
        bundle.payloads.push_back({std::move(payload.name), std::string(bytes)});
        rest.remove_prefix(payload.size);
    }
    if (!rest.empty()) lines.refuse("bytes that no payload accounts for");
    return bundle;
}

Bundle without_payloads(const Bundle& bundle) {
    Bundle bare = bundle;
    bare.payloads.clear();
    return bare;
}

}  // namespace makina
