#include "tests/crash/kills.hpp"

#include <sys/mount.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <map>
#include <mutex>

#include "firstboot/bundle/error.hpp"
#include "tests/crash/rig.hpp"

namespace makina::crash {
namespace {

fs::path copy_of(const fs::path& tree, const std::string& name) {
    fs::path root = workshop() / name;
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

/// Whether a line of strace -y tells of a change: not of a file that is only read, or of words to people.
bool changes_something(const std::string& call, const std::string& line) {
    // strace's own, before the program.
    if (call == "execve") return false;
    if (call == "openat") return line.find("O_CREAT") != std::string::npos;
    if (call == "write") return line.find('<' + workshop().string()) != std::string::npos;
    return true;
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

/// A file system in memory whose size can be changed.
class Room {
  public:
    explicit Room(fs::path folder) : folder_(std::move(folder)) {
        fs::create_directories(folder_);
        mount(0, plenty);
    }
    Room(const Room&) = delete;
    Room& operator=(const Room&) = delete;
    ~Room() { ::umount2(folder_.c_str(), MNT_DETACH); }
    void leave(std::uint64_t bytes) {
        const fs::space_info space = fs::space(folder_);
        mount(MS_REMOUNT, space.capacity - space.free + bytes);
    }
    void leave_plenty() { mount(MS_REMOUNT, plenty); }

  private:
    static constexpr std::uint64_t plenty = 1ULL << 30;
    void mount(unsigned long flags, std::uint64_t bytes) {
        const std::string size = "size=" + std::to_string(bytes);
        if (::mount("tmpfs", folder_.c_str(), "tmpfs", flags, size.c_str()) != 0) throw_system("mounting a tmpfs");
    }
    fs::path folder_;
};

std::vector<std::string> wrong_when_full(const Victim& victim, std::uint64_t bytes, const std::string& name) {
    const fs::path root = workshop() / name;
    Room room(root);
    run_checked({{"cp", "-a", (victim.tree / ".").string(), root.string()}});
    room.leave(bytes);
    static_cast<void>(run_for_a_minute(victim.argv(root)));
    std::vector<std::string> wrong = victim.wrong_midway(root);
    room.leave_plenty();
    static_cast<void>(run_for_a_minute(victim.argv(root)));
    for (const std::string& line : victim.wrong_at_end(root)) wrong.push_back(line);
    return wrong;
}

void add(Trials& trials, const std::vector<std::string>& faults) {
    ++trials.points;
    if (!faults.empty()) ++trials.failed;
    trials.faults.insert(trials.faults.end(), faults.begin(), faults.end());
}

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
    const Result result =
        run_for_a_minute(with({"strace", "-qq", "-y", "-o", log.string(), "-e", trace}, victim.argv(root)));
    if (result.status != 0) throw Error("the program does not come to its end: " + result.errors);
    fs::remove_all(root);

    std::map<std::string, unsigned> counts;
    std::vector<Point> points;
    std::ifstream lines(log);
    for (std::string line; std::getline(lines, line);) {
        const std::string call = line.substr(0, line.find('('));
        if (!calls.contains(call)) continue;
        ++counts[call];
        if (changes_something(call, line)) points.push_back({call, counts[call]});
    }
    return points;
}

Trials try_points(const Victim& victim, const std::vector<Point>& points, const std::string& injection, bool ever_after,
                  unsigned at_once) {
    Trials trials;
    std::mutex mutex;
    side_by_side(points.size(), at_once, [&](std::size_t number, unsigned worker) {
        const auto faults = Trial(victim, points[number], injection, ever_after).run("trial-" + std::to_string(worker));
        const std::lock_guard lock(mutex);
        add(trials, faults);
    });
    return trials;
}

Trials try_full(const Victim& victim, const std::vector<std::uint64_t>& rooms, unsigned at_once) {
    Trials trials;
    std::mutex mutex;
    side_by_side(rooms.size(), at_once, [&](std::size_t number, unsigned worker) {
        std::vector<std::string> faults;
        try {
            for (const std::string& line : wrong_when_full(victim, rooms[number], "full-" + std::to_string(worker))) {
                faults.push_back(std::to_string(rooms[number]) + " bytes of room: " + line);
            }
        } catch (const Error& error) {
            faults.emplace_back(error.what());
        }
        const std::lock_guard lock(mutex);
        add(trials, faults);
    });
    return trials;
}

std::vector<Point> sample(const std::vector<Point>& points, std::size_t most) {
    if (points.size() <= most) return points;
    std::vector<Point> some;
    for (std::size_t i = 0; i < most; ++i) some.push_back(points[i * points.size() / most]);
    return some;
}

}  // namespace makina::crash
