#include "builder/disk/fat_folder.hpp"

#include <algorithm>
#include <array>
#include <ctime>

#include "builder/disk/fat_table.hpp"

namespace makina {
namespace {

constexpr char removed = '\xe5';
constexpr std::uint8_t label_bit = 0x08;
constexpr std::uint8_t long_name = 0x0f;
constexpr std::size_t letters_per_slot = 13;
constexpr std::size_t longest_name = 255;
/// Where the letters of a long name are in its slot, two bytes each.
constexpr std::array<std::size_t, letters_per_slot> letter_at = {1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30};

std::uint8_t attributes_of(std::string_view slot) {
    return static_cast<std::uint8_t>(slot[11]) & 0x3f;
}

char upper(char letter) {
    return letter >= 'a' && letter <= 'z' ? static_cast<char>(letter - 'a' + 'A') : letter;
}

char lower(char letter) {
    return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
}

bool is_same_name(std::string_view a, std::string_view b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return upper(x) == upper(y); });
}

/// UTF-8 as UTF-16; empty if it is not UTF-8.
std::u16string to_utf16(std::string_view text) {
    std::u16string result;
    for (std::size_t at = 0; at < text.size();) {
        const auto first = static_cast<unsigned char>(text[at]);
        const std::size_t more = first < 0x80 ? 0 : first < 0xc2 ? 9 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
        if (more > 3 || first > 0xf4 || at + more >= text.size()) return {};
        char32_t point = more == 0 ? first : first & (0x3f >> more);
        for (std::size_t i = 1; i <= more; ++i) {
            const auto next = static_cast<unsigned char>(text[at + i]);
            if ((next & 0xc0) != 0x80) return {};
            point = point << 6 | (next & 0x3f);
        }
        if (point >= 0x10000) {
            result += static_cast<char16_t>(0xd800 + ((point - 0x10000) >> 10));
            result += static_cast<char16_t>(0xdc00 + ((point - 0x10000) & 0x3ff));
        } else {
            result += static_cast<char16_t>(point);
        }
        at += more + 1;
    }
    return result;
}

/// UTF-16 as UTF-8. Half a pair stays what it is, which is no UTF-8, and nothing that we write.
std::string to_utf8(const std::u16string& text) {
    std::string result;
    for (std::size_t i = 0; i < text.size(); ++i) {
        char32_t point = text[i];
        const bool is_pair =
            point >= 0xd800 && point < 0xdc00 && i + 1 < text.size() && text[i + 1] >= 0xdc00 && text[i + 1] < 0xe000;
        if (is_pair) point = 0x10000 + ((point - 0xd800) << 10) + (text[++i] - 0xdc00U);
        const unsigned more = point < 0x80 ? 0 : point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
        constexpr std::array<unsigned, 4> first = {0, 0xc0, 0xe0, 0xf0};
        result += static_cast<char>(first.at(more) | point >> (6 * more));
        for (unsigned left = more; left-- > 0;) result += static_cast<char>(0x80 | (point >> (6 * left) & 0x3f));
    }
    return result;
}

/// Binds the slots of a long name to the short one that follows them.
std::uint8_t checksum_of(std::string_view short_name) {
    std::uint8_t sum = 0;
    for (const char c : short_name) {
        sum = static_cast<std::uint8_t>((sum << 7 | sum >> 1) + static_cast<unsigned char>(c));
    }
    return sum;
}

std::string trimmed(std::string_view text) {
    return std::string(text.substr(0, text.find_last_not_of(' ') + 1));
}

std::string as_shown(std::string_view short_name, std::uint8_t letter_case = 0) {
    std::string base = trimmed(short_name.substr(0, 8));
    std::string ending = trimmed(short_name.substr(8, 3));
    if ((letter_case & 0x08) != 0) std::transform(base.begin(), base.end(), base.begin(), lower);
    if ((letter_case & 0x10) != 0) std::transform(ending.begin(), ending.end(), ending.begin(), lower);
    return ending.empty() ? base : base + "." + ending;
}

