#include "builder/rehearse/board.hpp"

#include <fcntl.h>

#include <algorithm>

#include "builder/card/card.hpp"
#include "builder/disk/temporary.hpp"
#include "builder/rehearse/boot_files.hpp"
#include "builder/rehearse/memory_file.hpp"
#include "builder/rehearse/overlay_disk.hpp"
#include "builder/rehearse/probe.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

/// Thrown through the emulator to end it.
struct PowerCut {};

constexpr std::size_t kept_lines = 20;

}  // namespace

/// What a boot loader takes from the image, read once, and what was written since.
struct Board::CardInSlot {
    CardInSlot(const std::filesystem::path& file, std::uint64_t size, const BootFiles& files,
               const PartitionTable& table, const std::string& probe)
        : image(file),
          disk_size(std::max<std::uint64_t>(size, std::filesystem::file_size(file))),
          kernel({files.kernel}),
          initrd({probe, files.initrd}),
          has_initrd(!files.initrd.empty()),
          arguments(adapt_arguments(files.arguments, table)) {
        changes.fill(overlay_disk(disk_size));
        // Only its own machine is to have it: the others would keep its bytes when it is thrown away.
        if (fcntl(changes.descriptor(), F_SETFD, FD_CLOEXEC) != 0) throw_system("keeping a card's changes");
    }
    std::filesystem::path image;
    std::uint64_t disk_size;
    MemoryFile kernel, initrd;
    bool has_initrd;
    std::string arguments;
    TemporaryFile changes;
};

Board::Board(BoardPlan plan) : plan_(std::move(plan)) {
    if (plan_.console.empty()) return;
    console_.open(plan_.console, std::ios::binary);
    if (!console_) throw_system("opening " + plan_.console.string());
}

Board::~Board() {
    power_off();
    wait_until_off();
}

void Board::insert(const std::filesystem::path& image) {
    const Card card(image);
    const BootFiles files = read_boot_files(card);
    require_arm64(files);
    if (plan_.card_size > 0 && plan_.card_size < std::filesystem::file_size(image)) {
        throw Error("the image has " + std::to_string(std::filesystem::file_size(image)) +
                    " bytes and does not fit on a card of " + std::to_string(plan_.card_size));
    }
    const bool asks = !plan_.questions.empty();
    if (asks && files.initrd.empty()) throw Error("the image has no initrd: nobody in it would hear the questions");
    wait_until_off();
    card_ = std::make_unique<CardInSlot>(image, plan_.card_size, files, card.table(),
                                         asks ? patient_probe_archive(plan_.questions) : "");
}

void Board::power_on(Descriptor cable) {
    wait_until_off();
    if (!card_) throw Error(plan_.name + " has no card");
    cable_ = std::move(cable);
    monitor_ = std::make_unique<Monitor>();
    off_wanted_ = false;
    lines_ = {};
    Machine machine;
    machine.image = card_->image;
    machine.disk_size = card_->disk_size;
    machine.changes = card_->changes.descriptor();
    machine.kernel = card_->kernel.descriptor();
    machine.initrd = card_->has_initrd ? card_->initrd.descriptor() : -1;
    machine.arguments = card_->arguments;
    machine.memory_mib = plan_.memory_mib;
    machine.processors = plan_.processors;
    machine.network_cards = plan_.cards;
    machine.network_cards.at(plan_.switched).socket = cable_.get();
    machine.monitor = monitor_->other_end();
    if (!plan_.questions.empty()) {
        inquiry_ = std::make_unique<Inquiry>(plan_.questions);
        machine.probe = inquiry_->other_end();
    }
    machine.on_console = [this](std::string_view bytes) {
        console_.write(bytes.data(), static_cast<std::streamsize>(bytes.size())).flush();
        lines_.take(bytes, [this](const std::string& line) { hear(line); });
    };
    machine.on_line = [this](const std::string& line) { hear(line); };
    machine.on_tick = [this] {
        if (off_wanted_) throw PowerCut();
    };
    {
        const std::scoped_lock lock(mutex_);
        state_ = {true, std::nullopt, {}, {}};
    }
    thread_ = std::thread([this, machine] { run(machine); });
}

void Board::run(const Machine& machine) {
    std::string trouble;
    try {
        run_machine(machine);
        trouble = "the machine went off by itself";
    } catch (const PowerCut&) {
        // As it was asked for.
    } catch (const std::exception& error) {
        trouble = error.what();
    }
    const std::scoped_lock lock(mutex_);
    state_.on = false;
    if (state_.trouble.empty()) state_.trouble = trouble;
}

void Board::hear(const std::string& line) {
    const std::scoped_lock lock(mutex_);
    state_.last_lines.push_back(line);
    if (state_.last_lines.size() > kept_lines) state_.last_lines.erase(state_.last_lines.begin());
    const auto stage = stage_shown(line);
    if (stage && (!state_.stage || *state_.stage < *stage)) state_.stage = stage;
    if (boot_fails(line) && state_.trouble.empty()) state_.trouble = "the boot failed: " + line;
}

void Board::power_off() {
    off_wanted_ = true;
    const std::scoped_lock lock(mutex_);
    state_ = {};
}

void Board::wait_until_off() {
    if (thread_.joinable()) thread_.join();
    cable_.reset();
}

void Board::plug(bool plugged) {
    if (!monitor_) throw Error(plan_.name + " is off");
    monitor_->tell(cable_command("net" + std::to_string(plan_.switched), plugged));
}

BoardState Board::state() const {
    const std::scoped_lock lock(mutex_);
    return state_;
}

}  // namespace makina
