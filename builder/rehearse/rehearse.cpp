#include "builder/rehearse/rehearse.hpp"

#include <algorithm>

#include "builder/card/card.hpp"
#include "builder/rehearse/boot_files.hpp"
#include "builder/rehearse/boot_signs.hpp"
#include "builder/rehearse/machine.hpp"
#include "builder/rehearse/memory_file.hpp"
#include "builder/rehearse/probe.hpp"
#include "builder/rehearse/questions.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

/// Thrown through the emulator to end it: the rehearsal is over.
struct Over {};

/// Follows one boot from its two streams.
class Rehearsal {
  public:
    Rehearsal(const RehearseRequest& request, Verdict& verdict)
        : request_(request), verdict_(verdict), start_(request.clock()) {}

    void reach(BootStage stage) {
        if (!verdict_.reached.empty() && verdict_.reached.back().stage >= stage) return;
        verdict_.reached.push_back({stage, seconds()});
        tell(to_string(stage));
    }

    void console(std::string_view bytes) {
        request_.on_console(bytes);
        lines_.take(bytes, [&](const std::string& line) { console_line(line); });
    }

    void port(const std::string& line) {
        const auto word = parse_probe_line(line);
        if (!word) {
            qemu_said_ = line;
            return;
        }
        using Kind = ProbeWord::Kind;
        switch (word->kind) {
            case Kind::initrd:
                return reach(BootStage::initrd);
            case Kind::root:
                return reach(BootStage::root);
            case Kind::begin:
                return reach(BootStage::multi_user);
            case Kind::state:
                verdict_.state = word->text;
                return;
            case Kind::failed_unit:
                verdict_.failed_units.push_back(word->text);
                return;
            case Kind::answer:
                if (word->index < verdict_.answers.size()) answer(*word);
                return;
            case Kind::end:
                throw Over();
        }
    }

    void tick() {
        request_.on_progress(doing_, seconds());
        if (seconds() > request_.timeout) {
            stop("not done after " + std::to_string(static_cast<int>(request_.timeout)) +
                 " seconds: give more with --timeout");
        }
        // Without initramfs-tools in its initrd an image boots, but nobody in it hears the questions.
        const bool unheard = !verdict_.reached.empty() && verdict_.reached.back().stage == BootStage::multi_user &&
                             verdict_.state.empty() && seconds() - verdict_.reached.back().seconds > 240;
        if (unheard) stop("the guest is up but answers no questions");
    }

    [[noreturn]] void stop(const std::string& why) {
        verdict_.stopped = why;
        throw Over();
    }

    void end() {
        verdict_.seconds = seconds();
        for (const std::string& line : last_lines_) verdict_.last_output += line + '\n';
    }
    [[nodiscard]] const std::string& qemu_said() const { return qemu_said_; }

  private:
    [[nodiscard]] double seconds() const { return request_.clock() - start_; }

    void tell(const std::string& doing) {
        doing_ = doing;
        request_.on_progress(doing_, seconds());
    }

    void answer(const ProbeWord& word) {
        Reply& answer = verdict_.answers[word.index];
        answer.status = word.status;
        answer.output = word.text;
        tell("asked " + std::to_string(word.index + 1) + " of " + std::to_string(verdict_.answers.size()));
    }

    void console_line(const std::string& line) {
        last_lines_.push_back(line);
        if (last_lines_.size() > 20) last_lines_.erase(last_lines_.begin());
        if (parse_probe_line(line)) return port(line);
        if (const auto stage = stage_shown(line)) reach(*stage);
        if (boot_fails(line)) stop("the boot failed: " + line);
    }

    const RehearseRequest& request_;
    Verdict& verdict_;
    double start_;
    std::string doing_ = "starting the emulator";
    ConsoleLines lines_;
    std::string qemu_said_;
    std::vector<std::string> last_lines_;
};

void name_node(const Card& card, Verdict& verdict) {
    if (const auto manifest = card.manifest()) {
        verdict.node = manifest->node;
        verdict.role = manifest->role;
    } else if (card.exists("/etc/hostname")) {
        verdict.node = card.read_file("/etc/hostname");
        verdict.node.resize(std::min(verdict.node.size(), verdict.node.find('\n')));
    }
}

}  // namespace

std::string to_string(BootStage stage) {
    switch (stage) {
        case BootStage::files:
            return "boot files";
        case BootStage::kernel:
            return "kernel";
        case BootStage::initrd:
            return "initrd";
        case BootStage::root:
            return "root mounted";
        case BootStage::multi_user:
            return "multi-user";
    }
    return {};
}

bool Verdict::passed() const {
    return stopped.empty() && failed_units.empty() && !reached.empty() &&
           reached.back().stage == BootStage::multi_user &&
           std::all_of(answers.begin(), answers.end(), [](const Reply& answer) { return answer.status == 0; });
}

Verdict rehearse(const RehearseRequest& request) {
    Verdict verdict;
    const std::filesystem::path& disk = request.card.empty() ? request.image : request.card;
    if (request.card_size > 0 && request.card_size < std::filesystem::file_size(disk)) {
        throw Error(disk.string() + " has " + std::to_string(std::filesystem::file_size(disk)) +
                    " bytes and does not fit on a card of " + std::to_string(request.card_size));
    }
    const Card card(request.image);
    name_node(card, verdict);
    std::vector<Question> questions = questions_for(card);
    questions.insert(questions.end(), request.questions.begin(), request.questions.end());
    for (const Question& question : questions) verdict.answers.push_back({question, -1, {}});

    Rehearsal rehearsal(request, verdict);
    BootFiles files;
    try {
        files = read_boot_files(card);
    } catch (const Error& error) {
        verdict.stopped = error.what();
        return verdict;
    }
    during(request.image.string(), [&] { require_arm64(files); });
    rehearsal.reach(BootStage::files);

    const MemoryFile kernel({files.kernel});
    // Without an initrd there is nobody to unpack the questions.
    const MemoryFile initrd({probe_archive(questions), files.initrd});
    Machine machine;
    machine.image = disk;
    machine.disk_size = request.card_size;
    machine.write_log = request.write_log;
    machine.kernel = kernel.descriptor();
    machine.initrd = files.initrd.empty() ? -1 : initrd.descriptor();
    machine.arguments = adapt_arguments(files.arguments, card.table());
    machine.memory_mib = request.memory_mib;
    for (const std::string& mac : network_cards(card)) machine.network_cards.push_back({mac});
    machine.on_console = [&](std::string_view bytes) { rehearsal.console(bytes); };
    machine.on_line = [&](const std::string& line) { rehearsal.port(line); };
    machine.on_tick = [&] { rehearsal.tick(); };
    machine.sticks = request.sticks;
    try {
        run_machine(machine);
        verdict.stopped = "the machine went off before it had answered";
        if (verdict.reached.back().stage == BootStage::files) throw Error("QEMU ended: " + rehearsal.qemu_said());
    } catch (const Over&) {
        // The end that is wanted, or one that `stopped` explains.
    }
    rehearsal.end();
    return verdict;
}

}  // namespace makina
