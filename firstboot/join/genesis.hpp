#pragma once

#include <string>
#include <vector>

#include "firstboot/join/statement.hpp"

namespace makina {

// How the named founders of a cluster agree on who its first members are, so that it begins once and never twice, with
// nobody's hand on it. The agreement is Lamport's synod ("The Part-Time Parliament", 1998) over registers that others
// read: each founder writes only its own statement and looks at those of the others, so that messages may be late, lost
// or repeated as they like. A founder whose card was written anew has forgotten what it promised; it is not counted
// among a majority, only where every founder is there.

/// The cluster that is to be founded, as the bundle has it.
struct Founding {
    std::string self;                   ///< this node
    std::vector<std::string> founders;  ///< every node that is named as a founder, this one among them
};

/// How long something has been so, in seconds of a steady clock.
struct Waited {
    std::int64_t majority = 0;   ///< enough founders for an attempt were heard, all the time
    std::int64_t unchanged = 0;  ///< nobody whom we hear has promised, accepted or attempted anything new
};

/// A majority waits so long for those who are still missing.
inline constexpr std::int64_t patience_for_all = 20;
/// The first founder of those present attempts at once; the next one if nothing has happened for so long, and so on.
inline constexpr std::int64_t patience_for_others = 8;
/// An attempt that has its quorum waits so long for the promises of the others who are heard.
inline constexpr std::int64_t patience_for_promises = 3;

/// Where the agreement is.
struct Advance {
    enum class Way {
        waits,   ///< and says what for
        founds,  ///< it is one of the first members: own.decided has its name and its own incarnation
        joins,   ///< there is a cluster, or one begins without it
    } way = Way::waits;
    Statement own;  ///< to be made durable, then told, before anything else is done
    std::string waiting_for = {};
};

/// One step: what this founder now promises, accepts, attempts or knows, after it has heard these statements (of other
/// nodes of the same cluster, each by whom it says it is, none older than `own`). Whoever has no right, or hears of
/// members, or of another formation, attempts and promises nothing. May be repeated, and cut off anywhere.
[[nodiscard]] Advance advance(const Founding& founding, const Statement& own, const std::vector<Statement>& heard,
                              const Waited& waited);

/// True if enough founders that may found this formation are among those heard, this one included.
[[nodiscard]] bool has_quorum(const Founding& founding, const Statement& own, const std::vector<Statement>& heard);

}  // namespace makina
