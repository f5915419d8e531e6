#include "firstboot/diary.hpp"

#include <algorithm>

#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

constexpr std::int64_t an_hour = 3600;
constexpr std::size_t largest = std::size_t{1} << 20;
/// Of one stage: more tell nobody more.
constexpr std::size_t most_faults = 20;
const Access root_only = {0600, "root", "root"};

}  // namespace

Diary::Diary(Host& host) : host_(host) {
    try {
        read();
    } catch (const Error& error) {
        say(std::string("the journal is begun anew: ") + error.what());
    }
    for (const Note& note : journal_.notes) take_up(note);
    if (!open_.empty()) say("the last run ended at " + open_.back() + ": everything is asked again");
}

void Diary::take_up(const Note& note) {
    switch (note.kind) {
        case Note::Kind::intent:
            std::erase(open_, note.stage);
            open_.push_back(note.stage);
            break;
        case Note::Kind::done:
            std::erase(open_, note.stage);
            faults_.clear();
            break;
        case Note::Kind::fault:
            faults_.insert(note.text);
            break;
    }
}

void Diary::read() {
    const std::string path(Journal::path);
    const auto text = host_.read(path, largest);
    if (!text) return;
    try {
        journal_ = decode_journal(*text);
    } catch (const Error&) {
        host_.write(path + ".bad", *text, root_only);
        throw;
    }
}

void Diary::say(const std::string& line) {
    const std::int64_t now = host_.uptime();
    std::erase_if(said_, [&](const auto& one) { return now - one.second >= an_hour; });
    std::string printable = line;
    for (char& c : printable) {
        if (c < ' ' || c > '~') c = '?';
    }
    if (said_.emplace(printable, now).second) host_.say(printable);
}

void Diary::intend(const std::string& stage) {
    if (is_open(stage)) return;
    note(Note::Kind::intent, stage, {});
}

void Diary::done(const std::string& stage) {
    if (!is_open(stage)) return;
    note(Note::Kind::done, stage, {});
}

bool Diary::is_open(std::string_view stage) const {
    return std::find(open_.begin(), open_.end(), stage) != open_.end();
}

void Diary::fault(const std::string& stage, const std::string& text) {
    Journal as_noted;
    as_noted.add({Note::Kind::fault, 0, stage, text});
    if (faults_.size() == most_faults || faults_.contains(as_noted.notes.front().text)) return;
    note(Note::Kind::fault, stage, text);
}

void Diary::note(Note::Kind kind, const std::string& stage, const std::string& text) {
    journal_.add({kind, host_.moment().now, stage, text});
    take_up(journal_.notes.back());
    try {
        host_.write(std::string(Journal::path), encode(journal_), root_only);
    } catch (const Error& error) {
        say(std::string("the journal cannot be written: ") + error.what());
    }
}

}  // namespace makina
