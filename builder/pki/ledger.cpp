#include "builder/pki/ledger.hpp"

#include <algorithm>
#include <limits>
#include <map>

#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/lines.hpp"

namespace makina {
namespace {

constexpr std::string_view first_line = "makina-ledger 1";
constexpr std::string_view hex_digits = "0123456789ABCDEF";

bool is_plain(char c) {
    return c > ' ' && c < '\x7f' && c != '%';
}

std::string escaped(std::string_view text) {
    std::string result;
    for (const char c : text) {
        if (is_plain(c)) {
            result += c;
        } else {
            result += '%';
            result += hex_digits[static_cast<unsigned char>(c) >> 4];
            result += hex_digits[static_cast<unsigned char>(c) & 15];
        }
    }
    return result;
}

/// Writing it again shows what is not in its one form.
bool unescape(std::string_view text, std::string& result) {
    result.clear();
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            result += text[i];
            continue;
        }
        if (i + 2 >= text.size()) return false;
        const std::size_t high = hex_digits.find(text[i + 1]);
        const std::size_t low = hex_digits.find(text[i + 2]);
        if (high == std::string_view::npos || low == std::string_view::npos) return false;
        result += static_cast<char>(high << 4 | low);
        i += 2;
    }
    return escaped(result) == text;
}

std::vector<std::string_view> split(std::string_view text, char at) {
    std::vector<std::string_view> words;
    for (std::size_t end = text.find(at); end != std::string_view::npos; end = text.find(at)) {
        words.push_back(text.substr(0, end));
        text.remove_prefix(end + 1);
    }
    words.push_back(text);
    return words;
}

std::int64_t read_time(const Lines& lines, std::string_view text, const char* what) {
    std::uint64_t number = 0;
    if (!read_number(text, number) || number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        lines.refuse(std::string(what) + " is no time");
    }
    return static_cast<std::int64_t>(number);
}

LedgerEntry read_entry(Lines& lines) {
    const std::vector<std::string_view> words = split(lines.value("bundle"), ' ');
    if (words.size() != 12) lines.refuse("a bundle has 12 words");
    const auto require = [&](bool right, const char* what) {
        if (!right) lines.refuse(what);
    };
    LedgerEntry entry;
    require(is_dns_label(words[0]), "the node is no name");
    entry.node = words[0];
    require(read_number(words[1], entry.epoch) && entry.epoch > 0, "the epoch is no number from 1");
    require(is_role(words[2]), "a role that nobody has");
    entry.role = words[2];
    require(is_hex(words[3], 32), "the card is not 32 lower-case hex digits");
    entry.card = words[3];
    entry.issued = read_time(lines, words[4], "the issue");
    entry.expires = read_time(lines, words[5], "the expiry");
    require(entry.expires > entry.issued, "the expiry is not after the issue");
    require(is_hex(words[6], 64), "the signer is not 64 lower-case hex digits");
    entry.signer = words[6];
    for (const std::string_view anchor : split(words[7], ',')) {
        require(is_hex(anchor, 64), "an anchor is not 64 lower-case hex digits");
        entry.anchors.emplace_back(anchor);
    }
    require(words[8].size() <= 40 && !words[8].empty() && is_hex(words[8], words[8].size()),
            "the certificate is no serial number in lower-case hex digits");
    entry.certificate = words[8];
    require(is_hex(words[9], 64), "the SHA-256 is not 64 lower-case hex digits");
    entry.sha256 = words[9];
    require(words[10] == "valid" || words[10] == "revoked", "a bundle is valid or revoked");
    entry.revoked = words[10] == "revoked";
    require(!words[11].empty() && unescape(words[11], entry.target), "the target is not in the one way to write it");
    return entry;
}

std::string with_commas(const std::vector<std::string>& words) {
    std::string text;
    for (const std::string& word : words) text += (text.empty() ? "" : ",") + word;
    return text;
}

std::string written(const LedgerEntry& entry) {
    std::string text = "bundle";
    for (const std::string& word :
         {entry.node, std::to_string(entry.epoch), entry.role, entry.card, std::to_string(entry.issued),
          std::to_string(entry.expires), entry.signer, with_commas(entry.anchors), entry.certificate, entry.sha256,
          std::string(entry.revoked ? "revoked" : "valid"), escaped(entry.target)}) {
        text += " " + word;
    }
    return text + "\n";
}

