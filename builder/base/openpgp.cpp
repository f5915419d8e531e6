#include "builder/base/openpgp.hpp"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <sstream>
#include <string_view>

#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

constexpr std::string_view armor_begin = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
constexpr std::string_view armor_end = "-----END PGP PUBLIC KEY BLOCK-----";

std::string decode_base64(std::string_view text) {
    constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string bytes;
    std::uint32_t bits = 0;
    int count = 0;
    for (const char c : text.substr(0, text.find_last_not_of('=') + 1)) {
        const auto digit = digits.find(c);
        if (digit == std::string_view::npos) throw Error("the armor of the key is damaged");
        bits = bits << 6 | static_cast<std::uint32_t>(digit);
        count += 6;
        if (count >= 8) {
            count -= 8;
            bytes += static_cast<char>(bits >> count & 0xffU);
        }
    }
    return bytes;
}

/// Behind the first line come headers up to an empty line, then base64, then a checksum line that begins with "=".
std::string without_armor(const std::string& file) {
    std::istringstream lines(file.substr(file.find(armor_begin)));
    std::string text;
    bool in_headers = true;
    for (std::string line; std::getline(lines, line);) {
        while (!line.empty() && std::isspace(static_cast<unsigned char>(line.back())) != 0) line.pop_back();
        if (line.rfind(armor_end, 0) == 0) return decode_base64(text);
        if (!in_headers && !line.empty() && line.front() != '=') text += line;
        if (line.empty()) in_headers = false;
    }
    throw Error("the armor of the key has no end");
}

/// Reads packets from the front of what is left.
class PacketReader {
  public:
    explicit PacketReader(std::string_view bytes) : left_(bytes) {}
    [[nodiscard]] bool at_end() const { return left_.empty(); }

    struct Packet {
        int tag = 0;
        std::string_view body;
    };
    Packet next() {
        const unsigned head = number(1);
        if ((head & 0x80U) == 0) throw Error("the file holds no OpenPGP keys");
        Packet packet;
        std::uint32_t size = 0;
        if ((head & 0x40U) != 0) {
            packet.tag = static_cast<int>(head & 0x3fU);
            size = new_size();
        } else {
            packet.tag = static_cast<int>(head >> 2 & 0x0fU);
            const unsigned kind = head & 3U;
            if (kind == 3) throw Error("a packet of the key has no length");
            size = number(std::size_t{1} << kind);
        }
        packet.body = take(size);
        return packet;
    }

  private:
    std::uint32_t new_size() {
        const std::uint32_t first = number(1);
        if (first < 192) return first;
        if (first < 224) return ((first - 192) << 8) + number(1) + 192;
        if (first == 255) return number(4);
        throw Error("a packet of the key comes in parts");
    }
    std::string_view take(std::size_t count) {
        if (count > left_.size()) throw Error("the key ends in the middle of a packet");
        const std::string_view taken = left_.substr(0, count);
        left_.remove_prefix(count);
        return taken;
    }
    std::uint32_t number(std::size_t bytes) {
        std::uint32_t value = 0;
        for (const char c : take(bytes)) value = value << 8 | static_cast<unsigned char>(c);
        return value;
    }
    std::string_view left_;
};

std::string fingerprint(std::string_view key) {
    if (key.empty() || key.front() != 4 || key.size() > 0xffff) throw Error("the key is not one of version 4");
    std::string hashed = "\x99";
    hashed += static_cast<char>(key.size() >> 8);
    hashed += static_cast<char>(key.size() & 0xffU);
    std::string hex = sha1(hashed.append(key));
    std::transform(hex.begin(), hex.end(), hex.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    return hex;
}

}  // namespace

PublicKeys read_public_keys(const std::string& file) {
    constexpr int signature = 2;
    constexpr int primary_key = 6;
    constexpr int user_id = 13;
    constexpr int subkey = 14;
    constexpr int user_attribute = 17;
    PublicKeys keys;
    keys.packets = file.find(armor_begin) == std::string::npos ? file : without_armor(file);
    for (PacketReader reader(keys.packets); !reader.at_end();) {
        const auto [tag, body] = reader.next();
        if (tag == primary_key) {
            keys.fingerprints.push_back(fingerprint(body));
        } else if (tag != signature && tag != user_id && tag != subkey && tag != user_attribute) {
            throw Error("the file holds something else than public keys");
        } else if (keys.fingerprints.empty()) {
            throw Error("the file does not begin with a public key");
        }
    }
    if (keys.fingerprints.empty()) throw Error("the file holds no OpenPGP keys");
    return keys;
}

}  // namespace makina
