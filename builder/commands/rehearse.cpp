#include "builder/commands/rehearse.hpp"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "builder/commands/cluster.hpp"
#include "builder/commands/keyring.hpp"
#include "builder/commands/rehearse_cluster.hpp"
#include "builder/commands/terminal.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

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

/// Everything that the command line may say, for one image or for a cluster.
struct Said {
    RehearseOptions image;
    ClusterRehearsalOptions cluster;
    std::map<DrillKind, std::vector<std::string>> drills;  ///< as they are written
    std::string until = "joined";
    unsigned memory_mib = 0;
    std::vector<CLI::Option*> for_a_cluster;  ///< what is refused with an image
};

void add_common_options(CLI::App& command, Said& said) {
    command
        .add_option(
            "--question", said.image.questions,
            "also ask this in the guest, in a cluster after each drill: a shell command that succeeds if all is well")
        ->type_name("NAME=COMMAND")
        ->expected(1)
        ->allow_extra_args(false)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    command.add_option("--timeout", said.image.timeout, "seconds until it, or one drill, is given up")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    command
        .add_option("--memory", said.memory_mib,
                    "MiB of memory of each machine (default: 2048; in a cluster 512 to 2048, as the role needs)")
        ->check(CLI::Range(256, 65536).description(""));
    command
        .add_option("--card-size", said.image.card_size,
                    "as if the image were on a card of this size, such as 16GB (default: the image's own)")
        ->transform(CLI::AsSizeValue(true));
    command
        .add_option("--console", said.image.console,
                    "keep the serial console's output in this file; of a cluster in this folder")
        ->type_name("PATH");
    command.add_flag("--json", said.image.json, "the verdict, or what happens, as JSON for programs");
}

std::vector<CLI::Option*> add_drill_options(CLI::App& command, Said& said) {
    const std::vector<std::pair<DrillKind, const char*>> kinds = {
        {DrillKind::kill,
         "the power of this node goes without warning; \"holder\" is the balancer with the API's address"},
        {DrillKind::restart, "its power goes, and comes back after 5 seconds, or as many as are said"},
        {DrillKind::replace, "its power goes, and a new card of the same name is put into its board"},
        {DrillKind::cut, "its network cable is pulled, and plugged again after 20 seconds, or as many as are said"}};
    std::vector<CLI::Option*> options;
    for (const auto& [kind, help] : kinds) {
        const bool lasts = kind == DrillKind::restart || kind == DrillKind::cut;
        options.push_back(command.add_option("--" + to_string(kind), said.drills[kind], help)
                              ->type_name(lasts ? "NODE[:S]" : "NODE")
                              ->expected(1)
                              ->allow_extra_args(false)
                              ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll));
    }
    return options;
}

void add_cluster_options(CLI::App& command, Said& said) {
    ClusterRehearsalOptions& cluster = said.cluster;
    std::vector<CLI::Option*>& options = said.for_a_cluster;
    options = {
        command
            .add_option("--profile", cluster.build.profile, "the cluster's file: its nodes are booted on one switch")
            ->type_name("FILE"),
        command.add_option("--nodes", cluster.choice.nodes, "only these nodes (default: all of the profile)")
            ->delimiter(',')
            ->expected(1)
            ->allow_extra_args(false)
            ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
            ->type_name("A,B,C")};
    const std::vector<CLI::Option*> drills = add_drill_options(command, said);
    options.insert(options.end(), drills.begin(), drills.end());
    options.push_back(
        command
            .add_option("--until", said.until,
                        "when a drill is judged: as soon as all have \"joined\", or after so many seconds")
            ->capture_default_str()
            ->type_name("joined|S"));
    options.push_back(command
                          .add_option("--settle", cluster.settle,
                                      "a cluster that waits has settled after so many seconds without a change")
                          ->check(CLI::Range(1, 3600).description(""))
                          ->capture_default_str()
                          ->type_name("S"));
    options.push_back(
        command.add_option("--images", cluster.images, "take NODE.img from this folder where there is one")
            ->check(CLI::ExistingDirectory.description(""))
            ->type_name("FOLDER"));
    options.push_back(command.add_flag("--internet", cluster.choice.internet,
                                       "nodes reach what this computer reaches (default: only each other)"));
    options.push_back(command
                          .add_option("--daemon", cluster.build.daemon,
                                      "the nodes' makina-firstboot (default: the one compiled here)")
                          ->type_name("FILE"));
    options.push_back(command.add_flag("--offline", cluster.build.base.offline, "use no network for building cards"));
    options.push_back(
        command.add_option("--cache", cluster.build.base.cache, "folder that keeps bases (default: ~/.cache/makina)")
            ->type_name("FOLDER"));
    const std::vector<CLI::Option*> before = command.get_options();
    add_keyring_options(command, cluster.build.keyring);
    for (CLI::Option* const option : command.get_options()) {
        if (std::find(before.begin(), before.end(), option) == before.end()) options.push_back(option);
    }
}

