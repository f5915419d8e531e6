#pragma once

#include <cstdint>
#include <string>

#include "firstboot/host.hpp"

namespace makina {

/// A partition's number from 1, and its place in sectors; number 0: none.
struct Place {
    int number = 0;
    std::uint64_t start = 0;
    std::uint64_t sectors = 0;
    bool operator==(const Place&) const = default;
};

/// What becomes of a card.
struct Layout {
    std::string left;   ///< why the table stays as it is, for people; empty if it is as it should be, or will be
    std::string wants;  ///< what the card lacks: "a card of 32 GiB ..."; then nothing is changed either
    std::string table;  ///< the first sector as it should be
    Place root;
    Place spare;
};

/// The root partition up to the end of the card, in whole mebibytes, never smaller than it is; before the end
/// `spare` bytes, if there are any, as one more partition (type 0x83). Tables that are not understood, GPT, and cards
/// on which something else follows the root partition stay as they are.
[[nodiscard]] Layout layout_of(const Disk& disk, std::uint64_t spare);

}  // namespace makina