void read_founders(Lines& lines, Ledger& ledger) {
    const std::vector<std::string_view> words = split(lines.value("founders"), ' ');
    if (words.size() != 2 || !is_role(words[0])) lines.refuse("the founders are a role and names");
    const std::string role(words[0]);
    if (!ledger.founders.empty() && ledger.founders.rbegin()->first >= role) lines.refuse("the roles do not ascend");
    std::vector<std::string>& names = ledger.founders[role];
    for (const std::string_view name : split(words[1], ',')) {
        if (!is_dns_label(name) || (!names.empty() && names.back() >= name)) {
            lines.refuse("the founders are no names, or do not ascend");
        }
        names.emplace_back(name);
    }
}

void read_formation(Lines& lines, Ledger& ledger) {
    if (lines.follows("formation")) {
        const std::vector<std::string_view> words = split(lines.value("formation"), ' ');
        std::uint64_t from = 0;
        if (words.size() < 2 || words.size() > 3 || !is_hex(words[0], 32) || !read_number(words[1], from) ||
            from > ledger.entries.size()) {
            lines.refuse("a formation is 32 lower-case hex digits and how many bundles were before it");
        }
        ledger.formation = words[0];
        ledger.formation_from = from;
        if (words.size() == 3 && !is_hex(words[2], 64)) lines.refuse("a snapshot is not 64 lower-case hex digits");
        if (words.size() == 3) ledger.snapshot = words[2];
    }
    while (lines.follows("founders")) read_founders(lines, ledger);
    while (lines.follows("formed")) {
        const std::vector<std::string_view> words = split(lines.value("formed"), ' ');
        if (words.size() != 2 || !is_role(words[0])) lines.refuse("what has formed is a role and a time");
        const std::string role(words[0]);
        if (!ledger.formed.empty() && ledger.formed.rbegin()->first >= role) lines.refuse("the roles do not ascend");
        ledger.formed[role] = read_time(lines, words[1], "the forming");
    }
}

void read_taken(Lines& lines, Ledger& ledger) {
    const std::vector<std::string_view> words = split(lines.value("taken"), ' ');
    std::uint64_t epoch = 0;
    if (words.size() != 2 || !is_dns_label(words[0]) || !read_number(words[1], epoch) || epoch == 0) {
        lines.refuse("what was taken is a node and an epoch");
    }
    const std::string node(words[0]);
    if (!ledger.taken.empty() && ledger.taken.rbegin()->first >= node) lines.refuse("the nodes do not ascend");
    ledger.taken[node] = epoch;
}

FlashReceipt read_receipt(Lines& lines) {
    const std::vector<std::string_view> words = split(lines.value("flashed"), ' ');
    if (words.size() != 9) lines.refuse("what was flashed has 9 words");
    const auto require = [&](bool right, const char* what) {
        if (!right) lines.refuse(what);
    };
    FlashReceipt receipt;
    require(is_dns_label(words[0]), "the node is no name");
    receipt.node = words[0];
    require(is_hex(words[1], 32), "the card is not 32 lower-case hex digits");
    receipt.card = words[1];
    require(!words[2].empty() && unescape(words[2], receipt.medium), "the medium is not in the one way to write it");
    require(is_hex(words[3], 64), "the SHA-256 is not 64 lower-case hex digits");
    receipt.sha256 = words[3];
    require(read_number(words[4], receipt.bytes), "the bytes are no number");
    require(words[5] == "verified" || words[5] == "failed", "a card is verified or failed");
    receipt.verified = words[5] == "verified";
    receipt.time = read_time(lines, words[6], "the flashing");
    require(is_hex(words[7], 64), "the signer is not 64 lower-case hex digits");
    receipt.signer = words[7];
    // DER of two numbers of 32 bytes (RFC 3279, 2.2.3) is never longer than 72 bytes.
    require(
        !words[8].empty() && words[8].size() <= 144 && words[8].size() % 2 == 0 && is_hex(words[8], words[8].size()),
        "the signature is not in lower-case hex digits");
    receipt.signature = words[8];
    return receipt;
}

Ledger read_ledger(std::string_view text) {
    Ledger ledger;
    std::map<std::string, std::uint64_t> seen;
    Lines lines(text);
    lines.expect(first_line);
    while (lines.follows("bundle") || lines.follows("restored")) {
        if (lines.follows("restored")) {
            (void)lines.number("restored", epochs_skipped, epochs_skipped);
            ledger.restored.push_back(ledger.entries.size());
            continue;
        }
        LedgerEntry entry = read_entry(lines);
        std::uint64_t& last = seen[entry.node];
        if (entry.epoch <= last) lines.refuse("the epochs of " + entry.node + " do not ascend");
        last = entry.epoch;
        ledger.entries.push_back(std::move(entry));
    }
    read_formation(lines, ledger);
    while (lines.follows("taken")) read_taken(lines, ledger);
    while (lines.follows("flashed")) ledger.flashed.push_back(read_receipt(lines));
    lines.expect("end");
    if (!lines.rest().empty()) lines.refuse("something else follows the last line");
    return ledger;
}

}  // namespace

