#include "tests/crash/power.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <random>
#include <thread>

#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/handle.hpp"
#include "tests/crash/cuts.hpp"
#include "tests/crash/rig.hpp"

namespace makina::crash {
namespace {

/// Commits the file system's journal every few milliseconds while it lives.
class Committer {
  public:
    explicit Committer(const fs::path& root) : folder_(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
        thread_ = std::thread([this] {
            std::mt19937_64 random(7);
            while (!ended_) {
                std::this_thread::sleep_for(std::chrono::microseconds(500 + random() % 6000));
                ::syncfs(folder_.get());
            }
        });
    }
    Committer(const Committer&) = delete;
    Committer& operator=(const Committer&) = delete;
    ~Committer() {
        ended_ = true;
        thread_.join();
    }

  private:
    Descriptor folder_;
    std::atomic<bool> ended_ = false;
    std::thread thread_;
};

/// Tries cuts one after the other, several at once: mounting is mostly waiting.
class Cutter {
  public:
    Cutter(const Trial& trial, const Promise& promise)
        : trial_(trial),
          promise_(promise),
          log_(trial.recorded / "log"),
          cards_(trial.before, log_, trial.recorded / "front"),
          cuts_(choose_cuts(log_, trial.random, trial.seed)),
          step_(trial.resumes == 0 ? cuts_.size() : std::max<std::size_t>(1, cuts_.size() / trial.resumes)) {}

    Tally run() {
        side_by_side(cuts_.size(), 8, [this](std::size_t, unsigned worker) {
            const fs::path card = trial_.recorded / ("cut-" + std::to_string(worker));
            std::size_t number = 0;
            try {
                number = make_next(card);
                attempt(number, card);
            } catch (const Error& error) {
                note(number, {error.what()}, tally_.violated);
            }
        });
        return std::move(tally_);
    }

  private:
    /// Cards are made in the order of cuts, which is not the order in which workers ask.
    std::size_t make_next(const fs::path& card) {
        const std::lock_guard lock(mutex_);
        cards_.make(cuts_.at(next_), card);
        return next_++;
    }
    void attempt(std::size_t number, const fs::path& card) {
        const bool resumes = trial_.resume && number % step_ == 0;
        const fs::path copy = card.string() + "-copy";
        // Looking at a card replays its journal, so that one is not what the power cut left.
        if (resumes) copy_sparse(card, copy);
        note(number, broken(promise_, look_at(card, promise_)), tally_.violated);
        if (resumes) note(number, trial_.resume(copy), tally_.stuck);
        const std::lock_guard lock(mutex_);
        ++tally_.states;
        if (resumes) ++tally_.resumed;
    }
    void note(std::size_t number, const std::vector<std::string>& wrong, std::uint64_t& counter) {
        const std::lock_guard lock(mutex_);
        if (!wrong.empty()) ++counter;
        for (const std::string& line : wrong) tally_.faults.push_back(describe(log_, cuts_[number]) + ": " + line);
    }

    const Trial& trial_;
    const Promise& promise_;
    WriteLog log_;
    CutCards cards_;
    std::vector<Cut> cuts_;
    std::size_t step_;
    std::mutex mutex_;
    std::size_t next_ = 0;
    Tally tally_;
};

}  // namespace

fs::path record(const Work& work, const std::string& name) {
    fs::path folder = workshop() / name;
    fs::create_directories(folder);
    copy_sparse(work.card, folder / "after");
    const LoggedCard logged(folder / "after", folder / "log");
    const Loop loop(logged.file());
    Mounted root(loop.partition(root_partition), workshop() / "node");
    if (work.commits) {
        const Committer committer(root.path());
        work.run(root.path());
    } else {
        work.run(root.path());
    }
    root.unmount();
    return folder;
}

Tally cut_power(const Trial& trial, const Promise& promise) {
    return Cutter(trial, promise).run();
}

}  // namespace makina::crash
