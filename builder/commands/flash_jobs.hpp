#pragma once

#include <functional>
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
};

/// What became of a job: an Error's text, or what was written.
struct FlashOutcome {
    std::optional<Flashed> flashed;
    std::string fault;
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

/// Writes these nodes' cards, as many together as there are devices, and has the next cards put in between. Ctrl-C
/// ends all of it. Says how many are verified if it is for all nodes; gives 0 only if every card is. Throws
/// Mistake if nobody puts in the next cards.
[[nodiscard]] int flash_rounds(const std::vector<const Node*>& nodes, const FlashCommand& command,
                               const std::function<FlashRun(const std::vector<const Node*>&)>& flash_together);

}  // namespace makina
