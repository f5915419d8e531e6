#include "builder/commands/rehearse_cluster.hpp"

#include <unistd.h>

#include <fstream>

#include "builder/commands/cluster_rehearsal.hpp"
#include "builder/commands/terminal.hpp"

namespace makina {
namespace {

/// MemAvailable of proc(5); 0 if it is not known.
std::uint64_t available_memory_mib() {
    std::ifstream lines("/proc/meminfo");
    std::string key;
    std::uint64_t kib = 0;
    while (lines >> key) {
        if (key == "MemAvailable:" && lines >> kib) return kib >> 10;
    }
    return 0;
}

void warn_of_size(const ClusterPlan& plan, Reporter& reporter) {
    // What QEMU itself takes besides, and the kernel and initrd that are kept for it.
    constexpr unsigned beside = 256;
    std::uint64_t wanted = 0;
    for (const PlannedNode& node : plan.nodes) wanted += node.board.memory_mib + beside;
    const std::uint64_t available = available_memory_mib();
    const std::string machines =
        std::to_string(plan.nodes.size()) + (plan.nodes.size() == 1 ? " machine takes" : " machines take");
    reporter.step("rehearsal", machines + " up to " + human_size(wanted << 20) +
                                   " of memory, and minutes to boot: there is no Raspberry Pi here, each is emulated");
    if (available > 0 && wanted > available) {
        reporter.warning("rehearsal", "only " + human_size(available << 20) +
                                          " of memory are free here: boot fewer with --nodes, or give less with "
                                          "--memory");
    }
}

std::vector<std::string> names_of(const ClusterPlan& plan) {
    std::vector<std::string> names;
    names.reserve(plan.nodes.size());
    for (const PlannedNode& node : plan.nodes) names.push_back(node.node.name);
    return names;
}

void give_consoles(const std::filesystem::path& folder, ClusterPlan& plan) {
    if (folder.empty()) return;
    std::error_code failed;
    std::filesystem::create_directories(folder, failed);
    if (failed) throw Error("making the folder " + folder.string() + ": " + failed.message());
    for (PlannedNode& node : plan.nodes) node.board.console = folder / (node.node.name + ".log");
}

/// What is wrong with a choice is a mistake of the person.
ClusterPlan checked_plan(const Profile& profile, const ClusterRehearsalOptions& options) {
    for (const std::string& name : options.choice.nodes) (void)node_named(profile, name);
    try {
        ClusterPlan plan = plan_cluster(profile, options.choice, free_ports(profile.nodes.size() + 1));
        check_drills(options.drills, names_of(plan), plan.shared.has_value());
        return plan;
    } catch (const Error& error) {
        throw Mistake(error.what());
    }
}

}  // namespace

int rehearse_cluster(const ClusterRehearsalOptions& options, std::ostream& out, bool live) {
    const Profile profile = load_profile(profile_or_default(options.build.profile));
    ClusterPlan plan = checked_plan(profile, options);
    give_consoles(options.console, plan);
    plan.outside.stand_in = "/proc/" + std::to_string(getpid()) + "/exe stand-in";
    Interruption interruption;
    Reporter reporter(options.json);
    for (const std::string& warning : plan.warnings) reporter.warning("rehearsal", warning);
    warn_of_size(plan, reporter);
    RehearsalCards cards(profile, options.build, options.images, reporter);
    const RehearsalVoice voice = options.json ? RehearsalVoice::json
                                 : live       ? RehearsalVoice::table
                                              : RehearsalVoice::lines;
    try {
        std::vector<std::filesystem::path> images;
        for (const PlannedNode& node : plan.nodes) images.push_back(cards.first(node.node));
        ClusterRehearsal rehearsal(options, plan, cards, interruption, out, voice, profile.name);
        return rehearsal.lead(images) ? 0 : 1;
    } catch (const Error&) {
        // A program that was interrupted with us has failed for no reason of its own.
        if (!interruption.within(0)) throw;
    }
    throw Error("interrupted: every emulator is ended");
}

}  // namespace makina
