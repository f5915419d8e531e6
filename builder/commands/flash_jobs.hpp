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

/// Opens every target, then writes all at once, a line for each; Ctrl-C ends them all. Only threads that hang are left
/// behind. Throws Error if a target cannot be opened: then nothing was written.
[[nodiscard]] std::vector<FlashOutcome> run_flash_jobs(const std::vector<FlashJob>& jobs, const FlashCommand& command,
                                                       const TargetOptions& targets);

}  // namespace makina
