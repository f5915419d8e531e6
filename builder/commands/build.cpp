#include "builder/commands/build.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <deque>
#include <exception>
#include <future>
#include <memory>
#include <optional>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "builder/commands/flash.hpp"
#include "builder/commands/interruption.hpp"
#include "builder/commands/recipient.hpp"
#include "builder/commands/snapshot.hpp"
#include "builder/commands/terminal.hpp"
#include "builder/profile/spelling.hpp"
#include "builder/read_file.hpp"

namespace makina {
namespace {

std::string suffix(Compression compression) {
    switch (compression) {
        case Compression::none:
            return "";
        case Compression::xz:
            return ".xz";
        case Compression::zstd:
            return ".zst";
    }
    throw Error("an unknown compression");
}

bool names_a_file(const std::filesystem::path& output) {
    const std::string extension = output.extension().string();
    return extension == ".img" || extension == ".xz" || extension == ".zst" || extension == ".blocks";
}

std::string ending_of(const BuildOptions& options) {
    return options.blocks_only ? ".blocks" : ".img" + suffix(options.compression);
}

/// Writers and unpackers of images go by the name's end.
void check_output(const BuildOptions& options) {
    const std::string output = options.output.string();
    if (!names_a_file(options.output)) return;
    if (options.all) throw Mistake("--output " + output + " is one file: with --all name a folder");
    if (options.blocks_only) {
        if (options.output.extension() == ".blocks") return;
        throw Mistake("--output " + output + " does not end in .blocks, and blocks are what is written");
    }
    const std::string ending = options.compression == Compression::none ? ".img" : suffix(options.compression);
    if (options.output.extension() == ending) return;
    throw Mistake("--output " + output + " ends in " + options.output.extension().string() + ", but the image is " +
                  (options.compression == Compression::none ? "not compressed" : "compressed as " + ending) +
                  ": end it in " + ending + " or say another --compress");
}

std::filesystem::path output_of(const BuildOptions& options, const Node& node) {
    auto path = names_a_file(options.output) ? options.output : options.output / (node.name + ending_of(options));
    if (path.has_parent_path()) {
        std::error_code failed;
        std::filesystem::create_directories(path.parent_path(), failed);
        if (failed) throw Error("making the folder " + path.parent_path().string() + ": " + failed.message());
    }
    return path;
}

bool is_founding(Role role) {
    return role == Role::etcd || role == Role::control_plane;
}

/// The cluster's keys, opened once a run when the first node needs them, and made if there are none.
class Keyring {
  public:
    Keyring(const BuildOptions& options, const Profile& profile, Reporter& reporter)
        : options_(options), profile_(profile), reporter_(reporter) {
        // What can be refused is refused before a base is made, which may take minutes.
        if (options_.replaces) require_keys();
        if (!options_.dry_run) {
            require_passphrase_has_use(keys_folder_of(profile_.name, options_.keyring), options_.keyring);
        }
    }

    /// What the node carries besides its files. Takes the node's next epoch unless it is to have no bundle.
    /// `snapshot` is the SHA-256 of the one that etcd begins with, or empty.
    [[nodiscard]] Carried carried_by(const Node& node, const std::string& target, const std::string& snapshot) {
        Carried carried;
        carried.daemon = read_file(options_.daemon.empty() ? daemon_for(node.architecture) : options_.daemon);
        if (!keys_) open();
        if (options_.no_bundle) {
            Trust trust = trust_of_keys(folder_);
            trust.node = node.name;
            trust.role = to_string(node.role);
            carried.trust = encode(trust);
            return carried;
        }
        if (options_.replaces) supersede(node);
        Recipient recipient = recipient_of(profile_, node);
        if (!snapshot.empty()) begin_formation(snapshot);
        if (node.role == Role::etcd) recipient.snapshot = snapshot;
        Issued issued = keys_->issue(recipient, true, seconds_now(), options_.valid_days * 86400, target);
        if (issued.founds_again) {
            reporter_.warning(node.name,
                              node.name +
                                  ": an earlier card of it may have begun the cluster: this one does "
                                  "only together with all its founders, not with a majority (makina-image keys "
                                  "begin-again, if none of the earlier cards was ever in use)");
        }
        carried.trust = std::move(issued.trust);
        carried.bundle = std::move(issued.sealed);
        card_ = std::move(issued.card);
        return carried;
    }
    /// The ledger is on the disk before a card is begun.
    void settle() {
        if (keys_) keys_->settle();
    }
    /// Of the bundle that was issued last.
    [[nodiscard]] const std::string& card() const { return card_; }

