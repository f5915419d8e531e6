#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "firstboot/host.hpp"
#include "firstboot/journal.hpp"

namespace makina {

/// What the daemon tells people: lines, and the journal. Repeats itself at most once an hour, and writes the journal
/// only if there is something new, so that a node that waits for weeks neither fills its log nor wears out its card.
class Diary {
  public:
    /// Reads the journal; one that cannot be read is moved to journal.bad and begun anew.
    explicit Diary(Host& host);

    void say(const std::string& line);
    /// Before a stage acts, once until it is done. A journal that cannot be written is said, and nothing else: it is
    /// no proof, and what is to be done may be what makes room again.
    void intend(const std::string& stage);
    void done(const std::string& stage);
    /// The stage has begun, in this run or in one that was cut off, and is not done.
    [[nodiscard]] bool is_open(std::string_view stage) const;
    void fault(const std::string& stage, const std::string& text);

  private:
    void read();
    /// What has begun, and what went wrong, as far as this note.
    void take_up(const Note& note);
    void note(Note::Kind kind, const std::string& stage, const std::string& text);

    Host& host_;
    Journal journal_;
    std::map<std::string, std::int64_t> said_;  ///< a line -> when, in seconds since power-on
    std::vector<std::string> open_;             ///< stages that have begun and are not done; the last one last
    std::set<std::string> faults_;              ///< noted since the last stage was done
};

}  // namespace makina
