#include "builder/commands/flash.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>

#include "builder/commands/flash_jobs.hpp"
#include "builder/read_file.hpp"

namespace makina {
namespace {

namespace fs = std::filesystem;

/// The map that was named, or the one that lies beside the image under the name that bmaptool looks for.
std::optional<BlockMap> map_for(const FlashCommand& command) {
    fs::path file = command.block_map;
    if (file.empty()) {
        for (fs::path name = command.image; name.has_extension() && file.empty(); name.replace_extension()) {
            if (fs::exists(name.string() + ".bmap")) file = name.string() + ".bmap";
        }
    }
    if (file.empty()) return std::nullopt;
    return during(file.string(), [&] { return read_block_map(read_file(file)); });
}

std::shared_ptr<Source> source_of(const FlashCommand& command) {
    auto map = map_for(command);
    if (map || is_packed(command.image)) return stream_source(command.image, std::move(map));
    return image_source(std::make_shared<PatchedImage>(command.image));
}

TargetOptions target_options(const FlashCommand& command, std::uint64_t size) {
    return {command.confirmed, command.allow_large, size};
}

std::vector<FlashTarget> choose(const std::vector<std::string>& subjects, const FlashCommand& command,
                                const TargetOptions& options) {
    std::vector<FlashTarget> targets;
    for (std::size_t i = 0; i < subjects.size(); ++i) {
        targets.push_back(i < command.devices.size() ? target_named(command.devices[i], options)
                                                     : ask_for_target(subjects[i], options));
        for (std::size_t other = 0; other < i; ++other) {
            if (targets[other].name() == targets[i].name()) throw Mistake(targets[i].name() + " is named twice");
        }
        confirm(targets[i], subjects[i], options);
    }
    return targets;
}

int flash_image(const FlashCommand& command) {
    if (!fs::is_regular_file(command.image)) throw Mistake(command.image.string() + ": there is no such image file");
    std::error_code failed;
    for (const fs::path& device : command.devices) {
        if (fs::equivalent(device, command.image, failed))
            throw Mistake(device.string() + " is the image itself: name the device behind it");
    }
    const std::uint64_t size = is_packed(command.image) ? 0 : fs::file_size(command.image);
    const TargetOptions options = target_options(command, size);
    const std::string subject = command.image.filename();
    const std::vector<FlashTarget> targets =
        choose(std::vector<std::string>(std::max<std::size_t>(command.devices.size(), 1), subject), command, options);
    std::vector<FlashJob> jobs;
    jobs.reserve(targets.size());
    for (const FlashTarget& target : targets)
        jobs.push_back({subject, target, [&command] { return source_of(command); }});
    const std::vector<FlashOutcome> outcomes = run_flash_jobs(jobs, command, options);
    const auto is_good = [](const FlashOutcome& outcome) { return outcome.flashed.has_value(); };
    return std::all_of(outcomes.begin(), outcomes.end(), is_good) ? 0 : 1;
}

}  // namespace

int flash_cards(const FlashCommand& command) {
    if (command.list) {
        std::cout << list_of_targets(target_options(command, 0));
        return 0;
    }
    if (command.image.empty()) throw Mistake("say which image, or which node with --role NODE");
    return flash_image(command);
}

void add_flash_options(CLI::App& app, FlashCommand& command) {
    app.add_option("--yes-device", command.confirmed,
                   "overwrite this device without asking: its name in /dev/disk/by-id; can be said several times")
        ->type_name("BY-ID")
        ->allow_extra_args(false);
    app.add_flag("--allow-large", command.allow_large, "take a card of more than 512 GB");
    app.add_flag("--no-probe", command.no_probe, "do not look for a capacity that the card only claims");
    app.add_flag("--quiet", command.quiet, "say nothing unless something fails");
}

void add_flash(CLI::App& app, int& exit_code) {
    const auto command = std::make_shared<FlashCommand>();
    const auto words = std::make_shared<std::vector<fs::path>>();
    CLI::App* const flash = app.add_subcommand("flash", "write an image to a card, and read it back");
    flash->add_option("image-and-devices", *words, "an image file (raw, xz, zstd, gzip), then the devices")
        ->type_name("[IMAGE] [DEVICE...]");
    flash->add_option("--bmap", command->block_map, "the image's block map (default: the .bmap beside it)")
        ->type_name("FILE");
    flash->add_flag("--list", command->list, "show the devices that are there, write nothing");
    flash->add_flag("--json", command->build.json, "one JSON event a line on standard output, for programs");
    add_flash_options(*flash, *command);
    flash->callback([command, words, &exit_code] {
        if (!words->empty()) {
            command->image = words->front();
            command->devices.assign(words->begin() + 1, words->end());
        }
        exit_code = flash_cards(*command);
    });
}

}  // namespace makina
