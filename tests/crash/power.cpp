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

/// A card that is to be resumed.
struct Kept {
    fs::path card;
    std::string cut;
};

void resume_all(const std::vector<Kept>& kept, const Resume& resume, Tally& tally) {
    // More than there are processors: a run waits a second for answers to its ARP probes.
    constexpr unsigned workers = 8;
    std::mutex mutex;
    std::atomic<std::size_t> next = 0;
    std::vector<std::thread> threads;
    for (unsigned worker = 0; worker < workers; ++worker) {
        threads.emplace_back([&, worker] {
            for (std::size_t i = next++; i < kept.size(); i = next++) {
                std::vector<std::string> wrong;
                try {
                    wrong = resume(kept[i].card, worker);
                } catch (const Error& error) {
                    wrong.emplace_back(error.what());
                }
                fs::remove(kept[i].card);
                const std::lock_guard lock(mutex);
                ++tally.resumed;
                if (!wrong.empty()) ++tally.stuck;
                for (const std::string& line : wrong) tally.faults.push_back(kept[i].cut + ", resumed: " + line);
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
}

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
                std::uint64_t seed, std::size_t resumes, const Resume& resume) {
    const WriteLog log(recorded / "log");
    CutCards cards(before, log, recorded / "front");
    const std::vector<Cut> cuts = choose_cuts(log, random, seed);
    const std::size_t step = resumes == 0 ? 0 : std::max<std::size_t>(1, cuts.size() / resumes);
    const fs::path card = recorded / "cut";
    Tally tally;
    std::vector<Kept> kept;
    for (const Cut& cut : cuts) {
        cards.make(cut, card);
        if (step != 0 && tally.states % step == 0) {
            // A copy: looking at a card replays its journal.
            kept.push_back({recorded / ("kept-" + std::to_string(kept.size())), describe(log, cut)});
            copy_sparse(card, kept.back().card);
        }
        const std::vector<std::string> wrong = broken(promise, look_at(card, promise));
        ++tally.states;
        if (!wrong.empty()) ++tally.violated;
        for (const std::string& line : wrong) tally.faults.push_back(describe(log, cut) + ": " + line);
    }
    resume_all(kept, resume, tally);
    return tally;
}

}  // namespace makina::crash
