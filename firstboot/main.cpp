#include <charconv>
#include <cstdio>
#include <cstring>
#include <exception>
#include <optional>
#include <string>
#include <vector>

#include "firstboot/bundle/error.hpp"
#include "firstboot/machine/machine.hpp"
#include "firstboot/node/take_address.hpp"
#include "firstboot/run.hpp"
#include "firstboot/status_lines.hpp"

namespace makina {
namespace {

constexpr const char* usage =
    "usage: makina-firstboot run [--until-joined]   make this node part of its cluster, and tell the status\n"
    "       makina-firstboot status [--json]        what it is doing\n"
    "       makina-firstboot take-address FILE      ask who has the address in networkd's FILE, and take it if nobody\n"
    "       makina-firstboot reset                  forget what was noted, unless the node is in a cluster\n"
    "       makina-firstboot --version | --help\n"
    "options for rescue and tests:\n"
    "  --root DIR         the node's files are below DIR, and nothing outside is changed\n"
    "  --programs DIR     with --root: the programs that may be run (run, take-address)\n"
    "  --page ADDRESS:PORT  with --root: show the status page there (run only)\n"
    "  --rounds N         give up waiting after N rounds (run only)\n"
    "Exit codes: 0 done, 1 a fault, 2 a mistake in the command line, 3 a bundle that is not genuine,\n"
    "4 not joined (with --until-joined).\n";

/// A mistake in the command line.
class Mistake : public Error {
  public:
    using Error::Error;
};

struct Arguments {
    std::string command;
    MachineOptions machine;
    RunOptions run;
    bool json = false;
    std::string file;
};

unsigned count_in(const std::string& text) {
    unsigned count = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (error != std::errc{} || end != text.data() + text.size() || count == 0) {
        throw Mistake("--rounds " + text + ": give a number from 1");
    }
    return count;
}

Arguments parse(const std::vector<std::string>& words) {
    if (words.empty()) throw Mistake("a command is missing: run, status, take-address or reset");
    Arguments arguments;
    arguments.command = words[0];
    const bool run = arguments.command == "run";
    const bool take = arguments.command == "take-address";
    if (!run && !take && arguments.command != "status" && arguments.command != "reset") {
        throw Mistake("no command \"" + arguments.command + "\": there are run, status, take-address and reset");
    }
    arguments.machine.beside = take;
    for (std::size_t at = 1; at < words.size(); ++at) {
        const std::string& word = words[at];
        const auto value = [&]() -> const std::string& {
            if (at + 1 >= words.size()) throw Mistake(word + " needs a value");
            return words[++at];
        };
        if (word == "--root") {
            arguments.machine.root = value();
        } else if (word == "--programs" && (run || take)) {
            arguments.machine.programs = value();
        } else if (word == "--page" && run) {
            arguments.machine.page = value();
        } else if (word == "--rounds" && run) {
            arguments.run.most_rounds = count_in(value());
        } else if (word == "--until-joined" && run) {
            arguments.run.until_joined = true;
        } else if (word == "--json" && arguments.command == "status") {
            arguments.json = true;
        } else if (take && arguments.file.empty() && !word.starts_with("--")) {
            arguments.file = word;
        } else {
            throw Mistake(arguments.command + " does not know \"" + word + "\"");
        }
    }
    if (take && arguments.file.empty()) throw Mistake("take-address needs one of networkd's files");
    if (arguments.machine.root == "/" && (!arguments.machine.programs.empty() || !arguments.machine.page.empty())) {
        throw Mistake("--programs and --page need --root");
    }
    return arguments;
}

int print(const std::string& text) {
    return std::fputs(text.c_str(), stdout) < 0 || std::fflush(stdout) != 0 ? 1 : 0;
}

int do_command(const Arguments& arguments) {
    if (arguments.command == "status") {
        const std::string json = ask_status(arguments.machine.root);
        return print(arguments.json ? json + (json.ends_with('\n') ? "" : "\n") : to_lines(json));
    }
    const auto machine = real_machine(arguments.machine);
    if (arguments.command == "reset") {
        reset(*machine);
        return 0;
    }
    if (arguments.command == "take-address") {
        take_address(*machine, arguments.file);
        return 0;
    }
    return run(*machine, arguments.run) == Ending::stopped && arguments.run.until_joined ? 4 : 0;
}

int fail(const std::string& text, int code) {
    (void)std::fprintf(stderr, "makina-firstboot: %s\n", text.c_str());
    return code;
}

}  // namespace
}  // namespace makina

int main(int argc, char** argv) {
    using namespace makina;
    const std::vector<std::string> words(argv + 1, argv + argc);
    try {
        if (words.size() == 1 && words[0] == "--version") return print("makina-firstboot " MAKINA_VERSION "\n");
        if (words.size() == 1 && words[0] == "--help") return print(usage);
        return do_command(parse(words));
    } catch (const Mistake& error) {
        return fail(std::string(error.what()) + "\n" + usage, 2);
    } catch (const Untrusted& error) {
        return fail(error.what(), 3);
    } catch (const std::exception& error) {
        return fail(error.what(), 1);
    }
}
