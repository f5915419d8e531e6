#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "builder/rehearse/rehearse.hpp"

namespace makina {

/// How an image that our probe cannot enter, or that never gets that far, shows its progress on the console: the stage
/// that a line says is reached.
[[nodiscard]] std::optional<BootStage> stage_shown(const std::string& line);

/// True if a line of the console says that the boot will not go on.
[[nodiscard]] bool boot_fails(const std::string& line);

/// Makes lines of a console's bytes, without the colours and the movements that systemd puts into them when it is slow.
class ConsoleLines {
  public:
    /// Calls `on_line` for each line that is complete, and for a login prompt, which no newline ends.
    void take(std::string_view bytes, const std::function<void(const std::string&)>& on_line);

  private:
    enum class Control { none, begun, sequence };
    [[nodiscard]] bool is_control(char letter);

    std::string line_;
    Control control_ = Control::none;
};

}  // namespace makina
