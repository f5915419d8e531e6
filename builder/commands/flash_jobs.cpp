#include "builder/commands/flash_jobs.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <iostream>
#include <thread>

#include "builder/commands/cluster.hpp"
#include "builder/commands/flash_board.hpp"
#include "builder/commands/interruption.hpp"

namespace makina {
namespace {

/// Threads of jobs, which end before this does.
class Threads {
  public:
    Threads() = default;
    Threads(const Threads&) = delete;
    Threads& operator=(const Threads&) = delete;
    ~Threads() {
        for (std::thread& thread : threads_) thread.join();
    }
    void add(std::function<void()> work) {
        ++running_;
        threads_.emplace_back([this, work = std::move(work)] {
            work();
            --running_;
        });
    }
    [[nodiscard]] bool are_running() const { return running_ > 0; }

  private:
    std::vector<std::thread> threads_;
    std::atomic<int> running_ = 0;
};

FlashOutcome run_job(const FlashJob& job, const std::shared_ptr<Medium>& medium, const FlashOptions& options) {
    try {
        return {flash(job.source(), medium, options), {}};
    } catch (const std::exception& error) {
        return {std::nullopt, error.what()};
    }
}

std::string names_of(const std::vector<const Node*>& nodes) {
    std::string names;
    for (const Node* const node : nodes) names += (names.empty() ? "" : ", ") + node->name;
    return names;
}

/// False if Ctrl-C was pressed instead.
bool ask_for_next(const std::vector<const Node*>& nodes) {
    const std::string names = names_of(nodes);
    if (isatty(STDIN_FILENO) == 0) throw Mistake("nobody is there to put in the next cards, for " + names);
    Interruption interruption;
    std::cerr << "put in the next cards, for " << names << ", and press Enter: " << std::flush;
    // A line is there as a whole: the terminal keeps it until Enter.
    pollfd typed{STDIN_FILENO, POLLIN, 0};
    while (poll(&typed, 1, 0) == 0) {
        if (!interruption.within(0.05)) continue;
        // The terminal drops what is on its way to the screen when it has sent the signal (termios(3), NOFLSH).
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        std::cerr << std::endl;
        return false;
    }
    std::string line;
    if (!std::getline(std::cin, line)) throw Mistake("nothing was typed: no card was written for " + names);
    return true;
}

}  // namespace

FlashRun run_flash_jobs(const std::vector<FlashJob>& jobs, const FlashCommand& command, const TargetOptions& targets) {
    std::vector<FlashBoard::Row> rows;
    std::vector<std::shared_ptr<Medium>> media;
    for (const FlashJob& job : jobs) {
        rows.push_back({job.subject, job.target.name()});
        media.push_back(open_target(job.target, targets));
    }
    FlashBoard board(rows, command.build.json, command.quiet);
    FlashRun run;
    run.outcomes.resize(jobs.size());
    std::atomic<bool> interrupted = false;
    Interruption interruption;
    Threads threads;
    for (std::size_t i = 0; i < jobs.size(); ++i) {
        FlashOptions options;
        options.probe = !command.no_probe;
        if (jobs[i].target.device) options.sequence = jobs[i].target.device->sequence;
        options.is_interrupted = [&interrupted] { return interrupted.load(); };
        options.on_progress = [&board, i](const FlashProgress& progress) { board.progress(i, progress); };
        threads.add([&, options, i] {
            FlashOutcome& outcome = run.outcomes[i];
            outcome = run_job(jobs[i], media[i], options);
            if (outcome.flashed) return board.succeeded(i, *outcome.flashed);
            board.failed(i, outcome.fault);
        });
    }
    while (threads.are_running()) {
        if (interruption.within(0.05)) {
            interrupted = true;
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
        }
    }
    run.interrupted = interruption.within(0);
    return run;
}

int flash_rounds(const std::vector<const Node*>& nodes, const FlashCommand& command,
                 const std::function<FlashRun(const std::vector<const Node*>&)>& flash_together) {
    const std::size_t width = std::max<std::size_t>(command.devices.size(), 1);
    std::vector<const Node*> failed;
    std::vector<const Node*> left = nodes;
    bool interrupted = false;
    while (!left.empty() && !interrupted) {
        const auto end = left.begin() + static_cast<std::ptrdiff_t>(std::min(width, left.size()));
        const std::vector<const Node*> some(left.begin(), end);
        if (left.size() < nodes.size() && !command.devices.empty() && !ask_for_next(some)) break;
        left.erase(left.begin(), end);
        const FlashRun run = flash_together(some);
        interrupted = run.interrupted;
        for (std::size_t i = 0; i < some.size(); ++i) {
            if (!run.outcomes[i].flashed) failed.push_back(some[i]);
        }
    }
    if (command.build.all && !command.build.json && !command.quiet) {
        std::cerr << nodes.size() - failed.size() - left.size() << " of " << nodes.size() << " cards are verified"
                  << (failed.empty() ? "" : "; failed: " + names_of(failed))
                  << (left.empty() ? "" : "; not begun: " + names_of(left)) << '\n';
    }
    return failed.empty() && left.empty() ? 0 : 1;
}

}  // namespace makina