/// The slots of a long name as they pass by, the name's end first.
class LongName {
  public:
    void add(std::string_view slot) {
        const auto order = static_cast<unsigned char>(slot[0]);
        if ((order & 0x40) != 0) {
            letters_.clear();
            slots_ = 0;
            expected_ = order & 0x3f;
            checksum_ = slot[13];
        }
        if (expected_ == 0 || (order & 0x3f) != expected_ || slot[13] != checksum_) return forget();
        std::u16string part;
        for (const std::size_t at : letter_at) part += static_cast<char16_t>(little(&slot[at], 2));
        letters_.insert(0, part);
        --expected_;
        ++slots_;
    }
    void forget() { slots_ = expected_ = 0; }
    /// Slots of the name that belongs to this short one; 0 if there is none.
    [[nodiscard]] std::size_t slots_of(std::string_view short_name) const {
        const bool is_whole = expected_ == 0 && static_cast<std::uint8_t>(checksum_) == checksum_of(short_name);
        return is_whole ? slots_ : 0;
    }
    [[nodiscard]] std::string text() const { return to_utf8(letters_.substr(0, letters_.find(u'\0'))); }

  private:
    std::u16string letters_;
    std::size_t slots_ = 0;
    int expected_ = 0;
    char checksum_ = 0;
};

bool is_short_letter(char c) {
    constexpr std::string_view others = "$%'-_@~`!(){}^#&";
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || others.find(c) != std::string_view::npos;
}

/// Only what a short name may have, in its 11 bytes; `tail` ends what is before the dot.
std::string shortened(std::string_view name, const std::string& tail) {
    const std::size_t dot = name.rfind('.');
    const bool has_ending = dot != std::string_view::npos && dot != 0;
    const auto letters = [](std::string_view part, std::size_t most) {
        std::string result;
        for (const char c : part) {
            const bool continues = (static_cast<unsigned char>(c) & 0xc0) == 0x80;
            if (c == ' ' || c == '.' || continues || result.size() == most) continue;
            result += is_short_letter(upper(c)) ? upper(c) : '_';
        }
        return result;
    };
    std::string base = letters(name.substr(0, has_ending ? dot : name.size()), 8 - tail.size()) + tail;
    std::string ending = has_ending ? letters(name.substr(dot + 1), 3) : "";
    base.resize(8, ' ');
    ending.resize(3, ' ');
    return base + ending;
}

/// True if the short name alone says all: nothing but capitals.
bool needs_no_long_name(const std::string& name) {
    return as_shown(shortened(name, "")) == name;
}

std::string free_short_name(std::string_view folder, const std::string& name) {
    const std::vector<FatEntry> entries = entries_of(folder);
    const auto is_taken = [&](const std::string& short_name) {
        return std::any_of(entries.begin(), entries.end(),
                           [&](const FatEntry& entry) { return entry.short_name == short_name; });
    };
    std::string candidate = shortened(name, "");
    for (unsigned number = 1; !is_same_name(as_shown(candidate), name) || is_taken(candidate); ++number) {
        candidate = shortened(name, "~" + std::to_string(number));
        if (!is_taken(candidate)) break;
    }
    return candidate;
}

/// Date in the upper 16 bits, time in the lower ones; FAT's years are 1980 to 2107.
std::uint32_t stamp_of(std::int64_t mtime) {
    constexpr std::int64_t first = 315532800;
    constexpr std::int64_t last = 4354819198;
    const std::time_t seconds = std::clamp(mtime, first, last);
    std::tm time{};
    gmtime_r(&seconds, &time);
    const auto date = static_cast<std::uint32_t>((time.tm_year - 80) << 9 | (time.tm_mon + 1) << 5 | time.tm_mday);
    return date << 16 | static_cast<std::uint32_t>(time.tm_hour << 11 | time.tm_min << 5 | time.tm_sec / 2);
}

}  // namespace

std::vector<FatEntry> entries_of(std::string_view folder) {
    std::vector<FatEntry> entries;
    LongName waiting;
    for (std::size_t at = 0; at + FatEntry::slot <= folder.size(); at += FatEntry::slot) {
        const std::string_view slot = folder.substr(at, FatEntry::slot);
        if (slot[0] == '\0') break;
        if (slot[0] != removed && attributes_of(slot) == long_name) {
            waiting.add(slot);
            continue;
        }
        if (slot[0] != removed && slot[0] != '.' && (attributes_of(slot) & label_bit) == 0) {
            FatEntry entry;
            entry.short_name = slot.substr(0, 11);
            const std::size_t more = waiting.slots_of(entry.short_name);
            entry.letter_case = static_cast<std::uint8_t>(slot[12]);
            entry.name = more == 0 ? as_shown(entry.short_name, entry.letter_case) : waiting.text();
            entry.attributes = attributes_of(slot);
            entry.cluster = little(&slot[20], 2) << 16 | little(&slot[26], 2);
            entry.size = little(&slot[28], 4);
            entry.at = at - more * FatEntry::slot;
            entry.slots = more + 1;
            entries.push_back(std::move(entry));
        }
        waiting.forget();
    }
    return entries;
}

