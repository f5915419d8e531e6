#include "firstboot/bundle/trust.hpp"

#include <algorithm>
#include <cstdint>

#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/lines.hpp"

namespace makina {
namespace {

constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::size_t most_revoked = 64;
constexpr std::string_view first_line = "makina-trust 1";

/// RFC 4648, 4: padded, without line breaks.
std::string to_base64(std::string_view bytes) {
    std::string text;
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        std::uint32_t group = 0;
        for (std::size_t j = 0; j < 3; ++j) {
            group = group << 8 | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0U);
        }
        for (std::size_t j = 0; j < 4; ++j) {
            text += i + j > bytes.size() ? '=' : digits[group >> (18 - 6 * j) & 63];
        }
    }
    return text;
}

/// The bytes of strict base64, or nothing at all: unused bits that are not zero are refused by writing it again.
std::string from_base64(std::string_view text) {
    std::string bytes;
    std::uint32_t bits = 0;
    unsigned int held = 0;
    const std::size_t end = std::min(text.find('='), text.size());
    for (const char c : text.substr(0, end)) {
        const std::size_t value = digits.find(c);
        if (value == std::string_view::npos) return {};
        bits = bits << 6 | static_cast<std::uint32_t>(value);
        held += 6;
        if (held >= 8) {
            held -= 8;
            bytes += static_cast<char>(bits >> held & 255);
        }
    }
    return to_base64(bytes) == text ? bytes : std::string();
}

template <typename T>
bool repeats(const std::vector<T>& list) {
    return std::find(list.begin(), list.end() - 1, list.back()) != list.end() - 1;
}

}  // namespace

std::string encode(const Trust& trust) {
    std::string text = std::string(first_line) + "\ncluster-id " + trust.cluster_id + "\nnode " + trust.node +
                       "\nrole " + trust.role + "\n";
    for (const std::string& anchor : trust.anchors) text += "anchor " + to_base64(anchor) + "\n";
    for (const std::string& signer : trust.revoked) text += "revoked " + signer + "\n";
    Trust read;
    try {
        read = decode_trust(text);
    } catch (const Untrusted& error) {
        throw Error(std::string("the trust file cannot be written: ") + error.what());
    }
    if (read != trust) throw Error("the trust file cannot be written: a value has a line break in it");
    return text;
}

Trust decode_trust(std::string_view text) {
    if (text.size() > Trust::largest) throw Untrusted("the trust file is larger than any can be");
    Lines lines(text);
    Trust trust;
    lines.expect(first_line);
    trust.cluster_id = lines.hex("cluster-id", 32);
    trust.node = lines.label("node");
    trust.role = lines.role("role");
    do {
        trust.anchors.push_back(from_base64(lines.value("anchor")));
        if (trust.anchors.back().empty()) lines.refuse("\"anchor\" is not strict base64");
        if (repeats(trust.anchors)) lines.refuse("an anchor twice");
        if (trust.anchors.size() > Trust::most_anchors) lines.refuse("more than 4 anchors");
    } while (lines.follows("anchor"));
    while (lines.follows("revoked")) {
        trust.revoked.push_back(lines.hex("revoked", 64));
        if (repeats(trust.revoked)) lines.refuse("a revoked signer twice");
        if (trust.revoked.size() > most_revoked) lines.refuse("more than 64 revoked signers");
    }
    if (!lines.rest().empty()) lines.refuse("something else follows the last line");
    return trust;
}

}  // namespace makina
