#include "tests/crash/kills.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <map>
#include <mutex>
#include <thread>

#include "firstboot/bundle/error.hpp"
#include "tests/crash/rig.hpp"

namespace makina::crash {
namespace {

fs::path copy_of(const fs::path& tree, const std::string& name) {
    const fs::path root = workshop() / name;
    fs::remove_all(root);
    run_checked({{"cp", "-a", tree.string(), root.string()}});
    return root;
}

std::string last_line(const std::string& text) {
    const std::size_t end = text.find_last_not_of('\n');
    if (end == std::string::npos) return "";
    const std::size_t begin = text.find_last_of('\n', end);
    return text.substr(begin + 1, end - begin);
}

std::vector<std::string> with(std::vector<std::string> argv, const std::vector<std::string>& more) {
    argv.insert(argv.end(), more.begin(), more.end());
    return argv;
}

class Trial {
  public:
    Trial(const Victim& victim, const Point& point, std::string injection, bool ever_after)
        : victim_(victim), point_(point), injection_(std::move(injection)), ever_after_(ever_after) {}

    /// What went wrong, one line each.
    std::vector<std::string> run(const std::string& name) {
        const fs::path root = copy_of(victim_.tree, name);
        try {
            hinder(root);
            note("at once", victim_.wrong_midway(root));
            const Result again = run_for_a_minute(victim_.argv(root));
            if (again.status != 0) {
                note("again", {"exit code " + std::to_string(again.status) + ": " + last_line(again.errors)});
            }
            note("in the end", victim_.wrong_at_end(root));
        } catch (const Error& error) {
            note("trial", {error.what()});
        }
        fs::remove_all(root);
        return faults_;
    }

  private:
    void hinder(const fs::path& root) {
        // Not with -f: strace counts the calls of each thread, and the programs that ours starts have calls, too.
        const std::string inject =
            point_.call + ":" + injection_ + ":when=" + std::to_string(point_.index) + (ever_after_ ? "+" : "");
        const Result result = run_for_a_minute(
            with({"strace", "-qq", "-o", "/dev/null", "-e", "trace=" + point_.call, "-e", "inject=" + inject},
                 victim_.argv(root)));
        if (injection_ == "signal=SIGKILL" && result.status != 128 + SIGKILL) {
            note("killing", {"it ended with " + std::to_string(result.status) + ": " + last_line(result.errors)});
        }
    }
    void note(const std::string& when, const std::vector<std::string>& lines) {
        for (const std::string& line : lines) {
            faults_.push_back(injection_ + " at " + point_.call + " " + std::to_string(point_.index) +
                              (ever_after_ ? " and after" : "") + ", " + when + ": " + line);
        }
    }

    const Victim& victim_;
    const Point& point_;
    std::string injection_;
    bool ever_after_;
    std::vector<std::string> faults_;
};

}  // namespace

Result run_for_a_minute(std::vector<std::string> argv) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    Command command{std::move(argv)};
    command.on_tick = [end] {
        if (std::chrono::steady_clock::now() > end) throw Error("still running after a minute");
    };
    return run(command);
}

const std::set<std::string>& changing_calls() {
    static const std::set<std::string> calls = {
        "write",     "pwrite64", "writev",   "fsync",     "fdatasync", "syncfs",    "rename", "renameat",
        "renameat2", "unlink",   "unlinkat", "rmdir",     "truncate",  "ftruncate", "mkdir",  "fallocate",
        "mkdirat",   "link",     "linkat",   "symlink",   "symlinkat", "chmod",     "fchmod", "chown",
        "fchmodat",  "fchown",   "fchownat", "utimensat", "ioctl",     "mknodat",   "mount",  "umount2",
        "openat",    "clone",    "clone3",   "fork",      "vfork",     "execve",    "sendto", "bind"};
    return calls;
}

const std::set<std::string>& failing_calls() {
    static const std::set<std::string> calls = {
        "write",     "pwrite64", "writev",   "fsync",  "fdatasync", "syncfs",    "rename",    "renameat", "renameat2",
        "unlink",    "unlinkat", "rmdir",    "mkdir",  "ftruncate", "fallocate", "mkdirat",   "link",     "linkat",
        "symlinkat", "fchmod",   "fchmodat", "fchown", "ioctl",     "fchownat",  "utimensat", "mknodat",  "openat"};
    return calls;
}

std::vector<Point> points_of(const Victim& victim, const std::set<std::string>& calls) {
    std::string trace = "trace=";
    for (const std::string& call : calls) trace += (trace.back() == '=' ? "?" : ",?") + call;
    const fs::path root = copy_of(victim.tree, "counted");
    const fs::path log = workshop() / "calls";
    const Result result = run_for_a_minute(with({"strace", "-qq", "-o", log.string(), "-e", trace}, victim.argv(root)));
    if (result.status != 0) throw Error("the program does not come to its end: " + result.errors);
    fs::remove_all(root);

    std::map<std::string, unsigned> counts;
    std::vector<Point> points;
    std::ifstream lines(log);
    for (std::string line; std::getline(lines, line);) {
        const std::string call = line.substr(0, line.find('('));
        if (!calls.contains(call)) continue;
        ++counts[call];
        // The first execve is strace's own, before the program.
        const bool changes = call != "openat" || line.find("O_CREAT") != std::string::npos;
        if (changes && call != "execve") points.push_back({call, counts[call]});
    }
    return points;
}

Trials try_points(const Victim& victim, const std::vector<Point>& points, const std::string& injection, bool ever_after,
                  unsigned at_once) {
    Trials trials;
    std::mutex mutex;
    std::atomic<std::size_t> next = 0;
    const auto work = [&](unsigned worker) {
        for (std::size_t i = next++; i < points.size(); i = next++) {
            const auto faults = Trial(victim, points[i], injection, ever_after).run("trial-" + std::to_string(worker));
            const std::lock_guard lock(mutex);
            ++trials.points;
            if (!faults.empty()) ++trials.failed;
            trials.faults.insert(trials.faults.end(), faults.begin(), faults.end());
        }
    };
    std::vector<std::thread> workers;
    for (unsigned worker = 0; worker < at_once; ++worker) workers.emplace_back(work, worker);
    for (std::thread& worker : workers) worker.join();
    return trials;
}

std::vector<Point> sample(const std::vector<Point>& points, std::size_t most) {
    if (points.size() <= most) return points;
    std::vector<Point> some;
    for (std::size_t i = 0; i < most; ++i) some.push_back(points[i * points.size() / most]);
    return some;
}

}  // namespace makina::crash
