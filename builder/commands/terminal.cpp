#include "builder/commands/terminal.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

namespace makina {
namespace {

void emit(const nlohmann::ordered_json& event) {
    // File names need not be UTF-8; JSON must be.
    std::cout << event.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << std::endl;
}

std::string rounded(double value, int digits) {
    std::array<char, 32> text{};
    (void)std::snprintf(text.data(), text.size(), "%.*f", digits, value);
    return text.data();
}

/// As inspect writes modes: "0644".
std::string octal(std::uint32_t mode) {
    std::array<char, 16> text{};
    (void)std::snprintf(text.data(), text.size(), "%04o", mode);
    return text.data();
}

std::string bar(double part) {
    constexpr int width = 24;
    const int filled = static_cast<int>(part * width);
    return "[" + std::string(static_cast<std::size_t>(filled), '#') +
           std::string(static_cast<std::size_t>(width - filled), '.') + "]";
}

}  // namespace

std::string printable(const std::string& text) {
    std::string plain;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto byte = static_cast<unsigned char>(text[i]);
        if (byte == 0x1b && i + 1 < text.size() && text[i + 1] == '[') {
            // A control sequence (ECMA-48) ends with a byte from '@' to '~'.
            for (i += 2; i < text.size() && (text[i] < '@' || text[i] > '~');) ++i;
        } else if ((byte >= 0x20 && byte != 0x7f) || byte == '\n' || byte == '\t') {
            plain += text[i];
        }
    }
    return plain;
}

std::string indented(const std::string& text) {
    const std::string plain = printable(text);
    std::string lines;
    for (std::size_t begin = 0; begin < plain.size();) {
        const std::size_t end = std::min(plain.find('\n', begin), plain.size());
        lines += "    " + plain.substr(begin, end - begin) + '\n';
        begin = end + 1;
    }
    return lines;
}

