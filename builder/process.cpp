#include "builder/process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <optional>

#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/handle.hpp"

namespace makina {
namespace {

std::optional<std::string> find_program(const std::string& program) {
    if (program.find('/') != std::string::npos) return program;
    // Debian keeps administrators' tools out of a plain user's PATH; mke2fs and fsck.fat live there.
    const char* const path = std::getenv("PATH");
    const std::string folders = std::string(path == nullptr ? "/usr/bin:/bin" : path) + ":/usr/sbin:/sbin";
    for (std::size_t begin = 0; begin <= folders.size();) {
        const std::size_t end = std::min(folders.find(':', begin), folders.size());
        const std::string candidate = folders.substr(begin, end - begin) + "/" + program;
        struct stat status {};
        if (stat(candidate.c_str(), &status) == 0 && S_ISREG(status.st_mode) && access(candidate.c_str(), X_OK) == 0) {
            return candidate;
        }
        begin = end + 1;
    }
    return std::nullopt;
}

std::string package_of(const std::string& program) {
    static const std::map<std::string, std::string> packages = {{"mmdebstrap", "mmdebstrap"},
                                                                {"diff", "diffutils"},
                                                                {"mkfs.fat", "dosfstools"},
                                                                {"fsck.fat", "dosfstools"},
                                                                {"mke2fs", "e2fsprogs"},
                                                                {"e2fsck", "e2fsprogs"},
                                                                {"resize2fs", "e2fsprogs"},
                                                                {"apt-get", "apt"},
                                                                {"curl", "curl"},
                                                                {"xz", "xz-utils"},
                                                                {"zstd", "zstd"},
                                                                {"gpgv", "gpgv"},
                                                                {"qemu-system-aarch64", "qemu-system-arm"},
                                                                {"qemu-system-x86_64", "qemu-system-x86"},
                                                                {"qemu-img", "qemu-utils"},
                                                                {"qemu-aarch64-static", "qemu-user-static"},
                                                                {"unshare", "util-linux"}};
    const auto found = packages.find(program);
    return found == packages.end() ? std::string() : found->second;
}

struct Pipe {
    Descriptor reader, writer;
    Pipe() {
        std::array<int, 2> ends{};
        if (pipe2(ends.data(), O_CLOEXEC) != 0) throw_system("making a pipe");
        reader = Descriptor(ends[0]);
        writer = Descriptor(ends[1]);
    }
};

/// A child that is ended if its owner is left by an exception: first asked, so that it can clear away what it made,
/// and after five seconds made to.
class Child {
  public:
    explicit Child(pid_t pid) : pid_(pid) {}
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child() {
        if (pid_ <= 0) return;
        kill(pid_, SIGTERM);
        for (int tenths = 0; tenths < 50; ++tenths) {
            if (waitpid(pid_, nullptr, WNOHANG) == pid_) return;
            poll(nullptr, 0, 100);
        }
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
    }
    int wait() {
        int status = 0;
        while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
        }
        pid_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }

  private:
    pid_t pid_;
};

/// The child's ends of the pipes. `failure` closes by itself when the program starts; before, errno goes through it.
struct Ends {
    int input = -1, output = -1, errors = -1, failure = -1;
};

[[noreturn]] void become(const std::string& program, const Command& command, const std::vector<char*>& arguments,
                         const Ends& ends, pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(127);  // it died before the line above
    // What we hold back ourselves is no affair of the program's.
    sigset_t none{};
    sigemptyset(&none);
    bool ready = std::signal(SIGPIPE, SIG_DFL) != SIG_ERR && sigprocmask(SIG_SETMASK, &none, nullptr) == 0;
    for (const int descriptor : command.descriptors) ready = ready && fcntl(descriptor, F_SETFD, 0) == 0;
    if (ready && dup2(ends.input, 0) >= 0 && dup2(ends.output, 1) >= 0 && dup2(ends.errors, 2) >= 0 &&
        (command.folder.empty() || chdir(command.folder.c_str()) == 0)) {
        for (const auto& [name, value] : command.environment) setenv(name.c_str(), value.c_str(), 1);
        execv(program.c_str(), arguments.data());
    }
    const int number = errno;
    // If even this fails, the exit code is all that can be said.
    _exit(::write(ends.failure, &number, sizeof number) == sizeof number ? 127 : 126);
}

/// While it lives, writing into a pipe that nobody reads is an error code for this thread and no signal.
class PipeSignalHeld {
  public:
    PipeSignalHeld() {
        sigemptyset(&pipe_);
        sigaddset(&pipe_, SIGPIPE);
        pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
    }
    PipeSignalHeld(const PipeSignalHeld&) = delete;
    PipeSignalHeld& operator=(const PipeSignalHeld&) = delete;
    ~PipeSignalHeld() {
        const timespec at_once{};
        while (sigtimedwait(&pipe_, nullptr, &at_once) < 0 && errno == EINTR) {
        }
        pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    }

  private:
    sigset_t pipe_{}, before_{};
};

/// Gives whole lines to `on_line` as they come.
class Lines {
  public:
    explicit Lines(const std::function<void(const std::string&)>& on_line) : on_line_(on_line) {}
    void take(const char* data, std::size_t size) {
        if (!on_line_) return;
        for (std::size_t i = 0; i < size; ++i) {
            if (data[i] != '\n' && data[i] != '\r') {
                line_ += data[i];
            } else if (!line_.empty()) {
                on_line_(line_);
                line_.clear();
            }
        }
    }
    /// The last line may have no end.
    void finish() {
        if (on_line_ && !line_.empty()) on_line_(line_);
    }

