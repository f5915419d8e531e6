#include "builder/commands/build.hpp"

#include <CLI/CLI.hpp>
#include <chrono>
#include <iostream>
#include <memory>

#include "builder/commands/terminal.hpp"

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

std::filesystem::path output_of(const BuildOptions& options, const Node& node) {
    const std::string extension = options.output.extension().string();
    const bool is_file = extension == ".img" || extension == ".xz" || extension == ".zst";
    if (is_file && options.all)
        throw Mistake("--output " + options.output.string() + " is one file: with --all name a folder");
    const auto path = is_file ? options.output : options.output / (node.name + ".img" + suffix(options.compression));
    if (path.has_parent_path()) {
        std::error_code failed;
        std::filesystem::create_directories(path.parent_path(), failed);
        if (failed) throw Error("making the folder " + path.parent_path().string() + ": " + failed.message());
    }
    return path;
}

void build_node(const BuildOptions& options, const Profile& profile, const Node& node, Bases& bases,
                Reporter& reporter) {
    const auto started = std::chrono::steady_clock::now();
    const BaseImage& base = bases.for_node(node);
    const ImagePlan plan = plan_image(profile, node, base.facts, project_folder() / "overlays");
    for (const std::string& warning : plan.warnings) reporter.warning(node.name, warning);
    if (options.dry_run) {
        std::cout << to_text(plan);
        return;
    }
    ImageOptions image;
    image.output = output_of(options, node);
    image.compression = options.compression;
    image.progress = [&](std::uint64_t done, std::uint64_t total) { reporter.progress(node.name, done, total); };
    const WrittenImage written = write_image(plan, base, image);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
    reporter.image(node.name, written.path.string(), written.size, written.used, written.sha256, seconds.count());
}

}  // namespace

int build(const BuildOptions& options) {
    if (options.all == !options.node.empty()) throw Mistake("say which node with --role NODE, or --all for every node");
    const Profile profile = load_profile(profile_or_default(options.profile));
    Reporter reporter(options.json);
    BaseOptions base = options.base;
    base.cache = cache_or_default(base.cache);
    Bases bases(profile, base, [&](const std::string& text) { reporter.step("base", text); });
    if (!options.all) {
        const Node& node = node_named(profile, options.node);
        during("building " + node.name, [&] { build_node(options, profile, node, bases, reporter); });
        return 0;
    }
    for (const Node& node : profile.nodes) {
        during("building " + node.name, [&] { build_node(options, profile, node, bases, reporter); });
    }
    return 0;
}

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
    command->add_option("--profile", options->profile, "the cluster's file (default: profiles/makina.yaml)")
        ->type_name("FILE");
    command->add_option("--output", options->output, "folder for the images, or one .img file (default: out)")
        ->type_name("PATH");
    const std::map<std::string, Compression> kinds = {
        {"none", Compression::none}, {"xz", Compression::xz}, {"zstd", Compression::zstd}};
    command->add_option("--compress", options->compression, "compress the image: none, xz or zstd (default: none)")
        ->transform(CLI::CheckedTransformer(kinds, CLI::ignore_case).description(""))
        ->type_name("KIND");
    command->add_flag("--dry-run", options->dry_run, "print what would be in the image, write none");
    command->add_flag("--refresh-base", options->base.refresh,
                      "ask the package archive again, even if a base is cached");
    command->add_flag("--offline", options->base.offline, "use no network: only what is cached");
    command->add_option("--cache", options->base.cache, "folder that keeps bases (default: ~/.cache/makina)")
        ->type_name("FOLDER");
    command->add_flag("--json", options->json, "one JSON event a line on standard output, for programs");
    command->callback([options, &exit_code] { exit_code = build(*options); });
}

}  // namespace makina