/// CLI11 keeps the values of each option together; drills are done in the order in which they are said.
std::vector<Drill> drills_in_order(const CLI::App& command, const Said& said) {
    std::vector<Drill> drills;
    std::map<DrillKind, std::size_t> taken;
    for (const CLI::Option* const option : command.parse_order()) {
        for (const auto& [kind, texts] : said.drills) {
            if (option->get_name() != "--" + to_string(kind)) continue;
            try {
                drills.push_back(parse_drill(kind, texts.at(taken[kind]++)));
            } catch (const Error& error) {
                throw Mistake(error.what());
            }
        }
    }
    return drills;
}

std::optional<double> seconds_until_judged(const std::string& text) {
    if (text == "joined") return std::nullopt;
    int seconds = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (read.ec != std::errc() || read.ptr != text.data() + text.size() || seconds < 1) {
        throw Mistake("--until " + text + ": say \"joined\", or whole seconds");
    }
    return seconds;
}

int rehearse_what_is_said(const CLI::App& command, Said& said) {
    if (!said.image.image.empty()) {
        for (const CLI::Option* const option : said.for_a_cluster) {
            if (option->count() > 0) throw Mistake(option->get_name() + " is for a cluster: say it without an image");
        }
        if (said.memory_mib > 0) said.image.memory_mib = said.memory_mib;
        return rehearse(said.image, std::cout, std::cerr, isatty(STDERR_FILENO) == 1);
    }
    ClusterRehearsalOptions& cluster = said.cluster;
    cluster.drills = drills_in_order(command, said);
    cluster.until = seconds_until_judged(said.until);
    if (cluster.build.profile.empty() && cluster.choice.nodes.empty() && cluster.drills.empty()) {
        throw Mistake("say which image, or which cluster with --profile FILE");
    }
    cluster.choice.memory_mib = said.memory_mib;
    cluster.choice.card_size = said.image.card_size;
    cluster.choice.questions = parse_questions(said.image.questions);
    cluster.console = said.image.console;
    cluster.timeout = said.image.timeout;
    cluster.json = said.image.json;
    return rehearse_cluster(cluster, std::cout, isatty(STDOUT_FILENO) == 1);
}

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
    const auto said = std::make_shared<Said>();
    CLI::App* const command =
        app.add_subcommand("rehearse", "boot an image, or several nodes of a cluster, in an emulator");
    command->footer(
        "With an image: boots it and asks the guest whether all is well. With a profile: builds the cards of its "
        "nodes, boots them on one switch, shows how they join, and does what is said to them in that order, each "
        "when all have settled.\n"
        "Example: makina-image rehearse --profile profiles/makina.yaml --nodes lb-1,lb-2 --kill lb-1\n"
        "No image is changed, no root and no network are needed. A boot takes a minute or two.\n"
        "Exit code: 0 if the image passed, or if all nodes joined and were well after each drill; 1 if not or if "
        "there was a fault; 2 for a mistake in the command line.");
    command->add_option("image", said->image.image, "the image file")->check(CLI::ExistingFile);
    add_common_options(*command, *said);
    add_cluster_options(*command, *said);
    command->callback([command, said, &exit_code] { exit_code = rehearse_what_is_said(*command, *said); });
}

}  // namespace makina
