#include "builder/commands/inspect.hpp"

#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "builder/card/card.hpp"

namespace makina {
namespace {

std::string mebibytes(std::uint64_t bytes) {
    std::array<char, 32> text{};
    const auto count = std::snprintf(text.data(), text.size(), "%.1f MiB", static_cast<double>(bytes) / (1 << 20));
    return {text.data(), static_cast<std::size_t>(count)};
}

std::string in_base(std::uint64_t number, const char* format) {
    std::array<char, 32> text{};
    // The two formats used here are in this file and take an unsigned long.
    const auto count = std::snprintf(text.data(), text.size(), format, static_cast<unsigned long>(number));
    return {text.data(), static_cast<std::size_t>(count)};
}

void print(const CardReport& report, const std::filesystem::path& image, std::ostream& out) {
    out << image.string() << ": " << mebibytes(report.size) << ", " << mebibytes(report.on_disk) << " on disk\n";
    for (const CardReport::Part& part : report.parts) {
        out << "partition " << part.partition.number << ": at " << mebibytes(part.partition.offset) << ", "
            << mebibytes(part.partition.size) << ", type " << in_base(part.partition.type, "%02lx") << ", "
            << "PARTUUID " << part.id;
        if (!part.file_system.empty()) {
            out << ", " << part.file_system << (part.label.empty() ? "" : " \"" + part.label + "\"") << ", "
                << mebibytes(part.used) << " used, " << mebibytes(part.free) << " free";
        }
        out << '\n';
    }
    if (!report.manifest) {
        out << "no manifest: not made by makina-image, or changed since\n";
        return;
    }
    const Manifest& manifest = *report.manifest;
    out << "node " << manifest.node << ", " << manifest.role << " of the cluster " << manifest.cluster << '\n'
        << "base " << manifest.base << ", built " << manifest.built << " (seconds since 1970)\n"
        << report.files.size() << " files written over the base:\n";
    for (const CardReport::WrittenFile& file : report.files) {
        out << "  " << in_base(file.entry.mode, "%04lo") << ' ' << file.entry.user << ':' << file.entry.group << ' '
            << file.entry.path << "  from " << file.entry.origin;
        if (file.condition != Condition::as_written) out << "  (" << to_string(file.condition) << ')';
        out << '\n';
    }
}

nlohmann::ordered_json to_json(const CardReport& report) {
    using Json = nlohmann::ordered_json;
    Json json = {{"size", report.size}, {"on_disk", report.on_disk}, {"disk_id", in_base(report.disk_id, "%08lx")}};
    json["partitions"] = Json::array();
    for (const CardReport::Part& part : report.parts) {
        Json entry = {{"number", part.partition.number},
                      {"offset", part.partition.offset},
                      {"size", part.partition.size},
                      {"type", in_base(part.partition.type, "%02lx")},
                      {"partuuid", part.id}};
        if (!part.file_system.empty()) {
            entry["file_system"] = part.file_system;
            entry["label"] = part.label;
            entry["used"] = part.used;
            entry["free"] = part.free;
        }
        json["partitions"].push_back(std::move(entry));
    }
    if (!report.manifest) {
        json["manifest"] = nullptr;
        return json;
    }
    json["manifest"] = {{"cluster", report.manifest->cluster},
                        {"node", report.manifest->node},
                        {"role", report.manifest->role},
                        {"base", report.manifest->base},
                        {"built", report.manifest->built}};
    json["files"] = Json::array();
    for (const CardReport::WrittenFile& file : report.files) {
        json["files"].push_back({{"path", file.entry.path},
                                 {"mode", in_base(file.entry.mode, "%04lo")},
                                 {"user", file.entry.user},
                                 {"group", file.entry.group},
                                 {"sha256", file.entry.sha256},
                                 {"origin", file.entry.origin},
                                 {"condition", to_string(file.condition)}});
    }
    return json;
}

}  // namespace

int inspect(const InspectOptions& options, std::ostream& out) {
    const Card card(options.image);
    if (!options.cat.empty()) {
        out << card.read_file(options.cat);
        return 0;
    }
    const CardReport report = inspect_card(card);
    if (options.json) {
        // File names need not be UTF-8; JSON must be.
        out << to_json(report).dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
    } else {
        print(report, options.image, out);
    }
    return 0;
}

void add_inspect(CLI::App& app, int& exit_code) {
    const auto options = std::make_shared<InspectOptions>();
    CLI::App* const command = app.add_subcommand("inspect", "tell what is in an image, for which node, from where");
    command->add_option("image", options->image, "the image file")->required()->check(CLI::ExistingFile);
    command->add_option("--cat", options->cat, "print this file of the image, such as /etc/hostname")
        ->type_name("PATH");
    command->add_flag("--json", options->json, "as JSON, for programs");
    command->callback([options, &exit_code] { exit_code = inspect(*options, std::cout); });
}

}  // namespace makina
