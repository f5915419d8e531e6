#pragma once

#include <cstddef>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "builder/commands/terminal.hpp"
#include "builder/flash/flash.hpp"

namespace makina {

/// What a person (or a program) sees of several cards that are written at once: a line each, cut to the
/// terminal's width. Several threads may use
/// it at a time.
class FlashBoard {
  public:
    struct Row {
        std::string subject;  ///< what is written: a node, or an image's name
        std::string target;   ///< "/dev/sdb"
    };
    /// `quiet` says nothing of what goes well, except in events.
    FlashBoard(std::vector<Row> rows, bool json, bool quiet);

    void progress(std::size_t row, const FlashProgress& progress);
    void succeeded(std::size_t row, const Flashed& flashed);
    void failed(std::size_t row, const std::string& text);

  private:
    struct State {
        FlashPhase phase = FlashPhase::preparing;
        std::optional<Pace> pace;  ///< of this phase; none before the first
        Pace::Clock::time_point said;
        std::string words = "preparing";
    };
    [[nodiscard]] std::string line_of(std::size_t row, std::size_t columns) const;
    void erase();
    void draw();
    void say(std::size_t row, const std::string& words);
    void tell(std::size_t row, const FlashProgress& progress, const std::optional<Pace::Figures>& pace);

    std::vector<Row> rows_;
    std::vector<State> states_;
    Voice voice_;
    bool quiet_;
    std::size_t drawn_ = 0;  ///< lines on the terminal
    std::mutex mutex_;
};

}  // namespace makina
