#pragma once

#include <cstdint>
#include <vector>

#include "builder/flash/medium.hpp"

namespace makina {

/// Looks for a capacity that is not there. Cards with less memory than they say drop what is written behind it, or put
/// it somewhere else; what was written last may still be answered from a cache. So blocks that are told apart are
/// written all over the card, read, and read once more when the whole image has gone through the card.
class CapacityProbe {
  public:
    /// Marks lie at powers of two, in the last MiB and evenly in between, none in the first MiB.
    explicit CapacityProbe(Medium& medium);

    /// Another one, at an image's end. False if it cannot be or is there already.
    bool add(std::uint64_t image_end);
    void write(std::uint64_t mark) const;
    /// Reads a mark and throws Error if it is not as it was written.
    void check(std::uint64_t mark) const;
    [[nodiscard]] const std::vector<std::uint64_t>& marks() const { return marks_; }

  private:
    Medium& medium_;
    std::vector<std::uint64_t> marks_;  ///< offsets, ascending; each mark is a block
    std::uint64_t nonce_ = 0;           ///< so that those of an earlier run are not taken for ours
};

}  // namespace makina