    void note_flashed(const FlashReceipt& receipt) {
        if (!keys_) open();
        keys_->note_flashed(receipt);
    }

    void note_formed(Role role) {
        if (!keys_) open();
        keys_->note_formed(to_string(role), seconds_now());
    }

  private:
    void open() {
        bool made = false;
        folder_ = keys_folder_of(profile_.name, options_.keyring);
        keys_ = open_or_make_keys(profile_.name, options_.keyring, seconds_now(), made);
        keys_->postpone();
        if (!made) return;
        reporter_.step("keys", "the cluster's keys were made in " + folder_.string() +
                                   ": keep that folder, and back it up with makina-image keys backup FILE" +
                                   same_keys(options_.profile, options_.keyring));
    }

    /// A card with keys that are made now would belong to another cluster than the dead node.
    void require_keys() const {
        const std::filesystem::path folder = keys_folder_of(profile_.name, options_.keyring);
        if (keys_folder(folder) != KeysFolder::missing) return;
        throw Error("there are no keys of the cluster " + profile_.name + " in " + folder.string() +
                    ": a node is replaced with the keys that its cluster has; say --keys FOLDER, or put them back "
                    "with makina-image keys restore");
    }

    void begin_formation(const std::string& snapshot) {
        if (!keys_->begin_formation(snapshot)) return;
        reporter_.step("keys", "a new formation of etcd begins, from the snapshot " + snapshot.substr(0, 8) +
                                   ": no earlier card of an etcd node can be a part of it");
    }

    /// A node is replaced in a cluster that is there: nobody of its role founds one from now on.
    void supersede(const Node& node) {
        if (is_founding(node.role) && !keys_->formed().contains(to_string(node.role))) {
            reporter_.step("keys", "new cards of the role " + to_string(node.role) +
                                       " only join from now on; for a cluster that never began there is "
                                       "makina-image keys begin-again");
        }
        keys_->note_formed(to_string(node.role), seconds_now());
        const std::vector<LedgerEntry> ledger = keys_->ledger();
        const auto has_card = [&](const LedgerEntry& entry) { return entry.node == node.name; };
        if (std::any_of(ledger.begin(), ledger.end(), has_card)) keys_->revoke(node.name, "");
    }

    const BuildOptions& options_;
    const Profile& profile_;
    Reporter& reporter_;
    std::filesystem::path folder_;
    std::optional<Keys> keys_;
    std::string card_;
};

}  // namespace

/// https://reproducible-builds.org/specs/source-date-epoch/ asks for an error if the value is no number.
std::optional<std::int64_t> source_date_epoch() {
    const char* const variable = std::getenv("SOURCE_DATE_EPOCH");
    if (variable == nullptr) return std::nullopt;
    const std::string_view text = variable;
    std::int64_t seconds = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), seconds);
    // FAT's calendar begins with 1980; what follows 2038-01-19 does not fit the time stamps that we write to ext4.
    constexpr std::int64_t first = 315532800;
    constexpr std::int64_t last = 2147483647;
    if (read.ec != std::errc() || read.ptr != text.data() + text.size() || seconds < first || seconds > last) {
        throw Mistake("SOURCE_DATE_EPOCH is \"" + std::string(text) + "\": it must be seconds since 1970, from " +
                      std::to_string(first) + " to " + std::to_string(last) + ", or not be set");
    }
    return seconds;
}

