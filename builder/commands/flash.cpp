#include "builder/commands/flash.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>
#include <iostream>
#include <memory>

#include "builder/card/card.hpp"
#include "builder/commands/flash_board.hpp"
#include "builder/commands/flash_jobs.hpp"
#include "builder/commands/flash_receipt.hpp"
#include "builder/flash/content.hpp"
#include "builder/read_file.hpp"

namespace makina {
namespace {

namespace fs = std::filesystem;

/// The map that was named, or the one that lies beside the image under the name that bmaptool looks for.
fs::path map_file(const FlashCommand& command) {
    fs::path file = command.block_map;
    for (fs::path name = command.image; name.has_extension() && file.empty(); name.replace_extension()) {
        if (fs::exists(name.string() + ".bmap")) file = name.string() + ".bmap";
    }
    return file;
}

std::optional<BlockMap> map_for(const FlashCommand& command) {
    const fs::path file = map_file(command);
    if (file.empty()) return std::nullopt;
    return during(file.string(), [&] {
        BlockMap map = read_block_map(read_file(file));
        if (!map.unchecked.empty() && !command.quiet) {
            Reporter(command.build.json)
                .warning(command.image.filename(), file.string() + " has no checksums of a kind that is looked at: " +
                                                       map.unchecked + " instead of sha256");
        }
        return map;
    });
}

bool is_blocks(const fs::path& file) {
    std::string begin(PackedBlocks::first_line.size(), '\0');
    std::ifstream stream(file, std::ios::binary);
    return stream.read(begin.data(), static_cast<std::streamsize>(begin.size())) && begin == PackedBlocks::first_line;
}

/// A node's blocks over their base, which has to be in the cache.
std::shared_ptr<PatchedImage> composed_of(const FlashCommand& command) {
    return during(command.image.string(), [&] {
        const PackedBlocks blocks = decode_blocks(read_file(command.image));
        const fs::path base = cache_or_default(command.build.base.cache) / "bases" / blocks.base / "disk.img";
        if (!fs::exists(base)) {
            throw Error("its base " + blocks.base + " is not in " + base.parent_path().parent_path().string() +
                        ": build the node again, or say --cache");
        }
        auto image = std::make_shared<PatchedImage>(base);
        unpack_blocks(blocks, *image);
        return image;
    });
}

std::shared_ptr<Source> source_of(const FlashCommand& command) {
    if (is_blocks(command.image)) return image_source(composed_of(command));
    auto map = map_for(command);
    if (map || is_packed(command.image)) return stream_source(command.image, std::move(map));
    return image_source(std::make_shared<PatchedImage>(command.image));
}

TargetOptions target_options(const FlashCommand& command, std::uint64_t size, std::vector<fs::path> sources = {}) {
    return {command.confirmed, command.allow_large, size, std::move(sources)};
}

void require_other(const FlashTarget& chosen, const FlashTarget& target) {
    if (chosen.name() == target.name()) throw Mistake(target.name() + " is named twice");
}

/// Has every card of an image chosen and confirmed before the first one is written.
std::vector<FlashTarget> choose(const std::string& subject, const FlashCommand& command, const TargetOptions& options) {
    std::vector<FlashTarget> targets;
    for (std::size_t i = 0; i < std::max<std::size_t>(command.devices.size(), 1); ++i) {
        FlashTarget target =
            i < command.devices.size() ? target_named(command.devices[i], options) : ask_for_target(subject, options);
        for (const FlashTarget& other : targets) require_other(other, target);
        confirm(target, subject, options);
        targets.push_back(std::move(target));
    }
    return targets;
}

/// Whose image it is, as far as that is known before it is written.
std::optional<KnownCard> known_image(const FlashCommand& command) {
    if (is_packed(command.image)) return std::nullopt;
    if (is_blocks(command.image)) {
        const auto image = composed_of(command);
        return known_card(Card(*image), command);
    }
    std::optional<Card> card;
    try {
        card.emplace(command.image);
    } catch (const Error&) {
        return std::nullopt;  // not one of ours
    }
    return known_card(*card, command);
}

int exit_code_of(const std::vector<FlashOutcome>& outcomes) {
    const auto is_good = [](const FlashOutcome& outcome) { return outcome.flashed.has_value(); };
    return std::all_of(outcomes.begin(), outcomes.end(), is_good) ? 0 : 1;
}

/// What is known of an image file before it is read: its size, 0 if that is known only at the end, and what is read.
TargetOptions options_for_image(const FlashCommand& command) {
    std::vector<fs::path> sources = {command.image, map_file(command)};
    if (is_blocks(command.image)) {
        const auto composed = composed_of(command);
        sources.push_back(composed->base());
        return target_options(command, composed->size(), std::move(sources));
    }
    const std::uint64_t size = is_packed(command.image) ? 0 : fs::file_size(command.image);
    return target_options(command, size, std::move(sources));
}

int flash_image(const FlashCommand& command) {
    if (!fs::is_regular_file(command.image)) throw Mistake(command.image.string() + ": there is no such image file");
    if (!is_blocks(command.image)) {
        if (const auto reason = image_refusal(command.image, command.any_content)) throw Mistake(*reason);
    }
    const TargetOptions options = options_for_image(command);
    const std::string subject = command.image.filename();
    const std::vector<FlashTarget> targets = choose(subject, command, options);
    auto known = known_image(command);
    std::vector<FlashJob> jobs;
    jobs.reserve(targets.size());
    for (const FlashTarget& target : targets)
        jobs.push_back({subject, target, [&command] { return source_of(command); }});
    const std::vector<FlashOutcome> outcomes = run_flash_jobs(jobs, command, options).outcomes;
    for (std::size_t i = 0; !known && is_packed(command.image) && i < jobs.size(); ++i) {
        if (!outcomes[i].flashed) continue;
        known = known_card_on(targets[i], command);
        break;
    }
    for (std::size_t i = 0; known && i < jobs.size(); ++i)
        known->keys.note_flashed(receipt_of(known->node, known->card, targets[i], outcomes[i]));
    return exit_code_of(outcomes);
}

/// Nodes whose cards are written at the same time: as many as there are devices.
class Together {
  public:
    Together(const std::vector<const Node*>& nodes, const FlashCommand& command, ImageBuilder& builder,
             Finished& finished)
        : nodes_(nodes), command_(command), builder_(builder), finished_(finished) {
        run_.outcomes.resize(nodes.size());
    }
    FlashRun run() {
        // Every card is there, confirmed and open before the first one is written.
        for (std::size_t i = 0; i < nodes_.size(); ++i) attempt(i, [&] { choose(i); });
        for (std::size_t i = 0; i < chosen_.size(); ++i) compose(chosen_[i]);
        flash();
        return std::move(run_);
    }

