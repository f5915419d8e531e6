#pragma once

#include <optional>
#include <string>
#include <vector>

#include "builder/rehearse/drill.hpp"

namespace makina {

/// One node as it is seen from outside at a moment.
struct SeenBoard {
    std::string name;
    bool on = false;
    std::string state, stage, waiting_for;  ///< the daemon's words; empty if it was not reached
    std::string trouble;                    ///< why it will not come up any more; empty if it may
};

/// Who had the address that balancers share, from a moment on.
struct Held {
    double since = 0;
    std::vector<std::string> by;  ///< nobody, one, or several, which is a fault
};

/// Everything that is seen at a moment.
struct Sight {
    double asked = 0;  ///< when the first node was asked, seconds from any start
    double now = 0;    ///< when it was put together
    std::vector<SeenBoard> boards;
    std::vector<Held> held;       ///< every change so far, the newest last
    bool shared_answers = false;  ///< something answers at the shared address
};

/// How drills are led.
struct DrillRules {
    std::vector<Drill> drills;
    std::string shared;           ///< "192.168.3.240": somebody must hold it, and it must answer; empty: none
    double settle = 60;           ///< seconds without a change after which a cluster that waits has settled
    double steady = 5;            ///< seconds that all must be well before it counts
    double timeout = 900;         ///< seconds for the start, and for each drill, until all is given up
    std::optional<double> until;  ///< judge a drill after so many seconds; none: as soon as all is well
};

/// What is to be done next.
struct Act {
    enum class Kind { wait, power_off, power_on, replace, cut, plug, end } kind = Kind::wait;
    std::string node;
};

/// What became of the start, or of one drill.
struct Outcome {
    std::optional<Drill> drill;           ///< none: the start; its node is the one that was meant
    std::vector<std::string> objections;  ///< empty: all was well
    double began = 0, seconds = 0;
    std::vector<std::string> held_before, held_after;
    std::optional<double> moved;  ///< seconds until another than before held the shared address alone
    /// Seconds in which nobody held it, without those of a move, and in which more than one did.
    double nobody = 0, several = 0;
    [[nodiscard]] bool passed() const { return objections.empty(); }
};

/// What is not well in a sight; nothing if everything that is on has joined and the shared address is as it should be.
[[nodiscard]] std::vector<std::string> objections(const Sight& sight, const std::string& shared);

/// Leads a cluster through its drills: each begins when everything has settled, and is judged. Asks no clock and
/// touches nothing: sights go in, acts come out.
class Director {
  public:
    explicit Director(DrillRules rules) : rules_(std::move(rules)) {}

    /// The next act, which must be done before the next sight is taken.
    [[nodiscard]] Act next(const Sight& sight);

    /// Adds to the newest outcome what was found out besides.
    void object(const std::vector<std::string>& more);

    [[nodiscard]] const std::vector<Outcome>& outcomes() const { return outcomes_; }
    /// The drill that is going on, none while the cluster settles.
    [[nodiscard]] std::optional<Drill> current() const;
    /// Everything was done, and all was well after each.
    [[nodiscard]] bool passed() const;

  private:
    enum class Phase { settling, away, healing, over };
    void note(const Sight& sight);
    [[nodiscard]] Act settle(const Sight& sight);
    [[nodiscard]] Act begin(const Sight& sight);
    [[nodiscard]] Act start(const Sight& sight);
    [[nodiscard]] Act come_back(const Sight& sight);
    [[nodiscard]] Act heal(const Sight& sight);
    [[nodiscard]] bool well(const Sight& sight) const;
    [[nodiscard]] bool settled(const Sight& sight) const;
    [[nodiscard]] Act conclude(const Sight& sight, std::vector<std::string> because, bool go_on);
    [[nodiscard]] Outcome outcome(const Sight& sight) const;

    DrillRules rules_;
    Phase phase_ = Phase::settling;
    std::optional<double> began_;         ///< the phase of settling, or the drill
    std::optional<double> back_;          ///< the first sight after the last act of a drill
    std::string last_seen_;               ///< the sight before, in words
    double changed_ = 0;                  ///< since when nothing has changed
    std::optional<double> well_since_;    ///< since when all is well
    std::vector<std::string> held_then_;  ///< who held the shared address when the drill began
    std::size_t done_ = 0;                ///< drills that are over
    Drill drill_;                         ///< the one that goes on, or comes next
    std::vector<Outcome> outcomes_;
};

}  // namespace makina
