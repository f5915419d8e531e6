#include "builder/rehearse/drill.hpp"

#include <algorithm>
#include <charconv>
#include <set>

#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

constexpr double while_of_a_cut = 20, while_of_a_restart = 5, longest_while = 3600;

/// 0 for what does not last a while.
double usual_while(DrillKind kind) {
    switch (kind) {
        case DrillKind::kill:
        case DrillKind::replace:
            return 0;
        case DrillKind::restart:
            return while_of_a_restart;
        case DrillKind::cut:
            return while_of_a_cut;
    }
    throw Error("an unknown drill");
}

}  // namespace

std::string to_string(DrillKind kind) {
    switch (kind) {
        case DrillKind::kill:
            return "kill";
        case DrillKind::restart:
            return "restart";
        case DrillKind::replace:
            return "replace";
        case DrillKind::cut:
            return "cut";
    }
    throw Error("an unknown drill");
}

std::string to_string(const Drill& drill) {
    const std::string text = to_string(drill.kind) + " " + drill.node;
    return drill.seconds > 0 ? text + " for " + std::to_string(static_cast<int>(drill.seconds)) + " s" : text;
}

Drill parse_drill(DrillKind kind, std::string_view text) {
    const std::string name = "--" + to_string(kind) + " " + std::string(text);
    const auto colon = text.find(':');
    Drill drill{kind, std::string(text.substr(0, colon)), usual_while(kind)};
    if (drill.node.empty()) throw Error(name + ": name a node");
    if (colon == std::string_view::npos) return drill;
    if (drill.seconds == 0)
        throw Error(name + ": it does not last a while, say --" + to_string(kind) + " " + drill.node);
    const std::string_view digits = text.substr(colon + 1);
    int seconds = 0;
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), seconds);
    if (read.ec != std::errc() || read.ptr != digits.data() + digits.size() || seconds < 1 || seconds > longest_while) {
        throw Error(name + ": behind the colon go whole seconds, from 1 to 3600");
    }
    drill.seconds = seconds;
    return drill;
}

void check_drills(const std::vector<Drill>& drills, const std::vector<std::string>& nodes, bool shares) {
    std::set<std::string> off;
    for (const Drill& drill : drills) {
        const std::string name = "--" + to_string(drill.kind) + " " + drill.node;
        if (drill.node == shared_holder) {
            if (!shares) throw Error(name + ": no node that is booted shares the API's address with others");
            continue;
        }
        if (std::find(nodes.begin(), nodes.end(), drill.node) == nodes.end()) {
            std::string all;
            for (const std::string& node : nodes) all += (all.empty() ? "" : ", ") + node;
            throw Error(name + ": it is not among the nodes that are booted: " + all);
        }
        if (drill.kind == DrillKind::replace) {
            off.erase(drill.node);
        } else if (off.contains(drill.node)) {
            throw Error(name + ": it is off by then; --replace " + drill.node + " puts a new card in");
        }
        if (drill.kind == DrillKind::kill) off.insert(drill.node);
    }
}

}  // namespace makina
