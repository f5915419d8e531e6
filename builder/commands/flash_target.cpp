#include "builder/commands/flash_target.hpp"

#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "builder/commands/cluster.hpp"
#include "builder/commands/terminal.hpp"

namespace makina {
namespace {

namespace fs = std::filesystem;

/// Makers count in thousands, and so do people who look at a card.
std::string card_size(std::uint64_t bytes) {
    return tenths(static_cast<double>(bytes) / 1e9) + " GB";
}

/// "Generic SD/MMC, serial 058F63666433, slot 2, 31.9 GB"; what a device says of itself is not trusted to be printable.
std::string description(const DeviceFacts& facts) {
    std::string text = facts.model.empty() ? "unknown model" : facts.model;
    text += facts.serial.empty() ? ", no serial number" : ", serial " + facts.serial;
    if (facts.slot) text += ", slot " + std::to_string(*facts.slot);
    return printable(text + ", " + card_size(facts.size));
}

std::string content(const DeviceFacts& facts) {
    std::string text;
    for (const DeviceFacts::Part& part : facts.parts) {
        text += "    " + part.name + "  " + card_size(part.size) + (part.file_system.empty() ? "" : "  ") +
                part.file_system + (part.label.empty() ? "" : "  \"" + part.label + "\"") + "\n";
    }
    return printable(text.empty() ? "    nothing that is known\n" : text);
}

bool is_confirmed(const FlashTarget& target, const std::vector<std::string>& confirmed) {
    return std::any_of(confirmed.begin(), confirmed.end(), [&](const std::string& name) {
        // A loop device is named by whoever made it; /dev/sdb is another card tomorrow.
        if (!target.device || target.device->bus == Bus::loop) return name == target.name();
        const std::vector<std::string>& ids = target.device->ids;
        return std::find(ids.begin(), ids.end(), fs::path(name).filename()) != ids.end();
    });
}

/// Another card that is there and would be confirmed by the same characters; empty if there is none.
std::string twin_of(const DeviceFacts& facts, const TargetOptions& options) {
    for (const DeviceFacts& other : list_devices(options.machine)) {
        if (other.number != facts.number && other.size != 0 && confirmation_of(other) == confirmation_of(facts))
            return "/dev/" + other.name;
    }
    return "";
}

std::string asked(const std::string& question) {
    std::cerr << question << std::flush;
    std::string line;
    if (!std::getline(std::cin, line)) throw Mistake("nothing was typed: nothing was written");
    return line;
}

void require_terminal(const FlashTarget& target) {
    if (isatty(STDIN_FILENO) != 0) return;
    const std::string text = "nobody is there to confirm that " + target.name() + " is overwritten: ";
    const bool is_card = target.device && target.device->bus != Bus::loop;
    if (is_card && target.device->ids.empty()) {
        throw Mistake(text +
                      "it has no name of its own in /dev/disk/by-id, which udev makes, and --yes-device takes nothing "
                      "else; on a terminal it can be confirmed");
    }
    throw Mistake(text + "say --yes-device " + (is_card ? target.device->ids.front() : target.name()) +
                  " if it is meant");
}

std::vector<DeviceFacts> candidates(const TargetOptions& options) {
    std::vector<DeviceFacts> found = list_devices(options.machine);
    const auto is_none = [&](const DeviceFacts& facts) {
        return facts.bus == Bus::loop || refusal(facts, options.image_size, options.allow_large).has_value();
    };
    found.erase(std::remove_if(found.begin(), found.end(), is_none), found.end());
    return found;
}

/// "sdz", said where /dev/sdz is meant, or a name in /dev/disk/by-id, whose card is not here. A new file would be made
/// of it, with a node's secrets in it, and nobody would miss the card.
void require_no_device_name(const fs::path& path) {
    const std::string name = path.string();
    const bool is_id = name.find(':') != std::string::npos;
    if (path.has_parent_path() || (path.has_extension() && !is_id)) return;
    throw Mistake(
        name + " is no device; " +
        (is_id ? "makina-image flash --list shows those that are there;" : "did you mean /dev/" + name + "?") +
        " a file: ./" + name);
}

}  // namespace

std::string FlashTarget::id() const {
    if (!device) return fs::absolute(file).string();
    if (!device->ids.empty()) return device->ids.front();
    return device->serial.empty() ? name() : device->serial;
}

FlashTarget target_named(const fs::path& path, const TargetOptions& options) {
    fs::path place = path;
    std::error_code failed;
    if (!fs::exists(place, failed) && fs::exists("/dev/disk/by-id" / place, failed)) place = "/dev/disk/by-id" / place;
    if (const auto number = device_number(place)) {
        const DeviceFacts facts = read_device(*number);
        if (const auto reason = refusal(facts, options.image_size, options.allow_large)) throw Mistake(*reason);
        FlashTarget target{facts, {}};
        require_apart(target, options);
        return target;
    }
    const fs::path absolute = fs::absolute(path).lexically_normal();
    if (absolute.string().rfind("/dev/", 0) == 0 && !fs::is_regular_file(absolute, failed))
        throw Mistake(path.string() + ": there is no such device");
    if (fs::exists(absolute, failed) && !fs::is_regular_file(absolute, failed))
        throw Mistake(path.string() + " is neither a block device nor a plain file");
    if (!fs::exists(absolute, failed)) require_no_device_name(path);
    if (!fs::is_directory(absolute.parent_path(), failed))
        throw Mistake(absolute.parent_path().string() + ": there is no such folder");
    require_free_file(absolute);
    FlashTarget target{std::nullopt, path};
    require_apart(target, options);
    return target;
}

void require_apart(const FlashTarget& target, const TargetOptions& options) {
    std::optional<FileId> shown;
    if (!target.device) shown = file_id(target.file);
    if (target.device && target.device->backing) shown = target.device->backing->file;
    if (const auto reason = overlap(target.name(), shown, options.sources)) throw Mistake(*reason);
}

std::string list_of_targets(const TargetOptions& options) {
    std::string text;
    for (const DeviceFacts& facts : list_devices(options.machine)) {
        if (facts.bus == Bus::loop) continue;
        const auto reason = refusal(facts, options.image_size, options.allow_large);
        text += "/dev/" + facts.name + "  " + description(facts) + "\n";
        text += reason ? "    not possible: " + printable(*reason) + "\n" : content(facts);
        for (const std::string& id : facts.ids) text += "    /dev/disk/by-id/" + printable(id) + "\n";
    }
    return text.empty() ? "no device is there\n" : text;
}

std::string json_of_targets(const TargetOptions& options) {
    using Json = nlohmann::ordered_json;
    std::string text;
    for (const DeviceFacts& facts : list_devices(options.machine)) {
        if (facts.bus == Bus::loop) continue;
        const auto reason = refusal(facts, options.image_size, options.allow_large);
        Json parts = Json::array();
        for (const DeviceFacts::Part& part : facts.parts) {
            parts.push_back(
                {{"name", part.name}, {"size", part.size}, {"file_system", part.file_system}, {"label", part.label}});
        }
        Json device = {{"event", "device"},      {"path", "/dev/" + facts.name}, {"model", facts.model},
                       {"serial", facts.serial}, {"size", facts.size},           {"possible", !reason}};
        if (facts.slot) device["slot"] = *facts.slot;
        if (reason) device["reason"] = *reason;
        device.update({{"ids", facts.ids}, {"parts", parts}});
        text += device.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
    }
    return text;
}

FlashTarget ask_for_target(const std::string& what, const TargetOptions& options) {
    if (isatty(STDIN_FILENO) == 0)
        throw Mistake("say which device " + what +
                      " is written to; makina-image flash --list shows those that are there");
    for (;;) {
        const std::vector<DeviceFacts> found = candidates(options);
        for (std::size_t i = 0; i < found.size(); ++i) {
            std::cerr << i + 1 << "  /dev/" << found[i].name << "  " << description(found[i]) << '\n'
                      << content(found[i]);
        }
        if (found.empty()) std::cerr << "no card is there that could take " << what << '\n';
        const std::string answer =
            asked(found.empty() ? "put one in and press Enter, or q to leave: "
                                : "which one takes " + what + "? Its number, Enter to look again, q to leave: ");
        if (answer == "q") throw Mistake("nothing was written");
        for (std::size_t i = 0; i < found.size(); ++i) {
            if (answer == std::to_string(i + 1)) return {found[i], {}};
        }
    }
}

void confirm(const FlashTarget& target, const std::string& what, const TargetOptions& options) {
    std::error_code failed;
    const bool is_new = !target.device && (!fs::exists(target.file, failed) || fs::is_empty(target.file, failed));
    if (is_new || is_confirmed(target, options.confirmed)) return;
    require_terminal(target);
    std::cerr << what << " goes to " << target.name() << '\n';
    std::string expected = target.file.filename();
    std::string question = expected;
    if (target.device) {
        const DeviceFacts& facts = *target.device;
        std::cerr << "  " << description(facts) << "; on it now:\n" << content(facts);
        const std::string twin = twin_of(facts, options);
        expected = twin.empty() ? confirmation_of(facts) : facts.name;
        question = facts.serial.size() >= 4 ? "the last four characters of its serial number" : expected;
        if (!twin.empty()) question = expected + " (the serial number of " + twin + " ends as this one does)";
    }
    const std::string answer = asked("everything on it is lost. To go on, type " + question + ": ");
    if (answer != expected) throw Mistake("that is not " + target.name() + ": nothing was written");
}

std::shared_ptr<Medium> open_target(const FlashTarget& target, const TargetOptions& options) {
    if (target.device) return open_card(*target.device, options.image_size, options.allow_large, options.sources);
    require_apart(target, options);
    return open_file_medium(target.file);
}

}  // namespace makina
