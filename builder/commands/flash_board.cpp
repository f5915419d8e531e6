#include "builder/commands/flash_board.hpp"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>

namespace makina {
namespace {

using Json = nlohmann::ordered_json;

void emit(const Json& event) {
    std::cout << event.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << std::endl;
}

std::string phase_words(FlashPhase phase) {
    switch (phase) {
        case FlashPhase::preparing:
            return "preparing";
        case FlashPhase::writing:
            return "writing  ";
        case FlashPhase::verifying:
            return "verifying";
        case FlashPhase::finishing:
            return "finishing";
    }
    throw Error("an unknown phase");
}

}  // namespace

FlashBoard::FlashBoard(std::vector<Row> rows, bool json, bool quiet)
    : rows_(std::move(rows)), states_(rows_.size()), voice_(Reporter(json).voice()), quiet_(quiet) {}

void FlashBoard::draw() {
    if (voice_ != Voice::terminal || quiet_) return;
    if (drawn_ > 0) std::cerr << "\x1b[" << drawn_ << "A";
    for (const State& state : states_) std::cerr << "\r" << state.line << "\x1b[K\n";
    std::cerr << std::flush;
    drawn_ = states_.size();
}

void FlashBoard::say(std::size_t row, const std::string& line) {
    states_[row].line = rows_[row].subject + " to " + rows_[row].target + ": " + line;
    if (voice_ == Voice::terminal) return draw();
    if (!quiet_) std::cerr << states_[row].line << std::endl;
}

void FlashBoard::progress(std::size_t row, const FlashProgress& progress) {
    const std::lock_guard<std::mutex> guard(mutex_);
    State& state = states_[row];
    const auto now = Clock::now();
    const bool is_new = state.line.empty() || progress.phase != state.phase;
    if (is_new) state.begun = now;
    const auto pause = std::chrono::milliseconds(voice_ == Voice::terminal ? 100 : 500);
    if (!is_new && (now - state.said < pause || voice_ == Voice::lines)) return;
    state.phase = progress.phase;
    state.said = now;
    const double seconds = std::max(std::chrono::duration<double>(now - state.begun).count(), 1e-3);
    const double rate = static_cast<double>(progress.done) / seconds;
    const double left = rate > 0 ? static_cast<double>(progress.total - progress.done) / rate : 0;
    if (voice_ == Voice::json) {
        return emit({{"event", "progress"},
                     {"subject", rows_[row].subject},
                     {"target", rows_[row].target},
                     {"phase", to_string(progress.phase)},
                     {"bytes", progress.done},
                     {"of", progress.total},
                     {"rate", static_cast<std::uint64_t>(rate)},
                     {"left_s", left}});
    }
    std::string line = phase_words(progress.phase);
    if (voice_ == Voice::terminal && progress.total > 0) {
        line += " " + std::to_string(progress.done * 100 / progress.total) + " %  " +
                human_size(static_cast<std::uint64_t>(rate)) + "/s  " + std::to_string(std::lround(left)) + " s left";
    }
    say(row, line);
}

void FlashBoard::succeeded(std::size_t row, const Flashed& flashed) {
    const std::lock_guard<std::mutex> guard(mutex_);
    if (voice_ == Voice::json) {
        return emit({{"event", "flashed"},
                     {"subject", rows_[row].subject},
                     {"target", rows_[row].target},
                     {"verdict", "verified"},
                     {"size", flashed.size},
                     {"written", flashed.written},
                     {"zeroed", flashed.zeroed},
                     {"sha256", flashed.digest},
                     {"write_s", flashed.write_seconds},
                     {"verify_s", flashed.verify_seconds}});
    }
    say(row, "complete, " + human_size(flashed.written) + " written in " + tenths(flashed.write_seconds) +
                 " s and read back in " + tenths(flashed.verify_seconds) + " s");
}

void FlashBoard::failed(std::size_t row, const std::string& text) {
    const std::lock_guard<std::mutex> guard(mutex_);
    if (voice_ == Voice::json) {
        return emit({{"event", "failed"},
                     {"subject", rows_[row].subject},
                     {"target", rows_[row].target},
                     {"verdict", "failed"},
                     {"error", text}});
    }
    if (voice_ == Voice::terminal) say(row, "failed");
    std::cerr << rows_[row].subject << " to " << rows_[row].target << ": " << text << std::endl;
    drawn_ = 0;  // the lines that stand above stay
}

}  // namespace makina