struct ImageBuilder::Parts {
    Parts(const BuildOptions& chosen, const Profile& cluster, Reporter& speaker)
        : options(chosen),
          profile(cluster),
          reporter(speaker),
          keyring(options, profile, reporter),
          bases(profile, {cache_or_default(options.base.cache), options.base.refresh, options.base.offline},
                [&](const std::string& text) { reporter.step("base", text); }) {
        if (!options.restore.empty()) snapshot = read_snapshot(options.restore);
    }
    const BuildOptions& options;
    const Profile& profile;
    Reporter& reporter;
    Keyring keyring;
    Bases bases;
    std::optional<Snapshot> snapshot;
};

ImageBuilder::ImageBuilder(const BuildOptions& options, const Profile& profile, Reporter& reporter)
    : parts_(std::make_unique<Parts>(options, profile, reporter)) {}

ImageBuilder::~ImageBuilder() = default;

ImagePlan ImageBuilder::plan(const Node& node) {
    BaseFacts facts = parts_->bases.for_node(node).facts;
    facts.built = parts_->options.source_date_epoch.value_or(facts.built);
    ImagePlan plan = plan_image(parts_->profile, node, facts, project_folder() / "overlays");
    if (parts_->snapshot && node.role == Role::etcd) carry_snapshot(plan, *parts_->snapshot);
    for (const std::string& warning : plan.warnings) parts_->reporter.warning(node.name, warning);
    return plan;
}

ImagePlan ImageBuilder::issue(const Node& node, const std::string& target) {
    ImagePlan planned = plan(node);
    const std::string restored = parts_->snapshot ? parts_->snapshot->sha256 : "";
    carry(planned, parts_->keyring.carried_by(node, target, restored));
    return planned;
}

std::function<WrittenImage()> ImageBuilder::prepare(const Node& node, const std::filesystem::path& output) {
    ImageOptions image;
    image.output = output;
    image.compression = parts_->options.compression;
    image.blocks_only = parts_->options.blocks_only;
    image.block_map = parts_->options.block_map;
    image.checksum = !parts_->options.no_checksum;
    image.progress = [this, name = node.name](std::uint64_t done, std::uint64_t total) {
        parts_->reporter.progress(name, done, total);
    };
    const BaseImage& base = parts_->bases.for_node(node);
    return [plan = issue(node, output.filename().string()), &base, image] { return write_image(plan, base, image); };
}

void ImageBuilder::settle() {
    parts_->keyring.settle();
}

ComposedImage ImageBuilder::compose(const Node& node, const std::string& target) {
    const ImagePlan plan = issue(node, target);
    settle();
    return {compose_image(plan, parts_->bases.for_node(node)), parts_->keyring.card()};
}

void ImageBuilder::note_flashed(const FlashReceipt& receipt) {
    parts_->keyring.note_flashed(receipt);
}

void ImageBuilder::note_formed(Role role) {
    parts_->keyring.note_formed(role);
}

namespace {

/// As `during`, but a mistake of the person stays one: the exit code tells it.
void at_node(const Node& node, const std::function<void()>& work) {
    std::string mistake;
    during("building " + node.name, [&] {
        try {
            work();
        } catch (const Mistake& error) {
            mistake = error.what();
        }
    });
    if (!mistake.empty()) throw Mistake("building " + node.name + ": " + mistake);
}

/// Images on their way to the disk, each by a thread of its own, while the next ones are decided. Some are decided
/// together, so that their epochs reach the ledger in one durable write.
class Writers {
  public:
    Writers(const BuildOptions& options, ImageBuilder& builder, Reporter& reporter)
        : options_(options), builder_(builder), reporter_(reporter) {}

    void add(const Node& node) {
        const auto started = Clock::now();
        at_node(node, [&] {
            decided_.push_back({node.name, builder_.prepare(node, output_of(options_, node)), started});
        });
        // Whole images keep the disk busy one by one.
        if (!options_.blocks_only || decided_.size() == at_a_time) begin();
    }
    /// Reports what is still to be reported, in the order in which it was added.
    void finish() {
        begin();
        std::exception_ptr failed;
        while (!writing_.empty()) {
            try {
                report_first();
            } catch (const Error&) {
                if (!failed) failed = std::current_exception();
            }
        }
        if (failed) std::rethrow_exception(failed);
    }
    [[nodiscard]] std::vector<std::string> missing(const Profile& profile) const {
        std::vector<std::string> names;
        for (const Node& node : profile.nodes) {
            if (written_.count(node.name) == 0) names.push_back(node.name);
        }
        return names;
    }

