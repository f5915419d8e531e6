#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "builder/commands/seen.hpp"
#include "builder/rehearse/director.hpp"
#include "builder/rehearse/rehearse.hpp"

namespace makina {

/// How a rehearsal of a cluster is shown.
enum class RehearsalVoice {
    table,  ///< one table that is kept up to date, for a terminal
    lines,  ///< a line for each change
    json    ///< the same, an object a line
};

/// What is said at the end besides the outcomes.
struct RehearsalEnd {
    std::size_t nodes = 0, drills = 0;  ///< booted, asked for
    std::vector<std::string> played;    ///< control planes that a stand-in answered for
};

/// Shows a rehearsal: each node as `watch` does, who holds the shared address, the drills and what became of them.
class RehearsalView {
  public:
    /// Times are shown since `start`. `shared` is empty if no address is shared.
    RehearsalView(std::ostream& out, RehearsalVoice voice, std::string cluster, std::string shared, double start)
        : out_(out), voice_(voice), cluster_(std::move(cluster)), shared_(std::move(shared)), start_(start) {}

    void nodes(const std::vector<Seen>& all, double now);
    void held(const std::vector<Held>& all);
    void answers(bool shared_answers, double now);
    void drill(const Drill& drill, std::size_t number, std::size_t of, double now);
    void outcome(const Outcome& outcome, double now);
    /// Says it to programs; people are told of wrong answers with the outcome.
    void reply(const std::string& node, const Reply& reply, double now);
    /// The last console lines of a machine that will not come up.
    void console(const std::string& node, const std::vector<std::string>& lines, double now);
    void end(const Director& director, const RehearsalEnd& end, double now);

  private:
    void say(double at, const std::string& text, nlohmann::ordered_json event);
    void draw(const std::vector<Seen>& all, double now);
    [[nodiscard]] std::string holder() const;

    std::ostream& out_;
    RehearsalVoice voice_;
    std::string cluster_, shared_;
    double start_;
    std::vector<Seen> before_;
    std::vector<Held> held_;
    bool answers_ = false;
    std::vector<std::string> said_;  ///< below the table
};

/// "kill lb-1: passed after 9.2 s, 192.168.3.240 moved from lb-1 to lb-2 in 4.3 s"; what was not well follows,
/// indented.
[[nodiscard]] std::string to_text(const Outcome& outcome, const std::string& shared);

}  // namespace makina
