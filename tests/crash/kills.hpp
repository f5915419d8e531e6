#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "builder/process.hpp"

namespace makina::crash {

namespace fs = std::filesystem;

/// Runs a program; one that hangs is a fault: Error.
[[nodiscard]] Result run_for_a_minute(std::vector<std::string> argv);

/// A program that works on a node's root folder, to be hindered at one system call after the other.
struct Victim {
    fs::path tree;  ///< the root before the work; each trial has a copy
    std::function<std::vector<std::string>(const fs::path& root)> argv;
    /// What is wrong with a root at any moment, and with one on which the program has come to its end.
    std::function<std::vector<std::string>(const fs::path&root)> wrong_midway, wrong_at_end;
};

/// The `index`-th call (from 1) of a system call in the program's main thread.
struct Point {
    std::string call;
    unsigned index = 0;
};

/// System calls that change something, and those that begin another program; of openat only those that may create.
[[nodiscard]] const std::set<std::string>& changing_calls();
/// Of these, those that tell of a full or a failing card.
[[nodiscard]] const std::set<std::string>& failing_calls();

/// Every call of `calls` that one undisturbed run makes. Throws Error if the run fails.
[[nodiscard]] std::vector<Point> points_of(const Victim& victim, const std::set<std::string>& calls);

struct Trials {
    std::uint64_t points = 0;
    std::uint64_t failed = 0;
    std::vector<std::string> faults;  ///< one line each
};

/// For each point, on a root of its own: runs the program with `injection` (strace(1): "signal=SIGKILL", "error=EIO")
/// there, looks what is wrong, runs it again without, and looks again. With `ever_after` all later calls are hindered
/// too. `at_once` trials run side by side.
[[nodiscard]] Trials try_points(const Victim& victim, const std::vector<Point>& points, const std::string& injection,
                                bool ever_after, unsigned at_once);

/// At most so many of them, evenly spread.
[[nodiscard]] std::vector<Point> sample(const std::vector<Point>& points, std::size_t most);

}  // namespace makina::crash