std::size_t terminal_width(int descriptor) {
    winsize size{};
    return ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string shortened(const std::string& line, std::size_t columns) {
    // In UTF-8 every byte but those from 0x80 to 0xbf begins a character.
    const auto begins = [](char byte) { return (static_cast<unsigned char>(byte) & 0xc0U) != 0x80; };
    if (static_cast<std::size_t>(std::count_if(line.begin(), line.end(), begins)) <= columns) return line;
    const std::string dots(std::min<std::size_t>(columns, 3), '.');
    std::size_t end = 0;
    for (std::size_t left = columns - dots.size() + 1; end < line.size(); ++end) {
        if (begins(line[end]) && --left == 0) break;
    }
    return line.substr(0, end) + dots;
}

std::string tenths(double number) {
    return rounded(number, 1);
}

std::string human_size(std::uint64_t bytes) {
    const std::array<const char*, 5> units = {"B", "KiB", "MiB", "GiB", "TiB"};
    auto value = static_cast<double>(bytes);
    std::size_t unit = 0;
    for (; value >= 1024 && unit + 1 < units.size(); ++unit) value /= 1024;
    return rounded(value, unit == 0 || value >= 100 ? 0 : 1) + " " + units.at(unit);
}

std::optional<Pace::Figures> Pace::at(Clock::time_point now, std::uint64_t done, std::uint64_t total) const {
    const double seconds = std::chrono::duration<double>(now - begun_).count();
    if (seconds < 0.05 || done <= done_) return std::nullopt;
    const double rate = static_cast<double>(done - done_) / seconds;
    return Figures{rate, total > done ? static_cast<double>(total - done) / rate : 0};
}

Reporter::Reporter(bool json)
    : voice_(json                         ? Voice::json
             : isatty(STDERR_FILENO) != 0 ? Voice::terminal
                                          : Voice::lines) {}

void Reporter::step(const std::string& subject, const std::string& text) {
    const std::lock_guard<std::mutex> guard(mutex_);
    if (voice_ == Voice::json) return emit({{"event", "step"}, {"node", subject}, {"text", text}});
    end_line();
    std::cerr << subject << ": " << text << std::endl;
}

void Reporter::warning(const std::string& subject, const std::string& text) {
    const std::lock_guard<std::mutex> guard(mutex_);
    if (voice_ == Voice::json) return emit({{"event", "warning"}, {"node", subject}, {"text", text}});
    end_line();
    std::cerr << "warning: " << text << std::endl;
}

void Reporter::progress(const std::string& subject, std::uint64_t done, std::uint64_t total) {
    const std::lock_guard<std::mutex> guard(mutex_);
    const auto now = Pace::Clock::now();
    if (!pace_ || subject != subject_) {
        subject_ = subject;
        pace_.emplace(now, done);
        drawn_ = {};
    }
    // Ten times a second is smooth for an eye and cheap for a log of events.
    if (voice_ == Voice::lines || (done < total && now - drawn_ < std::chrono::milliseconds(100))) return;
    drawn_ = now;
    const std::optional<Pace::Figures> pace = pace_->at(now, done, total);
    if (voice_ == Voice::json) {
        nlohmann::ordered_json event = {{"event", "progress"}, {"node", subject}, {"done", done}, {"total", total}};
        if (pace) event.update({{"rate", static_cast<std::uint64_t>(pace->rate)}, {"left_s", pace->left}});
        return emit(event);
    }
    draw(total == 0 ? 1 : static_cast<double>(done) / static_cast<double>(total), pace);
}

void Reporter::draw(double part, const std::optional<Pace::Figures>& pace) {
    std::string figures = rounded(part * 100, 0) + " %";
    if (pace) {
        figures +=
            "  " + human_size(static_cast<std::uint64_t>(pace->rate)) + "/s  " + rounded(pace->left, 0) + " s left";
    }
    // Behind the last column the next line begins, which would not be drawn over.
    const std::size_t room = terminal_width(STDERR_FILENO) - 1;
    std::string line = subject_ + "  " + bar(part) + " " + figures;
    if (line.size() > room) line = subject_ + "  " + figures;
    std::cerr << "\r" << shortened(line, room) << "\x1b[K" << std::flush;
    line_open_ = true;
}

void Reporter::finish_line() {
    const std::lock_guard<std::mutex> guard(mutex_);
    end_line();
}

void Reporter::end_line() {
    if (line_open_) std::cerr << "\r\x1b[K" << std::flush;
    line_open_ = false;
}

void Reporter::plan(const ImagePlan& plan) {
    const std::lock_guard<std::mutex> guard(mutex_);
    end_line();
    if (voice_ != Voice::json) {
        std::cout << to_text(plan) << std::flush;
        return;
    }
    nlohmann::ordered_json files = nlohmann::ordered_json::array();
    for (const auto& [path, file] : plan.files.files()) {
        files.push_back({{"path", path},
                         {"mode", octal(file.mode)},
                         {"user", file.user},
                         {"group", file.group},
                         {"origin", file.origin}});
    }
    emit({{"event", "plan"},
          {"node", plan.node.name},
          {"role", to_string(plan.node.role)},
          {"base", plan.base_id},
          {"built", plan.built},
          {"files", std::move(files)},
          {"removals", plan.removals},
          {"first_boot", plan.first_boot}});
}

void Reporter::image(const std::string& subject, const std::string& path, std::uint64_t size, std::uint64_t used,
                     const std::string& sha256, double seconds) {
    const std::lock_guard<std::mutex> guard(mutex_);
    if (voice_ == Voice::json) {
        return emit({{"event", "image"},
                     {"node", subject},
                     {"path", path},
                     {"size", size},
                     {"used", used},
                     {"sha256", sha256},
                     {"seconds", seconds}});
    }
    end_line();
    std::cout << "image   " << path << "\nsize    " << size << " bytes (" << human_size(size) << ", "
              << human_size(used) << " to write)\n";
    if (!sha256.empty()) std::cout << "sha256  " << sha256 << '\n';
    std::cout << std::flush;
}

}  // namespace makina
