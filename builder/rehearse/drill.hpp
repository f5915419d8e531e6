#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace makina {

/// Said instead of a node's name: whoever holds the API's shared address when the drill begins.
inline constexpr const char* shared_holder = "holder";

/// What happens to a node.
enum class DrillKind {
    kill,     ///< its power goes without warning, and stays away
    restart,  ///< its power goes without warning, and comes back after a while
    replace,  ///< its power goes, and a new card for the same name is put into its board
    cut       ///< its network cable is pulled, and plugged again after a while
};
[[nodiscard]] std::string to_string(DrillKind kind);  ///< "kill"

struct Drill {
    DrillKind kind = DrillKind::kill;
    std::string node;    ///< its name, or shared_holder
    double seconds = 0;  ///< how long power or cable are away
};
/// "cut lb-1 for 20 s"
[[nodiscard]] std::string to_string(const Drill& drill);

/// Reads "NODE", or "NODE:SECONDS" for what lasts a while. Throws Error.
[[nodiscard]] Drill parse_drill(DrillKind kind, std::string_view text);

/// Throws Error if the drills, one after the other, do something to a node that is not among `nodes`, or that is off by
/// then, or to the holder of an address that none of them shares.
void check_drills(const std::vector<Drill>& drills, const std::vector<std::string>& nodes, bool shares);

}  // namespace makina
