#include "builder/commands/flash_jobs.hpp"

#include <atomic>
#include <thread>

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

}  // namespace

std::vector<FlashOutcome> run_flash_jobs(const std::vector<FlashJob>& jobs, const FlashCommand& command,
                                         const TargetOptions& targets) {
    std::vector<FlashBoard::Row> rows;
    std::vector<std::shared_ptr<Medium>> media;
    for (const FlashJob& job : jobs) {
        rows.push_back({job.subject, job.target.name()});
        media.push_back(open_target(job.target, targets));
    }
    FlashBoard board(rows, command.build.json, command.quiet);
    std::vector<FlashOutcome> outcomes(jobs.size());
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
            outcomes[i] = run_job(jobs[i], media[i], options);
            if (outcomes[i].flashed) return board.succeeded(i, *outcomes[i].flashed);
            board.failed(i, outcomes[i].fault);
        });
    }
    while (threads.are_running()) {
        if (interruption.within(0.05)) {
            interrupted = true;
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
        }
    }
    return outcomes;
}

}  // namespace makina
