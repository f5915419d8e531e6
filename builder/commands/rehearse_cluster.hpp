#pragma once

#include <filesystem>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "builder/commands/build.hpp"
#include "builder/rehearse/cluster_plan.hpp"
#include "builder/rehearse/drill.hpp"

namespace makina {

struct ClusterRehearsalOptions {
    BuildOptions build;  ///< the profile, the keys, and how cards are built
    ClusterChoice choice;
    std::vector<Drill> drills;
    std::filesystem::path images;   ///< a folder with NODE.img; empty: all are built
    std::filesystem::path console;  ///< a folder that gets NODE.log; empty for none
    std::optional<double> until;    ///< as in DrillRules
    double settle = 60, steady = 5, timeout = 900;
    double interval = 1;  ///< seconds between two looks
    bool json = false;
};

/// Boots nodes of a profile on one switch, shows them and runs the drills. Gives 0 if every node joined and all was
/// well after each drill, else 1. `live`: `out` is a terminal. Throws Mistake, Error.
int rehearse_cluster(const ClusterRehearsalOptions& options, std::ostream& out, bool live);

}  // namespace makina
