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
    std::uint64_t violated = 0;  ///< cards that break the promise
    std::uint64_t resumed = 0;
    std::uint64_t stuck = 0;          ///< of the resumed ones: with something wrong in the end
    std::vector<std::string> faults;  ///< one line each
};

/// What to do with cards as power cuts left them: gives what is wrong afterwards. Called from many threads, each with
/// its own number.
using Resume = std::function<std::vector<std::string>(const fs::path& card, unsigned worker)>;

/// Looks at up to `random` + 2 cards for each epoch of a recorded log. About `resumes` of them are given to `resume`.
[[nodiscard]] Tally cut_power(const fs::path& before, const fs::path& recorded, const Promise& promise,
                              std::size_t random, std::uint64_t seed, std::size_t resumes = 0,
                              const Resume& resume = {});

}  // namespace makina::crash