  private:
    struct Chosen {
        std::size_t index = 0;  ///< of the node
        FlashTarget target;
        std::shared_ptr<Medium> medium;
        std::string card = {};
        std::shared_ptr<Source> source = {};  ///< none if its image does not fit
    };
    /// Of all nodes, one whose target cannot be had does not keep the others from theirs.
    void attempt(std::size_t i, const std::function<void()>& work) {
        try {
            work();
        } catch (const Error& error) {
            if (!command_.build.all) throw;
            const std::string target = i < command_.devices.size() ? command_.devices[i].string() : "a card";
            FlashBoard({{nodes_[i]->name, target}}, command_.build.json, command_.quiet).failed(0, error.what());
            run_.outcomes[i] = {std::nullopt, error.what(), false};
        }
    }
    void choose(std::size_t i) {
        const std::string& name = nodes_[i]->name;
        FlashTarget target =
            i < command_.devices.size() ? target_named(command_.devices[i], options_) : ask_for_target(name, options_);
        for (const Chosen& other : chosen_) require_other(other.target, target);
        finished_.require_other(target);
        confirm(target, name, options_);
        auto medium = open_target(target, options_);
        chosen_.push_back({i, std::move(target), std::move(medium)});
    }
    void compose(Chosen& chosen) {
        const Node& node = *nodes_[chosen.index];
        const ComposedImage composed =
            during("building " + node.name, [&] { return builder_.compose(node, chosen.target.name()); });
        attempt(chosen.index, [&] {
            const std::uint64_t size = composed.image->size();
            const auto reason = chosen.target.device ? refusal(*chosen.target.device, size, command_.allow_large)
                                                     : std::optional<std::string>();
            if (reason) throw Mistake(*reason);
            options_.sources.push_back(composed.image->base());
            chosen.source = image_source(composed.image);
            chosen.card = composed.card;
        });
    }
    void flash() {
        std::vector<const Chosen*> written;
        std::vector<FlashJob> jobs;
        for (const Chosen& chosen : chosen_) {
            if (!chosen.source) continue;
            written.push_back(&chosen);
            jobs.push_back({nodes_[chosen.index]->name, chosen.target, [source = chosen.source] { return source; },
                            chosen.medium});
        }
        if (jobs.empty()) return;
        for (const Chosen* const chosen : written) require_apart(chosen->target, options_);
        const FlashRun run = run_flash_jobs(jobs, command_, options_);
        run_.interrupted = run.interrupted;
        for (std::size_t i = 0; i < jobs.size(); ++i) {
            const Chosen& chosen = *written[i];
            run_.outcomes[chosen.index] = run.outcomes[i];
            if (run.outcomes[i].flashed) finished_.note(chosen.target, jobs[i].subject);
            builder_.note_flashed(receipt_of(jobs[i].subject, chosen.card, chosen.target, run.outcomes[i]));
        }
    }