std::string label_of(std::string_view root) {
    for (std::size_t at = 0; at + FatEntry::slot <= root.size() && root[at] != '\0'; at += FatEntry::slot) {
        const std::string_view slot = root.substr(at, FatEntry::slot);
        const bool is_label = (attributes_of(slot) & label_bit) != 0 && attributes_of(slot) != long_name;
        if (slot[0] != removed && is_label) return trimmed(slot.substr(0, 11));
    }
    return {};
}

std::optional<FatEntry> find_entry(std::string_view folder, std::string_view name) {
    for (FatEntry& entry : entries_of(folder)) {
        if (is_same_name(entry.name, name) || is_same_name(as_shown(entry.short_name), name)) return std::move(entry);
    }
    return std::nullopt;
}

bool is_fat_name(std::string_view name) {
    constexpr std::string_view forbidden = "\\/:*?\"<>|\x7f";
    const auto is_bad = [&](char c) {
        return static_cast<unsigned char>(c) < 0x20 || forbidden.find(c) != std::string_view::npos;
    };
    // What ends in a dot or a space is another name for Windows and Linux.
    const std::size_t letters = to_utf16(name).size();
    return letters != 0 && letters <= longest_name && name.back() != '.' && name.back() != ' ' &&
           std::none_of(name.begin(), name.end(), is_bad);
}

std::size_t slots_for(const std::string& name) {
    if (needs_no_long_name(name)) return 1;
    return 1 + (to_utf16(name).size() + letters_per_slot - 1) / letters_per_slot;
}

std::size_t find_room(std::string_view folder, std::size_t slots) {
    std::size_t begin = 0;
    bool is_over = false;  // behind the first slot that begins with 0 nothing counts
    for (std::size_t at = 0; at + FatEntry::slot <= folder.size(); at += FatEntry::slot) {
        is_over = is_over || folder[at] == '\0';
        if (!is_over && folder[at] != removed) begin = at + FatEntry::slot;
        if (at + FatEntry::slot - begin == slots * FatEntry::slot) break;
    }
    return begin;
}

std::string make_slot(const FatEntry& entry, std::int64_t mtime) {
    std::string slot(FatEntry::slot, '\0');
    const std::uint32_t stamp = stamp_of(mtime);
    slot.replace(0, 11, entry.short_name);
    slot[11] = static_cast<char>(entry.attributes);
    slot[12] = static_cast<char>(entry.letter_case);
    put_little(&slot[14], 4, stamp);        // made
    put_little(&slot[18], 2, stamp >> 16);  // read
    put_little(&slot[20], 2, entry.cluster >> 16);
    put_little(&slot[22], 4, stamp);  // changed
    put_little(&slot[26], 2, entry.cluster & 0xffff);
    put_little(&slot[28], 4, entry.size);
    return slot;
}

std::string make_slots(std::string_view folder, const FatEntry& entry, std::int64_t mtime) {
    FatEntry named = entry;
    named.short_name = free_short_name(folder, entry.name);
    std::string slots;
    if (!needs_no_long_name(entry.name)) {
        std::u16string letters = to_utf16(entry.name);
        const std::size_t count = slots_for(entry.name) - 1;
        // A name that does not fill its last slot ends with a zero, and then there is nothing but ones.
        if (letters.size() < count * letters_per_slot) letters += u'\0';
        letters.resize(count * letters_per_slot, u'\xffff');
        for (std::size_t order = count; order > 0; --order) {
            std::string slot(FatEntry::slot, '\0');
            slot[0] = static_cast<char>(order | (order == count ? 0x40 : 0));
            slot[11] = static_cast<char>(long_name);
            slot[13] = static_cast<char>(checksum_of(named.short_name));
            for (std::size_t i = 0; i < letters_per_slot; ++i) {
                put_little(&slot[letter_at.at(i)], 2, letters[(order - 1) * letters_per_slot + i]);
            }
            slots += slot;
        }
    }
    return slots + make_slot(named, mtime);
}

}  // namespace makina
