#include "builder/commands/watch.hpp"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "builder/commands/cluster.hpp"
#include "builder/commands/keyring.hpp"
#include "builder/commands/seen.hpp"
#include "builder/commands/terminal.hpp"
#include "builder/watch/watch.hpp"

namespace makina {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::chrono::milliseconds patience(2000);

std::vector<Seen> ask_all(const Profile& profile, const WatchOptions& options) {
    std::vector<AskedNode> asked;
    for (const Node& node : profile.nodes) {
        const auto port = options.ports.find(node.name);
        asked.push_back({node.name, node.address, port == options.ports.end() ? status_port : port->second});
    }
    const std::vector<StatusReply> replies = ask_nodes(asked, patience);
    std::vector<Seen> all;
    for (std::size_t at = 0; at < replies.size(); ++at) all.push_back(seen_of(profile.nodes[at], replies[at]));
    return all;
}

bool same(const Seen& before, const Seen& now, bool json) {
    return to_line(before.node) == to_line(now.node) && (!json || lasting(before.status) == lasting(now.status));
}

void print(const Seen& seen, bool json, std::ostream& out) {
    if (!json) {
        out << to_line(seen.node) << '\n';
        return;
    }
    Json line = {{"node", seen.node.name}, {"role", seen.node.role}, {"reached", seen.node.reached}};
    if (!seen.node.reached) line["fault"] = seen.node.state;
    line["status"] = seen.status;
    out << line.dump(-1, ' ', true, Json::error_handler_t::replace) << '\n';
}

void draw(const std::vector<Seen>& all, const Profile& profile, bool again, std::ostream& out) {
    std::vector<WatchedNode> nodes;
    nodes.reserve(all.size());
    for (const Seen& seen : all) nodes.push_back(seen.node);
    const auto joined =
        std::count_if(nodes.begin(), nodes.end(), [](const auto& node) { return node.state == "joined"; });
    // From the screen's first line on, over the table before.
    out << (again ? "\x1b[H\x1b[J" : "") << profile.name << ": " << joined << " of " << nodes.size()
        << " nodes have joined\n\n"
        << to_table(nodes, terminal_width(STDOUT_FILENO), true);
}

/// The cluster's id as the node tells it.
std::string cluster_of(const Seen& seen) {
    const auto cluster = seen.status.find("cluster_id");
    return cluster != seen.status.end() && cluster->is_string() ? cluster->get<std::string>() : std::string();
}

/// Once a founder has joined, the cards that are written from now on only join.
void note_formed(const std::vector<Seen>& all, const WatchOptions& options) {
    for (const Seen& seen : all) {
        const bool founds = seen.node.role == "etcd" || seen.node.role == "control-plane";
        if (options.keys.empty() || !founds || seen.node.state != "joined") continue;
        const Keys::Joined joined{seen.node.name, seen.node.role, seen.node.epoch};
        if (!Keys::note_formed(options.keys, cluster_of(seen), joined, seconds_now())) continue;
        std::cerr << "keys: " << seen.node.name << " has joined: new cards of the role " << seen.node.role
                  << " only join from now on\n";
    }
}

/// A bundle that was handed over counts when it is seen that the node has it. `noted`: by node, what was asked for.
void note_taken(const std::vector<Seen>& all, const WatchOptions& options,
                std::map<std::string, std::uint64_t>& noted) {
    if (options.keys.empty()) return;
    std::map<std::string, std::vector<Keys::Joined>> clusters;
    for (const Seen& seen : all) {
        if (!seen.node.reached || seen.node.state != "joined") continue;
        if (std::exchange(noted[seen.node.name], seen.node.epoch) == seen.node.epoch) continue;
        clusters[cluster_of(seen)].push_back({seen.node.name, seen.node.role, seen.node.epoch});
    }
    for (const auto& [cluster, nodes] : clusters) {
        for (const Keys::Joined& joined : Keys::note_taken(options.keys, cluster, nodes)) {
            std::cerr << "keys: " << joined.node << " has taken its bundle of epoch " << joined.epoch << '\n';
        }
    }
}

}  // namespace

int watch(const Profile& profile, const WatchOptions& options, std::ostream& out, bool live) {
    std::vector<Seen> before;
    std::map<std::string, std::uint64_t> noted;
    for (;;) {
        std::vector<Seen> now = ask_all(profile, options);
        note_formed(now, options);
        note_taken(now, options, noted);
        if (live && !options.json) {
            draw(now, profile, !options.once, out);
        } else {
            for (std::size_t at = 0; at < now.size(); ++at) {
                if (before.empty() || !same(before[at], now[at], options.json)) print(now[at], options.json, out);
            }
        }
        out.flush();
        if (options.once) {
            return std::all_of(now.begin(), now.end(), [](const Seen& seen) { return seen.node.state == "joined"; })
                       ? 0
                       : 1;
        }
        if (!out) return 0;
        before = std::move(now);
        std::this_thread::sleep_for(std::chrono::duration<double>(options.interval));
    }
}

void add_watch(CLI::App& app, int& exit_code) {
    const auto options = std::make_shared<WatchOptions>();
    CLI::App* const command = app.add_subcommand("watch", "show how far each node of a cluster is on its way");
    command->footer(
        "Asks the status page of every node. On a terminal: one table, kept up to date; else a line whenever a node "
        "changes.\nExit code with --once: 0 if every node has joined, 1 if not.");
    command->add_option("--profile", options->profile, "the cluster's file (default: profiles/makina.yaml)")
        ->type_name("FILE");
    command->add_option("--keys", options->keys, "folder of the cluster's keys (default: ~/.config/makina/CLUSTER)")
        ->type_name("FOLDER");
    command->add_flag("--once", options->once, "ask once and end");
    command->add_flag("--json", options->json, "one JSON object a line, for programs");
    command->add_option("--interval", options->interval, "seconds between two questions")
        ->check(CLI::Range(0.2, 3600.0))
        ->capture_default_str()
        ->type_name("S");
    command->callback([options, &exit_code] {
        const Profile profile = load_profile(profile_or_default(options->profile));
        KeyringOptions keyring;
        keyring.folder = options->keys;
        options->keys = keys_folder_of(profile.name, keyring);
        exit_code = watch(profile, *options, std::cout, isatty(STDOUT_FILENO) != 0);
    });
}

}  // namespace makina
