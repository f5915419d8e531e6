#include "builder/commands/flash_jobs.hpp"

#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <iostream>
#include <nlohmann/json.hpp>
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

/// What a person says when the next cards are asked for.
enum class Answer { put_in, leave_out, end };

/// `missed` are those of the nodes whose target could not be had just now.
Answer ask_for_next(const std::vector<const Node*>& nodes, const std::vector<const Node*>& missed) {
    const std::string names = names_of(nodes);
    if (isatty(STDIN_FILENO) == 0) throw Mistake("nobody is there to put in the next cards, for " + names);
    Interruption interruption;
    // What was typed before the question is no answer to it.
    (void)tcflush(STDIN_FILENO, TCIFLUSH);
    std::cerr << "put in the next cards, for " << names << ", and press Enter"
              << (missed.empty() ? "" : " (s and Enter leaves out " + names_of(missed) + ")") << ": " << std::flush;
    // A line is there as a whole: the terminal keeps it until Enter.
    pollfd typed{STDIN_FILENO, POLLIN, 0};
    while (poll(&typed, 1, 0) == 0) {
        if (!interruption.within(0.05)) continue;
        // The terminal drops what is on its way to the screen when it has sent the signal (termios(3), NOFLSH).
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        std::cerr << std::endl;
        return Answer::end;
    }
    std::string line;
    if (!std::getline(std::cin, line)) throw Mistake("nothing was typed: no card was written for " + names);
    return line == "s" && !missed.empty() ? Answer::leave_out : Answer::put_in;
}

/// The nodes of one command, round by round.
class Rounds {
  public:
    Rounds(const std::vector<const Node*>& nodes, const FlashCommand& command)
        : command_(command), all_(nodes.size()), left_(nodes) {}

    void go(const std::function<FlashRun(const std::vector<const Node*>&)>& flash_together) {
        bool goes_on = true;
        while (!left_.empty() && goes_on) {
            if (must_ask() && !ask()) return;
            if (left_.empty()) return;
            const std::vector<const Node*> some = next();
            left_.erase(left_.begin(), left_.begin() + static_cast<std::ptrdiff_t>(some.size()));
            goes_on = round(some, flash_together);
        }
    }
    void say_summary() const {
        const std::size_t verified = all_ - failed_.size() - left_.size();
        if (command_.build.json) return say_event(verified);
        if (command_.quiet && verified == all_) return;
        std::cerr << verified << " of " << all_ << " cards are verified"
                  << (failed_.empty() ? "" : "; failed: " + names_of(failed_))
                  << (left_.empty() ? "" : "; not begun: " + names_of(left_)) << '\n';
    }
    [[nodiscard]] bool are_verified() const { return failed_.empty() && left_.empty(); }

  private:
    [[nodiscard]] std::vector<const Node*> next() const {
        const std::size_t width = std::max<std::size_t>(command_.devices.size(), 1);
        return {left_.begin(), left_.begin() + static_cast<std::ptrdiff_t>(std::min(width, left_.size()))};
    }
    /// Without named devices whoever chooses them has put in the next cards.
    [[nodiscard]] bool must_ask() const { return !missed_.empty() || (is_begun_ && !command_.devices.empty()); }
    /// False if nothing more is to be written.
    bool ask() {
        try {
            const Answer answer = ask_for_next(next(), missed_);
            if (answer == Answer::end) return false;
            const bool asks_again = answer == Answer::leave_out && !command_.devices.empty();
            if (answer == Answer::leave_out) leave_out();
            missed_.clear();
            return !asks_again || left_.empty() || ask();
        } catch (const Mistake& mistake) {
            say_fault(mistake.what());
            return false;
        }
    }
    void leave_out() {
        for (const Node* const node : missed_) {
            failed_.push_back(node);
            left_.erase(std::find(left_.begin(), left_.end(), node));
        }
    }
    bool round(const std::vector<const Node*>& some,
               const std::function<FlashRun(const std::vector<const Node*>&)>& flash_together) {
        FlashRun run;
        try {
            run = flash_together(some);
        } catch (const std::exception& error) {
            if (!command_.build.all || !is_begun_) throw;
            say_fault(error.what());
            run.outcomes.resize(some.size());
        }
        is_begun_ = true;
        const bool somebody_is_there = isatty(STDIN_FILENO) != 0 && !run.interrupted;
        for (std::size_t i = 0; i < some.size(); ++i) {
            if (run.outcomes[i].flashed) continue;
            (run.outcomes[i].begun || !somebody_is_there ? failed_ : missed_).push_back(some[i]);
        }
        left_.insert(left_.begin(), missed_.begin(), missed_.end());
        return !run.interrupted;
    }
    void say_fault(const std::string& text) const {
        if (!command_.build.json) std::cerr << text << std::endl;
        if (command_.build.json) std::cout << Json{{"event", "error"}, {"error", text}}.dump() << std::endl;
    }
    void say_event(std::size_t verified) const {
        const auto names = [](const std::vector<const Node*>& nodes) {
            Json list = Json::array();
            for (const Node* const node : nodes) list.push_back(node->name);
            return list;
        };
        std::cout << Json{{"event", "summary"},
                          {"cards", all_},
                          {"verified", verified},
                          {"failed", names(failed_)},
                          {"not_begun", names(left_)}}
                         .dump()
                  << std::endl;
    }

    using Json = nlohmann::ordered_json;
    const FlashCommand& command_;
    std::size_t all_;
    std::vector<const Node*> left_, failed_;
    std::vector<const Node*> missed_;  ///< in the round just now; they are left, too
    bool is_begun_ = false;
};

/// Empty if nothing tells this card from the next one in the same place.
std::string identity_of(const FlashTarget& target) {
    if (!target.device) return std::filesystem::absolute(target.file).lexically_normal().string();
    const auto sequence = target.device->sequence;
    return sequence ? target.name() + " " + std::to_string(*sequence) : "";
}

}  // namespace

FlashRun run_flash_jobs(const std::vector<FlashJob>& jobs, const FlashCommand& command, const TargetOptions& targets) {
    std::vector<FlashBoard::Row> rows;
    std::vector<std::shared_ptr<Medium>> media;
    for (const FlashJob& job : jobs) {
        rows.push_back({job.subject, job.target.name()});
        media.push_back(job.medium ? job.medium : open_target(job.target, targets));
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
    Rounds rounds(nodes, command);
    rounds.go(flash_together);
    if (command.build.all) rounds.say_summary();
    return rounds.are_verified() ? 0 : 1;
}

void Finished::note(const FlashTarget& target, const std::string& node) {
    const std::string identity = identity_of(target);
    nodes_[identity.empty() ? target.name() : identity] = node;
}

void Finished::require_other(const FlashTarget& target) const {
    const std::string identity = identity_of(target);
    const auto found = nodes_.find(identity.empty() ? target.name() : identity);
    if (found == nodes_.end()) return;
    std::error_code failed;
    if (!target.device &&
        (!std::filesystem::exists(target.file, failed) || std::filesystem::is_empty(target.file, failed)))
        return;
    const std::string& node = found->second;
    if (!target.device) throw Mistake(target.name() + " is the card of " + node + ": move it away first");
    if (identity.empty()) {
        throw Mistake("nothing tells whether the card of " + node + " is still in " + target.name() +
                      ": this kernel does not number cards; write the next one with --role");
    }
    throw Mistake("the card of " + node + " is still in " + target.name() + ": put in another one");
}

}  // namespace makina