  private:
    /// Blocks alone keep a processor busy for a moment, and then wait for the disk.
    static constexpr std::size_t at_a_time = 8;
    using Clock = std::chrono::steady_clock;
    struct Decided {
        std::string node;
        std::function<WrittenImage()> write;
        Clock::time_point started;
    };
    struct Writing {
        std::string node;
        std::future<std::pair<WrittenImage, std::chrono::duration<double>>> image;
    };

    void begin() {
        builder_.settle();
        for (Decided& decided : std::exchange(decided_, {})) {
            while (writing_.size() >= (options_.blocks_only ? at_a_time : 1)) report_first();
            auto write = [next = std::move(decided.write), started = decided.started] {
                const WrittenImage written = next();
                return std::pair(written, std::chrono::duration<double>(Clock::now() - started));
            };
            writing_.push_back({decided.node, std::async(std::launch::async, std::move(write))});
        }
    }
    void report_first() {
        Writing first = std::move(writing_.front());
        writing_.pop_front();
        during("building " + first.node, [&] {
            const auto [written, seconds] = first.image.get();
            reporter_.image(first.node, written.path.string(), written.size, written.used, written.sha256,
                            seconds.count());
        });
        written_.insert(first.node);
    }

    const BuildOptions& options_;
    ImageBuilder& builder_;
    Reporter& reporter_;
    std::vector<Decided> decided_;
    std::deque<Writing> writing_;
    std::set<std::string> written_;
};

/// What failed, with the nodes that have no image now.
[[noreturn]] void fail(const std::exception_ptr& failed, const std::vector<std::string>& missing) {
    const std::string names = missing.empty() ? "" : "; no image was written of " + enumerate(missing, " and ");
    try {
        std::rethrow_exception(failed);
    } catch (const Mistake& error) {
        throw Mistake(error.what() + names);
    } catch (const Error& error) {
        throw Error(error.what() + names);
    }
}

}  // namespace

int build(const BuildOptions& options) {
    if (options.all == !options.node.empty()) throw Mistake("say which node with --role NODE, or --all for every node");
    check_output(options);
    const Profile profile = load_profile(profile_or_default(options.profile));
    const Node* const chosen = options.all ? nullptr : &node_named(profile, options.node);
    if (!options.restore.empty()) check_restore(profile, chosen);
    const ClearedEnd end(abandon_images);
    Reporter reporter(options.json);
    ImageBuilder builder(options, profile, reporter);
    Writers writers(options, builder, reporter);
    const auto build_node = [&](const Node& node) {
        if (!options.dry_run) return writers.add(node);
        at_node(node, [&] { reporter.plan(builder.plan(node)); });
    };
    std::exception_ptr failed;
    const auto try_to = [&](const std::function<void()>& work) {
        try {
            work();
        } catch (const Error&) {
            if (!failed) failed = std::current_exception();
        }
    };
    try_to([&] {
        for (const Node& node : profile.nodes) {
            if (chosen == nullptr || chosen == &node) build_node(node);
        }
    });
    // What was begun before a fault is finished, and told.
    try_to([&] { writers.finish(); });
    if (!failed) return 0;
    const bool are_many = options.all && !options.dry_run;
    fail(failed, are_many ? writers.missing(profile) : std::vector<std::string>());
}

