#include "builder/commands/rehearse.hpp"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

std::string tenths(double seconds) {
    std::array<char, 32> text{};
    return {text.data(), static_cast<std::size_t>(std::snprintf(text.data(), text.size(), "%.1f", seconds))};
}

/// What a guest says, without what would move the cursor or colour the rest of the screen.
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

std::string indented(const std::string& said) {
    const std::string text = printable(said);
    std::string lines;
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = std::min(text.find('\n', begin), text.size());
        lines += "    " + text.substr(begin, end - begin) + '\n';
        begin = end + 1;
    }
    return lines;
}

std::vector<Question> parse_questions(const std::vector<std::string>& texts) {
    std::vector<Question> questions;
    for (const std::string& text : texts) {
        const auto equals = text.find('=');
        if (equals == 0 || equals == std::string::npos || equals + 1 == text.size()) {
            throw CLI::ValidationError("--question", "\"" + text + "\" is not NAME=COMMAND");
        }
        questions.push_back({text.substr(0, equals), text.substr(equals + 1)});
    }
    return questions;
}

double steady_seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// One line that is rewritten on a terminal; elsewhere a line for each new stage.
class Progress {
  public:
    Progress(std::ostream& out, bool live) : out_(out), live_(live) {}
    void show(const std::string& doing, double seconds) {
        if (live_) {
            out_ << "\r\x1b[K" << static_cast<int>(seconds) << " s: " << doing << std::flush;
        } else if (doing != before_ && doing.rfind("asked ", 0) != 0) {
            out_ << tenths(seconds) << " s: " << doing << '\n' << std::flush;
        }
        before_ = doing;
    }
    void clear() const {
        if (live_) out_ << "\r\x1b[K" << std::flush;
    }

  private:
    std::ostream& out_;
    bool live_;
    std::string before_;
};

}  // namespace

std::string to_json(const Verdict& verdict) {
    nlohmann::ordered_json json = {{"passed", verdict.passed()}, {"node", verdict.node}, {"role", verdict.role}};
    json["reached"] = verdict.reached.empty() ? "" : to_string(verdict.reached.back().stage);
    json["stages"] = nlohmann::ordered_json::array();
    for (const StageTime& stage : verdict.reached) {
        json["stages"].push_back({{"stage", to_string(stage.stage)}, {"seconds", stage.seconds}});
    }
    json["seconds"] = verdict.seconds;
    json["state"] = verdict.state;
    json["failed_units"] = verdict.failed_units;
    json["answers"] = nlohmann::ordered_json::array();
    for (const Reply& answer : verdict.answers) {
        json["answers"].push_back({{"name", answer.question.name},
                                   {"command", answer.question.command},
                                   {"good", answer.status == 0},
                                   {"status", answer.status},
                                   {"output", answer.output}});
    }
    json["stopped"] = verdict.stopped;
    json["last_output"] = verdict.last_output;
    // What a guest prints need not be UTF-8; JSON must be.
    return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string to_text(const Verdict& verdict) {
    std::string text;
    for (const StageTime& stage : verdict.reached)
        text += tenths(stage.seconds) + " s: " + to_string(stage.stage) + '\n';
    for (const std::string& name : verdict.failed_units) text += "failed unit: " + printable(name) + '\n';
    std::size_t good = 0;
    for (const Reply& answer : verdict.answers) {
        if (answer.status == 0) {
            ++good;
        } else if (answer.status != -1) {
            text += "wrong: " + answer.question.name + " (exit code " + std::to_string(answer.status) + ")\n" +
                    indented(answer.output);
        }
    }
    const auto asked = static_cast<std::size_t>(std::count_if(verdict.answers.begin(), verdict.answers.end(),
                                                              [](const Reply& answer) { return answer.status != -1; }));
    text +=
        std::to_string(good) + " of " + std::to_string(verdict.answers.size()) + " questions answered well" +
        (asked < verdict.answers.size() ? ", " + std::to_string(verdict.answers.size() - asked) + " not asked" : "") +
        '\n';
    if (!verdict.stopped.empty())
        text += "stopped: " + printable(verdict.stopped) + '\n' + indented(verdict.last_output);
    const std::string name = verdict.node.empty() ? "the image" : verdict.node;
    return text + name + (verdict.passed() ? ": passed\n" : ": did not pass\n");
}

int rehearse(const RehearseOptions& options, std::ostream& out, std::ostream& progress, bool live) {
    std::ofstream console;
    if (!options.console.empty()) {
        console.open(options.console, std::ios::binary);
        if (!console) throw_system("opening " + options.console.string());
    }
    Progress shown(progress, live);
    RehearseRequest request;
    request.image = options.image;
    request.questions = parse_questions(options.questions);
    request.card_size = options.card_size;
    request.timeout = options.timeout;
    request.memory_mib = options.memory_mib;
    request.clock = steady_seconds;
    request.on_console = [&](std::string_view bytes) {
        console.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    };
    request.on_progress = [&](const std::string& doing, double seconds) { shown.show(doing, seconds); };
    const Verdict verdict = rehearse(request);
    shown.clear();
    out << (options.json ? to_json(verdict) + '\n' : to_text(verdict));
    return verdict.passed() ? 0 : 1;
}

void add_rehearse(CLI::App& app, int& exit_code) {
    const auto options = std::make_shared<RehearseOptions>();
    CLI::App* const command =
        app.add_subcommand("rehearse", "boot an image in an emulator and ask the guest whether all is well");
    command->footer(
        "The image is not changed, no root and no network are needed. A boot takes a minute or two.\n"
        "Exit code: 0 if the image passed, 1 if it did not or could not be booted, 2 for a mistake in the command "
        "line.");
    command->add_option("image", options->image, "the image file")->required()->check(CLI::ExistingFile);
    command->add_option("--question", options->questions, "also ask this: a shell command that succeeds if all is well")
        ->type_name("NAME=COMMAND")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    command->add_option("--timeout", options->timeout, "seconds until it is given up")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    command->add_option("--memory", options->memory_mib, "MiB of memory of the emulated machine")
        ->check(CLI::Range(256, 65536))
        ->capture_default_str();
    command
        ->add_option("--card-size", options->card_size,
                     "as if the image were on a card of this size, such as 16GB (default: the image's own)")
        ->transform(CLI::AsSizeValue(true));
    command->add_option("--console", options->console, "keep the serial console's output in this file")
        ->type_name("FILE");
    command->add_flag("--json", options->json, "the verdict as JSON, for programs");
    command->callback(
        [options, &exit_code] { exit_code = rehearse(*options, std::cout, std::cerr, isatty(STDERR_FILENO) == 1); });
}

}  // namespace makina