    const std::vector<const Node*>& nodes_;
    const FlashCommand& command_;
    ImageBuilder& builder_;
    Finished& finished_;
    TargetOptions options_ = target_options(command_, 0);
    std::vector<Chosen> chosen_;
    FlashRun run_;
};

/// Before anything else, and by what was typed: later one name of two would only be left out.
void require_different(const std::vector<fs::path>& devices) {
    for (auto device = devices.begin(); device != devices.end(); ++device) {
        if (std::find(devices.begin(), device, *device) != device) throw Mistake(device->string() + " is named twice");
    }
}

int flash_nodes(const FlashCommand& command) {
    const Profile profile = load_profile(profile_or_default(command.build.profile));
    std::vector<const Node*> nodes;
    if (!command.build.all) nodes.push_back(&node_named(profile, command.build.node));
    for (const Node& node : profile.nodes) {
        if (command.build.all) nodes.push_back(&node);
    }
    if (command.devices.size() > nodes.size())
        throw Mistake("more devices than nodes: " + std::to_string(command.devices.size()) + " and " +
                      std::to_string(nodes.size()));
    require_different(command.devices);
    Reporter reporter(command.build.json);
    ImageBuilder builder(command.build, profile, reporter);
    Finished finished;
    return flash_rounds(nodes, command, [&](const std::vector<const Node*>& some) {
        return Together(some, command, builder, finished).run();
    });
}

}  // namespace

int flash_cards(const FlashCommand& command) {
    if (command.list) {
        const TargetOptions options = target_options(command, 0);
        std::cout << (command.build.json ? json_of_targets(options) : list_of_targets(options));
        return 0;
    }
    const bool by_node = command.build.all || !command.build.node.empty();
    if (!by_node && command.image.empty())
        throw Mistake("say which image, or which node with --role NODE, or --all for every node");
    return by_node ? flash_nodes(command) : flash_image(command);
}

void add_flash_options(CLI::App& app, FlashCommand& command) {
    app.add_option(
           "--yes-device", command.confirmed,
           "overwrite this device without asking: its name in /dev/disk/by-id, or the path of a loop device or a "
           "file; can be said several times")
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
    flash->footer(
        "Example: makina-image flash --role master-1\n"
        "Or of anybody's image: makina-image flash raspios.img.xz /dev/sdb\n"
        "Without a device it shows the cards that are there and asks. Disks of this machine are never written.");
    flash
        ->add_option("image-and-devices", *words,
                     "an image file (raw, xz, zstd, gzip) unless a node is named, then the devices")
        ->type_name("[IMAGE] [DEVICE...]");
    flash->add_option("--bmap", command->block_map, "the image's block map (default: the .bmap beside it)")
        ->type_name("FILE");
    flash->add_flag("--any-content", command->any_content,
                    "write the file even if it has neither a partition table nor a known file system");
    flash->add_flag("--list", command->list, "show the devices that are there, write nothing");
    auto* const node =
        flash->add_option("--role,--node", command->build.node, "write this node's own image, made on the way")
            ->type_name("NODE");
    flash->add_flag("--all", command->build.all, "every node of the profile, each to a card of its own")
        ->excludes(node);
    add_node_options(*flash, command->build);
    add_flash_options(*flash, *command);
    flash->callback([command, words, &exit_code] {
        command->build.source_date_epoch = source_date_epoch();
        const bool by_node = command->build.all || !command->build.node.empty();
        command->devices.assign(words->begin() + (by_node || words->empty() ? 0 : 1), words->end());
        if (!by_node && !words->empty()) command->image = words->front();
        exit_code = flash_cards(*command);
    });
}

}  // namespace makina
