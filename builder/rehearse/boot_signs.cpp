#include "builder/rehearse/boot_signs.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace makina {
namespace {

constexpr std::string_view prompt = " login: ";

constexpr std::array<std::pair<std::string_view, BootStage>, 6> signs = {{
    {"Booting Linux on physical CPU", BootStage::kernel},
    {"Run /init as init process", BootStage::initrd},
    {"Loading, please wait...", BootStage::initrd},
    {" running in system mode", BootStage::root},
    {"Reached target multi-user.target", BootStage::multi_user},
    {prompt, BootStage::multi_user},
}};

constexpr std::array<std::string_view, 5> ends = {{
    "Kernel panic - not syncing",
    "You are in emergency mode",
    "You are in rescue mode",
    "Dropping to a shell!",
    "Rebooting automatically due to panic= boot argument",
}};

/// No line of a boot is longer; what is, is taken in pieces.
constexpr std::size_t longest = 4096;

}  // namespace

std::optional<BootStage> stage_shown(const std::string& line) {
    std::optional<BootStage> reached;
    for (const auto& [sign, stage] : signs) {
        if (line.find(sign) != std::string::npos) reached = stage;
    }
    return reached;
}

bool boot_fails(const std::string& line) {
    return std::any_of(ends.begin(), ends.end(),
                       [&](std::string_view sign) { return line.find(sign) != std::string::npos; });
}

/// ECMA-48, 5.4: after ESC a control sequence begins with "[" and ends with a byte from "@" to "~"; others are one
/// letter long.
bool ConsoleLines::is_control(char letter) {
    switch (control_) {
        case Control::none:
            if (letter == '\x1b') control_ = Control::begun;
            return control_ == Control::begun;
        case Control::begun:
            control_ = letter == '[' ? Control::sequence : Control::none;
            return true;
        case Control::sequence:
            if (letter >= '@' && letter <= '~') control_ = Control::none;
            return true;
    }
    return false;
}

void ConsoleLines::take(std::string_view bytes, const std::function<void(const std::string&)>& on_line) {
    for (const char letter : bytes) {
        if (is_control(letter)) continue;
        if (letter == '\n' || line_.size() > longest) {
            const std::string line = std::exchange(line_, {});
            if (!line.empty()) on_line(line);
        } else if (letter != '\r') {
            line_ += letter;
        }
    }
    if (line_.ends_with(prompt)) on_line(line_);
}

}  // namespace makina