  private:
    const std::function<void(const std::string&)>& on_line_;
    std::string line_;
};

using Sink = std::function<void(const char*, std::size_t)>;

void pump(Descriptor input, Descriptor output, Descriptor errors, const std::string& text, const Sink& on_output,
          const Sink& on_errors, const std::function<void()>& on_tick) {
    std::size_t given = 0;
    std::array<char, 65536> buffer{};
    if (input) fcntl(input.get(), F_SETFL, O_NONBLOCK);
    using Clock = std::chrono::steady_clock;
    Clock::time_point ticked = Clock::now();
    while (output || errors) {
        if (on_tick && Clock::now() - ticked >= std::chrono::seconds(1)) {
            ticked = Clock::now();
            on_tick();
        }
        std::array<pollfd, 3> polls = {pollfd{output.get(), POLLIN, 0}, pollfd{errors.get(), POLLIN, 0},
                                       pollfd{input.get(), POLLOUT, 0}};
        if (poll(polls.data(), polls.size(), on_tick ? 1000 : -1) < 0 && errno != EINTR)
            throw_system("waiting for a process");
        for (int i = 0; i < 2; ++i) {
            if ((polls[i].revents & (POLLIN | POLLHUP | POLLERR)) == 0) continue;
            const ssize_t count = ::read(polls[i].fd, buffer.data(), buffer.size());
            if (count > 0) {
                (i == 0 ? on_output : on_errors)(buffer.data(), static_cast<std::size_t>(count));
            } else if (count == 0 || errno != EINTR) {
                (i == 0 ? output : errors).reset();
            }
        }
        if (input && (polls[2].revents & (POLLOUT | POLLERR)) != 0) {
            const PipeSignalHeld held;
            const ssize_t count = ::write(input.get(), text.data() + given, text.size() - given);
            if (count > 0) given += static_cast<std::size_t>(count);
            // A program need not read all of its input.
            if (given == text.size() || (count < 0 && errno != EAGAIN && errno != EINTR)) input.reset();
        }
    }
}

struct Ended {
    int status = 0;
    std::string errors;
};

/// Waits until the child is the program; throws if it could not become it.
void require_started(const Command& command, int failure) {
    int number = 0;
    ssize_t count = 0;
    while ((count = ::read(failure, &number, sizeof number)) < 0 && errno == EINTR) {
    }
    if (count == 0) return;
    const std::string where = command.folder.empty() ? std::string() : " in " + command.folder.string();
    throw Error("the program " + command.argv[0] + " cannot be started" + where + ": " + system_message(number));
}

Ended execute(const Command& command, const Sink& on_output) {
    const std::string& name = command.argv.at(0);
    const auto program = find_program(name);
    if (!program) {
        const std::string package = package_of(name);
        throw Error("the program " + name + " is missing" +
                    (package.empty() ? std::string(": install it") : ": apt install " + package));
    }
    std::vector<char*> arguments;
    arguments.reserve(command.argv.size() + 1);
    for (const std::string& argument : command.argv) arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);

    Pipe input;
    Pipe output;
    Pipe errors;
    Pipe failure;
    const pid_t parent = getpid();
    const pid_t pid = fork();
    if (pid < 0) throw_system("starting " + name);
    if (pid == 0) {
        become(*program, command, arguments,
               {input.reader.get(), output.writer.get(), errors.writer.get(), failure.writer.get()}, parent);
    }
    Child child(pid);
    input.reader.reset();
    output.writer.reset();
    errors.writer.reset();
    failure.writer.reset();
    require_started(command, failure.reader.get());
    if (command.input.empty()) input.writer.reset();

    Ended ended;
    Lines lines(command.on_line);
    pump(
        std::move(input.writer), std::move(output.reader), std::move(errors.reader), command.input, on_output,
        [&](const char* data, std::size_t size) {
            ended.errors.append(data, size);
            lines.take(data, size);
        },
        command.on_tick);
    lines.finish();
    ended.status = child.wait();
    return ended;
}

[[noreturn]] void throw_failed(const Command& command, int status, const std::string& errors) {
    // The last lines say why; what is before them is progress.
    std::size_t begin = errors.size();
    for (int lines = 0; begin > 0 && lines <= 12; --begin) {
        if (errors[begin - 1] == '\n' && ++lines > 12) break;
    }
    std::string tail = errors.substr(begin);
    while (!tail.empty() && tail.back() == '\n') tail.pop_back();
    throw Error(command.argv[0] + " ended with " + std::to_string(status) + (tail.empty() ? "" : ":\n" + tail));
}

}  // namespace

Result run(const Command& command) {
    Result result;
    Ended ended = execute(command, [&](const char* data, std::size_t size) { result.output.append(data, size); });
    result.status = ended.status;
    result.errors = std::move(ended.errors);
    return result;
}

std::string run_checked(const Command& command) {
    Result result = run(command);
    if (result.status != 0) {
        throw_failed(command, result.status, result.errors.empty() ? result.output : result.errors);
    }
    return std::move(result.output);
}

void run_streaming(const Command& command, const std::function<void(const char*, std::size_t)>& sink) {
    const Ended ended = execute(command, sink);
    if (ended.status != 0) throw_failed(command, ended.status, ended.errors);
}

bool have_program(const std::string& program) {
    return find_program(program).has_value();
}

}  // namespace makina
