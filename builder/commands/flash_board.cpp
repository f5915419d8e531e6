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

/// What does not fit is left out of the subject first: the device and the figures are looked at.
std::string FlashBoard::line_of(std::size_t row, std::size_t columns) const {
    const std::string rest = " to " + rows_[row].target + ": " + states_[row].words;
    const std::size_t room = std::max<std::size_t>(columns > rest.size() ? columns - rest.size() : 0, 8);
    return shortened(shortened(rows_[row].subject, room) + rest, columns);
}

void FlashBoard::erase() {
    if (drawn_ > 0) std::cerr << "\x1b[" << drawn_ << "A\r\x1b[J";
    drawn_ = 0;
}

void FlashBoard::draw() {
    if (voice_ != Voice::terminal || quiet_) return;
    if (drawn_ > 0) std::cerr << "\x1b[" << drawn_ << "A";
    // A line that goes on behind the last column would be two, and the next drawing begin too low.
    const std::size_t columns = terminal_width(STDERR_FILENO) - 1;
    for (std::size_t row = 0; row < rows_.size(); ++row) std::cerr << "\r" << line_of(row, columns) << "\x1b[K\n";
    std::cerr << std::flush;
    drawn_ = rows_.size();
}

void FlashBoard::say(std::size_t row, const std::string& words) {
    states_[row].words = words;
    if (voice_ == Voice::terminal) return draw();
    if (!quiet_) std::cerr << rows_[row].subject << " to " << rows_[row].target << ": " << words << std::endl;
}

void FlashBoard::progress(std::size_t row, const FlashProgress& progress) {
    const std::lock_guard<std::mutex> guard(mutex_);
    State& state = states_[row];
    const auto now = Pace::Clock::now();
    const bool is_new = !state.pace || progress.phase != state.phase;
    if (is_new) state.pace.emplace(now, progress.done);
    const auto pause = std::chrono::milliseconds(voice_ == Voice::terminal ? 100 : 500);
    if (!is_new && (now - state.said < pause || voice_ == Voice::lines)) return;
    state.phase = progress.phase;
    state.said = now;
    tell(row, progress, state.pace->at(now, progress.done, progress.total));
}

void FlashBoard::tell(std::size_t row, const FlashProgress& progress, const std::optional<Pace::Figures>& pace) {
    if (voice_ == Voice::json) {
        Json event = {{"event", "progress"},         {"subject", rows_[row].subject},
                      {"target", rows_[row].target}, {"phase", to_string(progress.phase)},
                      {"bytes", progress.done},      {"of", progress.total}};
        if (pace) event.update({{"rate", static_cast<std::uint64_t>(pace->rate)}, {"left_s", pace->left}});
        return emit(event);
    }
    std::string words = phase_words(progress.phase);
    if (voice_ == Voice::terminal && progress.total > 0) {
        words += " " + std::to_string(progress.done * 100 / progress.total) + " %";
        if (pace) {
            words += "  " + human_size(static_cast<std::uint64_t>(pace->rate)) + "/s  " +
                     std::to_string(std::lround(pace->left)) + " s left";
        }
    }
    say(row, words);
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
    // It stays where it is written, above the rows, which go on to be drawn below it.
    erase();
    states_[row].words = "failed";
    std::cerr << rows_[row].subject << " to " << rows_[row].target << ": " << text << std::endl;
    draw();
}

}  // namespace makina