void add_node_options(CLI::App& command, BuildOptions& options) {
    command.add_option("--profile", options.profile, "the cluster's file (default: profiles/makina.yaml)")
        ->type_name("FILE");
    command.add_option("--valid-days", options.valid_days, "days until the card's bundle expires (default: 365)")
        ->check(CLI::Range(1, 3650).description(""))
        ->type_name("DAYS");
    command.add_option("--daemon", options.daemon, "the node's makina-firstboot (default: the one compiled here)")
        ->type_name("FILE");
    add_keyring_options(command, options.keyring);
    command.add_flag("--refresh-base", options.base.refresh, "ask the package archive again, even if a base is cached");
    command.add_flag("--offline", options.base.offline, "use no network: only what is cached");
    command.add_option("--cache", options.base.cache, "folder that keeps bases (default: ~/.cache/makina)")
        ->type_name("FOLDER");
    command.add_flag("--json", options.json, "one JSON event a line on standard output, for programs");
}

namespace {

/// What both commands take.
void add_image_options(CLI::App& command, BuildOptions& options) {
    command.add_option("--output", options.output, "folder for the images, or one .img file (default: out)")
        ->type_name("PATH");
    const std::map<std::string, Compression> kinds = {
        {"none", Compression::none}, {"xz", Compression::xz}, {"zstd", Compression::zstd}};
    auto* const blocks = command.add_flag("--blocks", options.blocks_only,
                                          "write only what the node has besides its base, a few MiB; flash takes it");
    command.add_option("--compress", options.compression, "compress the image: none, xz or zstd (default: none)")
        ->transform(CLI::CheckedTransformer(kinds, CLI::ignore_case).description(""))
        ->excludes(blocks)
        ->type_name("KIND");
    command.add_flag("--bmap", options.block_map, "write the image's block map beside it, for bmaptool")
        ->excludes(blocks);
    command.add_flag("--no-checksum", options.no_checksum,
                     "do not compute the image's sha256, which takes longer than writing it");
    add_node_options(command, options);
}

void add_replace(CLI::App& app, int& exit_code) {
    const auto flashing = std::make_shared<FlashCommand>();
    BuildOptions* const options = &flashing->build;
    options->replaces = true;
    CLI::App* const command = app.add_subcommand("replace", "write the card that takes a dead node's place");
    command->footer(
        "Example: makina-image replace etcd-2\n"
        "Put the card into the node's board and power it on. It waits until the old node is proven dead. The node's "
        "earlier card is noted as revoked, and no later card of its role founds a cluster.");
    command->add_option("node", options->node, "the node of the profile, such as etcd-2")
        ->required()
        ->type_name("NODE");
    command->add_option("device", flashing->devices, "the card, which is written and read back; without it a file is")
        ->expected(0, 1)
        ->type_name("[DEVICE]");
    add_image_options(*command, *options);
    add_flash_options(*command, *flashing);
    command->callback([flashing, &exit_code] {
        flashing->build.source_date_epoch = source_date_epoch();
        exit_code = flashing->devices.empty() ? build(flashing->build) : flash_cards(*flashing);
    });
}

}  // namespace

void add_build(CLI::App& app, int& exit_code) {
    const auto options = std::make_shared<BuildOptions>();
    CLI::App* const command = app.add_subcommand("build", "write the SD-card image of a node");
    command->footer(
        "Example: makina-image build --role master-1 --output out\n"
        "The first build makes the base that all nodes of a role share and takes a minute or two; further ones take "
        "seconds.");
    auto* const node =
        command->add_option("--role,--node", options->node, "the node of the profile to build, such as master-1")
            ->type_name("NODE");
    command->add_flag("--all", options->all, "build every node of the profile")->excludes(node);
    auto* const bare =
        command->add_flag("--no-bundle", options->no_bundle,
                          "a card without secrets: it waits for makina.bundle on a stick or its boot partition");
    command->add_option("--restore", options->restore, "a snapshot of etcd: the etcd nodes begin a new cluster with it")
        ->excludes(bare)
        ->type_name("SNAPSHOT");
    command->add_flag("--dry-run", options->dry_run, "print what would be in the image, write none");
    add_image_options(*command, *options);
    command->callback([options, &exit_code] {
        options->source_date_epoch = source_date_epoch();
        exit_code = build(*options);
    });
    add_replace(app, exit_code);
}

}  // namespace makina
