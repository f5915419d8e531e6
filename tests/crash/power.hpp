#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "tests/crash/card.hpp"

namespace makina::crash {

/// A program's work on the mounted root of a card, logged write by write.
struct Work {
    fs::path card;  ///< before the work; stays as it is
    std::function<void(const fs::path& root)> run;
    bool commits = false;  ///< the file system is also told to commit at random moments, as it does every few seconds
};

/// Does the work once, and gives the folder of the workshop that has the card after it ("after") and the log ("log").
[[nodiscard]] fs::path record(const Work& work, const std::string& name);

/// What became of the cards after every power cut that was tried.
struct Tally {
    std::uint64_t states = 0;
    std::uint64_t resumed = 0;
    std::vector<std::string> violations;  ///< one line each
    std::uint64_t violated = 0;           ///< cards with at least one
};

/// Looks at up to `random` + 2 cards for each epoch of a recorded log. Every `resume_each`-th card (0: none) that keeps
/// the promise is given to `resume`, which says what is wrong with it afterwards.
[[nodiscard]] Tally cut_power(const fs::path& before, const fs::path& recorded, const Promise& promise,
                              std::size_t random, std::uint64_t seed, std::uint64_t resume_each = 0,
                              const std::function<std::vector<std::string>(const fs::path& card)>& resume = {});

}  // namespace makina::crash
