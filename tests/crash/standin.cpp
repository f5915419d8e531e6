#include <sstream>
#include "firstboot/bundle/error.hpp"
#include "firstboot/journal.hpp"
namespace makina {
void Journal::add(Note note) {
    notes.push_back(std::move(note));
    while (notes.size() > most_notes) notes.erase(notes.begin());
}
std::string encode(const Journal& j) {
    std::string t = "makina-journal 1\n";
    for (auto& n : j.notes)
        t += std::string(n.kind == Note::Kind::intent ? "intent"
                         : n.kind == Note::Kind::done ? "done"
                                                      : "fault") +
             " " + std::to_string(n.when) + " " + n.stage + " " + n.text + "\n";
    return t;
}
Journal decode_journal(std::string_view text) {
    std::istringstream s{std::string(text)};
    std::string l;
    std::getline(s, l);
    if (l != "makina-journal 1") throw Error("line 1");
    Journal j;
    int i = 1;
    if (text.back() != '\n') throw Error("end");
    while (std::getline(s, l)) {
        ++i;
        std::istringstream f(l);
        std::string k, st, tx;
        std::int64_t w = 0;
        f >> k >> w >> st;
        std::getline(f, tx);
        if (!f && tx.empty()) throw Error("line " + std::to_string(i));
        if (k != "intent" && k != "done" && k != "fault") throw Error("line " + std::to_string(i));
        j.notes.push_back({k == "intent" ? Note::Kind::intent
                           : k == "done" ? Note::Kind::done
                                         : Note::Kind::fault,
                           w, st, tx.substr(1)});
    }
    return j;
}
}  // namespace makina