std::string signed_words(const FlashReceipt& receipt) {
    return receipt.node + " " + receipt.card + " " + escaped(receipt.medium) + " " + receipt.sha256 + " " +
           std::to_string(receipt.bytes) + (receipt.verified ? " verified " : " failed ") +
           std::to_string(receipt.time) + " " + receipt.signer;
}

std::string encode(const Ledger& ledger) {
    std::string text = std::string(first_line) + "\n";
    auto restored = ledger.restored.begin();
    for (std::size_t i = 0; i <= ledger.entries.size(); ++i) {
        for (; restored != ledger.restored.end() && *restored == i; ++restored) {
            text += "restored " + std::to_string(epochs_skipped) + "\n";
        }
        if (i < ledger.entries.size()) text += written(ledger.entries[i]);
    }
    if (!ledger.formation.empty()) {
        text += "formation " + ledger.formation + " " + std::to_string(ledger.formation_from) +
                (ledger.snapshot.empty() ? "" : " " + ledger.snapshot) + "\n";
    }
    for (const auto& [role, names] : ledger.founders) text += "founders " + role + " " + with_commas(names) + "\n";
    for (const auto& [role, time] : ledger.formed) text += "formed " + role + " " + std::to_string(time) + "\n";
    for (const auto& [node, epoch] : ledger.taken) text += "taken " + node + " " + std::to_string(epoch) + "\n";
    for (const FlashReceipt& receipt : ledger.flashed)
        text += "flashed " + signed_words(receipt) + " " + receipt.signature + "\n";
    text += "end\n";
    // What is valid is decided in one place: where it is read.
    (void)decode_ledger(text);
    return text;
}

Ledger decode_ledger(std::string_view text) {
    try {
        return read_ledger(text);
    } catch (const Untrusted& error) {
        // The folder is the user's own: a fault in it is no attack on a node.
        throw Error(error.what());
    }
}

bool is_handed_over(const Ledger& ledger, const LedgerEntry& entry) {
    return std::any_of(ledger.entries.begin(), ledger.entries.end(), [&](const LedgerEntry& other) {
        return other.node == entry.node && other.card == entry.card && other.epoch < entry.epoch;
    });
}

const LedgerEntry* last_of(const Ledger& ledger, const std::string& node) {
    const auto found = std::find_if(ledger.entries.rbegin(), ledger.entries.rend(),
                                    [&](const LedgerEntry& entry) { return entry.node == node; });
    return found == ledger.entries.rend() ? nullptr : &*found;
}

bool had_another_card(const Ledger& ledger, const std::string& node, const std::string& card) {
    // A backup may not know all of them.
    const auto is_after = [&](std::size_t position) { return position >= ledger.formation_from; };
    if (std::any_of(ledger.restored.begin(), ledger.restored.end(), is_after)) return true;
    const auto first = ledger.entries.begin() + static_cast<std::ptrdiff_t>(ledger.formation_from);
    return std::any_of(first, ledger.entries.end(),
                       [&](const LedgerEntry& entry) { return entry.node == node && entry.card != card; });
}

bool is_of_earlier_formation(const Ledger& ledger, const std::string& node, std::uint64_t epoch) {
    const auto end = ledger.entries.begin() + static_cast<std::ptrdiff_t>(ledger.formation_from);
    return std::any_of(ledger.entries.begin(), end,
                       [&](const LedgerEntry& entry) { return entry.node == node && entry.epoch == epoch; });
}

std::uint64_t next_epoch(const Ledger& ledger, const std::string& node) {
    const LedgerEntry* const last = last_of(ledger, node);
    const std::size_t behind = last == nullptr ? 0 : static_cast<std::size_t>(last - ledger.entries.data()) + 1;
    const auto skips = std::count_if(ledger.restored.begin(), ledger.restored.end(),
                                     [&](std::size_t position) { return position >= behind; });
    return (last == nullptr ? 0 : last->epoch) + 1 + static_cast<std::uint64_t>(skips) * epochs_skipped;
}

}  // namespace makina
