#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

#include "builder/plan.hpp"

namespace makina {

/// How a command speaks while it works.
enum class Voice { terminal, lines, json };

/// How fast bytes go, since a moment at which so many were done already.
class Pace {
  public:
    using Clock = std::chrono::steady_clock;
    struct Figures {
        double rate = 0;  ///< bytes a second
        double left = 0;  ///< seconds
    };
    Pace(Clock::time_point begun, std::uint64_t done) : begun_(begun), done_(done) {}
    /// None so early that they would say nothing.
    [[nodiscard]] std::optional<Figures> at(Clock::time_point now, std::uint64_t done, std::uint64_t total) const;

  private:
    Clock::time_point begun_;
    std::uint64_t done_;
};

/// What a person (or a program, with Voice::json) sees of a long command. Everything goes to standard error, one JSON
/// object a line for programs to standard output. Several threads may use one.
class Reporter {
  public:
    /// Voice::terminal only if standard error is a terminal, else lines.
    explicit Reporter(bool json);

    [[nodiscard]] Voice voice() const { return voice_; }
    /// A step that begins: "fetching 177 packages".
    void step(const std::string& subject, const std::string& text);
    void warning(const std::string& subject, const std::string& text);
    /// Bytes done of all; on a terminal it redraws one line with rate and time left, no longer than it.
    void progress(const std::string& subject, std::uint64_t done, std::uint64_t total);
    /// Ends a line that progress has drawn.
    void finish_line();
    /// What would be in an image.
    void plan(const ImagePlan& plan);
    /// One finished image.
    void image(const std::string& subject, const std::string& path, std::uint64_t size, std::uint64_t used,
               const std::string& sha256, double seconds);

  private:
    void end_line();
    void draw(double part, const std::optional<Pace::Figures>& pace);

    std::mutex mutex_;
    Voice voice_;
    bool line_open_ = false;
    std::string subject_;
    std::optional<Pace> pace_;
    Pace::Clock::time_point drawn_;
};

/// What another machine says, without what would move the cursor or colour the rest of the screen.
[[nodiscard]] std::string printable(const std::string& text);
/// The same, each line four columns to the right.
[[nodiscard]] std::string indented(const std::string& text);
/// Columns of the terminal that a descriptor is, 80 if it is none.
[[nodiscard]] std::size_t terminal_width(int descriptor);
/// As much of a line as so many columns take; "..." stands for the rest.
[[nodiscard]] std::string shortened(const std::string& line, std::size_t columns);
/// "12.3"
[[nodiscard]] std::string tenths(double number);
/// "1.4 GiB": three significant digits at most.
[[nodiscard]] std::string human_size(std::uint64_t bytes);

}  // namespace makina
