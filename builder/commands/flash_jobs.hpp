#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "builder/commands/flash.hpp"
#include "builder/commands/flash_target.hpp"
#include "builder/flash/flash.hpp"

namespace makina {

/// One image for one card.
struct FlashJob {
    std::string subject;  ///< a node, or an image's name
    FlashTarget target;
    /// Gives what is written; called once, when the target is open.
    std::function<std::shared_ptr<Source>()> source;
    std::shared_ptr<Medium> medium = {};  ///< of the target, if it is open already
};

/// What became of a job: an Error's text, or what was written.
struct FlashOutcome {
    std::optional<Flashed> flashed;
    std::string fault;
    bool begun = true;  ///< false if the target could not be had: nothing was written, and the fault has been said
};

/// What became of jobs that ran together.
struct FlashRun {
    std::vector<FlashOutcome> outcomes;  ///< as many as there were jobs
    bool interrupted = false;            ///< nothing more is to be begun, even if all of them ended well
};

/// Opens every target, then writes all at once, a line for each; Ctrl-C ends them all. Only threads that hang are left
/// behind. Throws Error if a target cannot be opened: then nothing was written.
[[nodiscard]] FlashRun run_flash_jobs(const std::vector<FlashJob>& jobs, const FlashCommand& command,
                                      const TargetOptions& targets);

/// Writes these nodes' cards, as many together as there are devices, and has the next cards put in between. A node
/// whose target could not be had comes again, or is left out, as a person says; without one it has failed, and the
/// others go on. Ctrl-C ends all of it. Says how many are verified if it is for all nodes; gives 0 only if every card
/// is. Throws what flash_together throws if it is not for all nodes, or if nothing was begun before.
[[nodiscard]] int flash_rounds(const std::vector<const Node*>& nodes, const FlashCommand& command,
                               const std::function<FlashRun(const std::vector<const Node*>&)>& flash_together);

/// The targets that hold a node's card since this run began: what was read back whole is not written again in it.
class Finished {
  public:
    void note(const FlashTarget& target, const std::string& node);
    /// Throws Mistake if it is one of them. A reader whose card was changed for another is not, nor is the name of a
    /// file that was moved away.
    void require_other(const FlashTarget& target) const;

  private:
    std::map<std::string, std::string> nodes_;  ///< of a target's name and the kernel's number of what is in it
};

}  // namespace makina
