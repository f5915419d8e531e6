#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace makina {

/// One note: what was going to be done, or what came of it.
struct Note {
    enum class Kind { intent, done, fault } kind = Kind::intent;
    std::int64_t when = 0;  ///< seconds since 1970, as the clock was
    std::string stage;
    std::string text;  ///< one line for people; may be empty
    bool operator==(const Note&) const = default;
};

/// What the daemon meant to do, kept through power cuts in /var/lib/makina/journal. It is a diary for people and says
/// what to look at again after a cut; whether something is done is always asked of the machine.
struct Journal {
    static constexpr std::string_view path = "/var/lib/makina/journal";
    static constexpr std::size_t most_notes = 200;  ///< older ones are forgotten
    std::vector<Note> notes;
    void add(Note note);
    bool operator==(const Journal&) const = default;
};

/// "makina-journal 1", then a note a line: KIND SECONDS STAGE TEXT.
[[nodiscard]] std::string encode(const Journal& journal);
/// Reads what `encode` wrote, and nothing else; throws Error "line 3: ...".
[[nodiscard]] Journal decode_journal(std::string_view text);

}  // namespace makina
