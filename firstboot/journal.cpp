#include "firstboot/journal.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/lines.hpp"

namespace makina {
namespace {

constexpr std::string_view heading = "makina-journal 1";
constexpr std::size_t longest_stage = 32;
constexpr std::size_t longest_text = 400;
constexpr std::array<std::string_view, 3> kinds = {"intent", "done", "fault"};

bool is_stage(std::string_view text) {
    return !text.empty() && text.size() <= longest_stage &&
           std::all_of(text.begin(), text.end(), [](char c) { return (c >= 'a' && c <= 'z') || c == '-'; });
}

bool is_text(std::string_view text) {
    return text.size() <= longest_text &&
           std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

/// A note that can be read again, whatever was in a program's words.
Note clean(Note note) {
    if (!is_stage(note.stage)) note.stage = "other";
    note.when = std::max<std::int64_t>(note.when, 0);
    for (char& c : note.text) {
        if (c < ' ' || c > '~') c = '?';
    }
    if (note.text.size() > longest_text) note.text.resize(longest_text);
    return note;
}

/// The text up to the next space, which is taken too; all of it if there is none.
std::string_view take_word(std::string_view& line) {
    const std::size_t end = line.find(' ');
    const std::string_view word = line.substr(0, end);
    line.remove_prefix(end == std::string_view::npos ? line.size() : end + 1);
    return word;
}

[[noreturn]] void refuse(const std::string& what, std::size_t number) {
    throw Error("line " + std::to_string(number) + ": " + what);
}

Note decode_note(const std::string_view whole, std::size_t number) {
    std::string_view line = whole;
    const auto* const kind = std::find(kinds.begin(), kinds.end(), take_word(line));
    if (kind == kinds.end()) refuse("no note begins so", number);
    std::uint64_t when = 0;
    if (!read_number(take_word(line), when) || when > std::numeric_limits<std::int64_t>::max()) {
        refuse("no time", number);
    }
    const std::string_view stage = take_word(line);
    if (!is_stage(stage)) refuse("no stage", number);
    // A text is not empty if there is a space before it.
    if (!is_text(line) || (line.empty() && whole.back() == ' ')) refuse("no text", number);
    return {static_cast<Note::Kind>(kind - kinds.begin()), static_cast<std::int64_t>(when), std::string(stage),
            std::string(line)};
}

}  // namespace

void Journal::add(Note note) {
    notes.push_back(clean(std::move(note)));
    if (notes.size() > most_notes) notes.erase(notes.begin(), notes.end() - most_notes);
}

std::string encode(const Journal& journal) {
    std::string text = std::string(heading) + "\n";
    for (const Note& raw : journal.notes) {
        const Note note = clean(raw);
        text.append(kinds.at(static_cast<std::size_t>(note.kind)));
        text += " " + std::to_string(note.when) + " " + note.stage;
        text += (note.text.empty() ? "" : " ") + note.text + "\n";
    }
    return text;
}

Journal decode_journal(std::string_view text) {
    Journal journal;
    for (std::size_t number = 1; !text.empty() || number == 1; ++number) {
        const std::size_t end = text.find('\n');
        if (end == std::string_view::npos) refuse("it is not ended", number);
        const std::string_view line = text.substr(0, end);
        text.remove_prefix(end + 1);
        if (number == 1) {
            if (line != heading) refuse("\"makina-journal 1\" is expected", number);
            continue;
        }
        if (journal.notes.size() == Journal::most_notes) refuse("too many notes", number);
        journal.notes.push_back(decode_note(line, number));
    }
    return journal;
}

}  // namespace makina
