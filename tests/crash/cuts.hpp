#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "firstboot/bundle/handle.hpp"

namespace makina::crash {

/// One write of a log. Sectors have 512 bytes.
struct Write {
    std::uint64_t sector = 0;
    std::uint64_t sectors = 0;
    std::string_view data;  ///< empty: the sectors read as zero afterwards
};

/// What was written to a card, in the order in which it was, split where the card was told to flush. After a power cut
/// within an epoch everything of the epochs before is on the card, and of this one any part.
class WriteLog {
  public:
    /// Reads a log as dm-log-writes defines it (Documentation/admin-guide/device-mapper/log-writes.rst of Linux).
    /// Throws Error if it is none.
    explicit WriteLog(const std::filesystem::path& file);
    [[nodiscard]] const std::vector<std::vector<Write>>& epochs() const { return epochs_; }

  private:
    std::string bytes_;
    std::vector<std::vector<Write>> epochs_;
};

/// What a power cut leaves of one epoch.
struct Cut {
    /// A write that reached the card, or the first sectors of it.
    struct Piece {
        std::size_t write = 0;
        std::uint64_t sectors = 0;
        bool operator==(const Piece&) const = default;
    };
    std::size_t epoch = 0;
    std::vector<Piece> pieces;  ///< in the order in which the card wrote them
    bool operator==(const Cut&) const = default;
};

/// Cuts in every epoch, each only once: before any of its writes, after all, and up to `random` with a random part of
/// its writes in random order, of which one in three has a torn write. Ascending by epoch.
[[nodiscard]] std::vector<Cut> choose_cuts(const WriteLog& log, std::size_t random, std::uint64_t seed);

/// For people: "epoch 17, 3 of 8 writes: 2 0 5(4 of 16 sectors)".
[[nodiscard]] std::string describe(const WriteLog& log, const Cut& cut);

/// Makes cards as power cuts leave them, from the card before the log began.
class CutCards {
  public:
    /// `front` is a file of its own that follows the log.
    CutCards(const std::filesystem::path& before, const WriteLog& log, std::filesystem::path front);
    /// Writes the card of a cut to `card`. Epochs must not go down.
    void make(const Cut& cut, const std::filesystem::path& card);

  private:
    const WriteLog& log_;
    std::filesystem::path front_;
    std::size_t epoch_ = 0;
};

/// Copies a sparse file as a sparse file.
void copy_sparse(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace makina::crash
