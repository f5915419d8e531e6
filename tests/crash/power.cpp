#include "tests/crash/power.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
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

}  // namespace

fs::path record(const Work& work, const std::string& name) {
    const fs::path folder = workshop() / name;
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

Tally cut_power(const fs::path& before, const fs::path& recorded, const Promise& promise, std::size_t random,
                std::uint64_t seed, std::uint64_t resume_each,
                const std::function<std::vector<std::string>(const fs::path& card)>& resume) {
    const WriteLog log(recorded / "log");
    CutCards cards(before, log, recorded / "front");
    const fs::path card = recorded / "cut";
    Tally tally;
    for (const Cut& cut : choose_cuts(log, random, seed)) {
        cards.make(cut, card);
        std::vector<std::string> wrong = broken(promise, look_at(card, promise));
        if (wrong.empty() && resume_each != 0 && tally.states % resume_each == 0) {
            // Not the card that was looked at: its journal has been replayed.
            cards.make(cut, card);
            wrong = resume(card);
            ++tally.resumed;
        }
        ++tally.states;
        if (!wrong.empty()) ++tally.violated;
        for (const std::string& line : wrong) tally.violations.push_back(describe(log, cut) + ": " + line);
    }
    return tally;
}

}  // namespace makina::crash
