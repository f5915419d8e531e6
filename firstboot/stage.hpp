#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "firstboot/bundle/bundle.hpp"
#include "firstboot/host.hpp"

namespace makina {

/// Waiting is an answer: done, or what has to happen first, for people: "the network cable of eth0".
struct Outcome {
    bool done = false;
    std::string waiting_for = {};
    std::string notice = {};  ///< what a person should know although it is done: "the root partition is left as it is"
    unsigned again = 0;       ///< seconds after which it should be asked again, while waiting; 0: as the run likes
};

/// One step on the way to a joined node: a question to the machine and an action. Both may be repeated at any time and
/// after a power cut at any point; a fault is thrown as Error and tried again.
struct Stage {
    using Step = std::function<Outcome(Host& host, const Bundle& bundle)>;
    std::string_view name;
    Step ask;  ///< are you done? Changes nothing.
    Step act;  ///< does it, or as much as can be done now
    /// It may be undone from outside: it is asked again for as long as the daemon runs, on a joined node too.
    bool lasting = false;
    /// Not all that it does can be asked for: if the power went while it was at it, it acts again.
    bool unseen = false;
};

/// The stages of a role after the bundle is verified, in order, the sealing-up last. Throws Error for an unknown role.
[[nodiscard]] std::vector<Stage> stages_of(std::string_view role);

}  // namespace makina
