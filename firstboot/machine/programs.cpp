#include "firstboot/machine/programs.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <optional>

#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

constexpr std::size_t most_output = std::size_t{64} << 10;
constexpr std::int64_t grace = 5'000;  // milliseconds between SIGTERM and SIGKILL
constexpr int not_found = 127;         // as a shell says

std::optional<std::string> program_file(const std::string& name, const ProgramPlace& place) {
    const auto runs = [](const std::filesystem::path& file) {
        std::error_code none;
        return std::filesystem::is_regular_file(file, none) && access(file.c_str(), X_OK) == 0;
    };
    if (name.find('/') != std::string::npos && !place.by_name_only) {
        return runs(name) ? std::optional(name) : std::nullopt;
    }
    for (const std::filesystem::path& folder : place.folders) {
        const std::filesystem::path file = folder / std::filesystem::path(name).filename();
        if (runs(file)) return file.string();
    }
    return std::nullopt;
}

/// Our environment without what the service manager says to us alone.
std::vector<std::string> environment_for(const ProgramPlace& place) {
    std::vector<std::string> all;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string text = *entry;
        const std::string name = text.substr(0, text.find('='));
        const bool ours = name == "NOTIFY_SOCKET" || name.rfind("WATCHDOG_", 0) == 0 || name.rfind("LISTEN_", 0) == 0;
        if (!ours && !place.environment.contains(name)) all.push_back(text);
    }
    for (const auto& [name, value] : place.environment) all.push_back(name + "=" + value);
    return all;
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
    std::vector<char*> all;
    all.reserve(texts.size() + 1);
    // execve(2) takes char*, and changes nothing.
    for (const std::string& text : texts) all.push_back(const_cast<char*>(text.c_str()));
    all.push_back(nullptr);
    return all;
}

struct Pipe {
    Descriptor ours, theirs;
    Pipe() {
        std::array<int, 2> ends{};
        if (pipe2(ends.data(), O_CLOEXEC) != 0) throw_system("making a pipe");
        ours = Descriptor(ends[0]);
        theirs = Descriptor(ends[1]);
        if (fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) throw_system("making a pipe");
    }
};

/// In the child: only calls that signal-safety(7) allows between fork and exec.
[[noreturn]] void become(const char* file, char** argv, char** environment, int input, int output, int errors,
                         pid_t parent) {
    sigset_t none{};
    sigemptyset(&none);
    const bool ready = setpgid(0, 0) == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent &&
                       dup2(input, STDIN_FILENO) >= 0 && dup2(output, STDOUT_FILENO) >= 0 &&
                       dup2(errors, STDERR_FILENO) >= 0 && signal(SIGPIPE, SIG_DFL) != SIG_ERR &&
                       sigprocmask(SIG_SETMASK, &none, nullptr) == 0;
    if (ready) execve(file, argv, environment);
    _exit(126);
}

/// Reads what is there now; closes the pipe at its end.
void drain(Descriptor& pipe, std::string& text, bool keep_end) {
    std::array<char, 16384> buffer{};
    while (pipe) {
        const ssize_t count = read(pipe.get(), buffer.data(), buffer.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0 && errno == EAGAIN) return;
        if (count <= 0) return pipe.reset();
        text.append(buffer.data(), static_cast<std::size_t>(count));
        if (text.size() <= most_output) continue;
        if (keep_end) {
            text.erase(0, text.size() - most_output);
        } else {
            text.resize(most_output);
        }
    }
}

/// True if the child has ended; it is left as a zombie, so that its group keeps its number.
bool has_ended(pid_t child) {
    siginfo_t state{};
    while (waitid(P_PID, static_cast<id_t>(child), &state, WEXITED | WNOHANG | WNOWAIT) != 0) {
        if (errno != EINTR) throw_system("waiting for a program");
    }
    return state.si_pid == child;
}

/// What the group's members that are left are sent, and when.
class Deadline {
  public:
    Deadline(pid_t group, unsigned seconds)
        : group_(group), next_(steady_milliseconds() + seconds * std::int64_t{1000}) {}
    void look(bool stopped) {
        const std::int64_t now = steady_milliseconds();
        if (stopped && !termed_) next_ = now;
        if (now < next_) return;
        (void)kill(-group_, termed_ ? SIGKILL : SIGTERM);
        termed_ = true;
        next_ = now + grace;
    }

  private:
    pid_t group_;
    std::int64_t next_;
    bool termed_ = false;
};

}  // namespace

ProgramPlace usual_place() {
    return {{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"},
            false,
            {{"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
             {"HOME", "/root"},
             {"LC_ALL", "C.UTF-8"}}};
}

Answer run_program(const std::vector<std::string>& argv, unsigned seconds, const ProgramPlace& place,
                   Supervisor& supervisor) {
    const auto file = program_file(argv.at(0), place);
    if (!file) return {not_found, "", "no program " + argv[0] + " on this node"};
    const std::vector<std::string> environment = environment_for(place);
    const std::vector<char*> arguments = pointers(argv);
    const std::vector<char*> variables = pointers(environment);
    const Descriptor nothing(open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (!nothing) throw_system("opening /dev/null");
    Pipe output;
    Pipe errors;
    const pid_t parent = getpid();
    const pid_t child = fork();
    if (child < 0) throw_system("starting " + argv[0]);
    if (child == 0) {
        become(file->c_str(), const_cast<char**>(arguments.data()), const_cast<char**>(variables.data()), nothing.get(),
               output.theirs.get(), errors.theirs.get(), parent);
    }
    output.theirs.reset();
    errors.theirs.reset();
    // Both sides set it: whoever is first, the group is there before it is sent a signal.
    (void)setpgid(child, child);

    Answer answer;
    Deadline deadline(child, seconds);
    for (bool ended = false; !ended;) {
        std::array<pollfd, 2> ready = {pollfd{output.ours.get(), POLLIN, 0}, pollfd{errors.ours.get(), POLLIN, 0}};
        // A short sleep while both pipes are closed or silent: how the child's end is noticed.
        if (poll(ready.data(), ready.size(), 50) < 0 && errno != EINTR) throw_system("waiting for " + argv[0]);
        ended = has_ended(child);
        drain(output.ours, answer.output, false);
        drain(errors.ours, answer.errors, true);
        supervisor.tick();
        if (!ended) deadline.look(supervisor.stopped());
    }
    (void)kill(-child, SIGKILL);
    int status = 0;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) throw_system("waiting for " + argv[0]);
    }
    answer.status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    return answer;
}

bool hang_up(const std::string& service) {
    std::ifstream processes("/sys/fs/cgroup/system.slice/" + service + "/cgroup.procs");
    pid_t process = 0;
    if (!(processes >> process) || process <= 1) return false;
    if (kill(process, SIGHUP) == 0) return true;
    if (errno == ESRCH) return false;
    throw_system("telling " + service + " to read its settings");
}

}  // namespace makina
