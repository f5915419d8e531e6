#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

#include "builder/plan.hpp"

namespace makina {

/// How a command speaks while it works.
enum class Voice { terminal, lines, json };

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
    /// Bytes done of all; on a terminal it redraws one line with rate and time left.
    void progress(const std::string& subject, std::uint64_t done, std::uint64_t total);
    /// Ends a line that progress has drawn.
    void finish_line();
    /// What would be in an image.
    void plan(const ImagePlan& plan);
    /// One finished image.
    void image(const std::string& subject, const std::string& path, std::uint64_t size, std::uint64_t used,
               const std::string& sha256, double seconds);

  private:
    using Clock = std::chrono::steady_clock;
    void end_line();

    std::mutex mutex_;
    Voice voice_;
    bool line_open_ = false;
    std::string subject_;
    Clock::time_point started_ = Clock::now();
    Clock::time_point drawn_;
};

/// What another machine says, without what would move the cursor or colour the rest of the screen.
[[nodiscard]] std::string printable(const std::string& text);
/// The same, each line four columns to the right.
[[nodiscard]] std::string indented(const std::string& text);
/// "12.3"
[[nodiscard]] std::string tenths(double number);
/// "1.4 GiB": three significant digits at most.
[[nodiscard]] std::string human_size(std::uint64_t bytes);

}  // namespace makina
