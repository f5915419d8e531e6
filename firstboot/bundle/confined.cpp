#include "firstboot/bundle/confined.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <new>
#include <string_view>

#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/handle.hpp"

namespace makina {
namespace {

constexpr std::size_t largest_answer = std::size_t{2} << 20;
constexpr std::uint64_t memory = std::uint64_t{128} << 20;

// The first byte of an answer.
constexpr char good = 'g', untrusted = 'u', fault = 'f';

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
constexpr bool shadow_memory = true;
#else
constexpr bool shadow_memory = false;
#endif
#elif defined(__SANITIZE_ADDRESS__)
constexpr bool shadow_memory = true;
#else
constexpr bool shadow_memory = false;
#endif

void limit(__rlimit_resource what, std::uint64_t most) {
    const rlimit both{most, most};
    if (setrlimit(what, &both) != 0) throw_system("the reader of bundles cannot be limited");
}

/// Address space of this process, in bytes: proc(5), /proc/self/statm, first number, in pages.
std::uint64_t address_space() {
    std::uint64_t pages = 0;
    if (!(std::ifstream("/proc/self/statm") >> pages)) throw Error("/proc/self/statm cannot be read");
    return pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

/// Leaves only descriptor 0 open, which is the pipe to our parent.
void confine(int pipe, const Patience& patience) {
    // What our parent does with signals does not hold here: the alarm ends us however we spend our time.
    sigset_t none;
    sigemptyset(&none);
    if (std::signal(SIGALRM, SIG_DFL) == SIG_ERR || sigprocmask(SIG_SETMASK, &none, nullptr) != 0) {
        throw_system("the reader of bundles cannot be limited");
    }
    alarm(patience.waiting);
    // The sanitizer's shadow takes terabytes of address space.
    if (!shadow_memory) limit(RLIMIT_AS, address_space() + memory);
    limit(RLIMIT_CPU, patience.computing);
    limit(RLIMIT_CORE, 0);
    if (pipe != 0 && dup2(pipe, 0) != 0) throw_system("the reader of bundles has no pipe");
    if (close_range(1, ~0U, 0) != 0) throw_system("the reader of bundles cannot close its files");
    allow_only_computing(0);
}

void write_all(int file, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t written = write(file, bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) _exit(1);
        bytes.remove_prefix(static_cast<std::size_t>(written));
    }
}

[[noreturn]] void live_as_child(int pipe, const std::function<std::string()>& work, const Patience& patience) {
    std::string answer;
    int out = pipe;
    try {
        confine(pipe, patience);
        out = 0;
        answer = good + work();
    } catch (const Untrusted& error) {
        answer = untrusted + std::string(error.what());
    } catch (const Error& error) {
        answer = fault + std::string(error.what());
    } catch (const std::bad_alloc&) {
        answer = fault + std::string("too little memory");
    } catch (const std::exception& error) {
        answer = untrusted + std::string(error.what());
    }
    write_all(out, answer);
    _exit(0);
}

/// Everything that comes; one byte more than it may be if it is too much.
std::string read_all(int pipe) {
    std::string bytes;
    std::array<char, 65536> buffer{};
    while (bytes.size() <= largest_answer) {
        const ssize_t size = read(pipe, buffer.data(), buffer.size());
        if (size < 0 && errno == EINTR) continue;
        if (size < 0) throw_system("the reader of bundles cannot be heard");
        if (size == 0) break;
        bytes.append(buffer.data(), static_cast<std::size_t>(size));
    }
    return bytes;
}

int wait_for(pid_t child) {
    int status = 0;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) throw_system("the reader of bundles is lost");
    }
    return status;
}

[[noreturn]] void throw_signal(const std::string& what, int signal) {
    // Too late, too much computing, or the kernel's hand when memory was short: nothing that the work did wrong.
    if (signal == SIGALRM || signal == SIGXCPU || signal == SIGKILL) {
        throw Error(what + " was given up: the machine is too slow or too full at the moment");
    }
    throw Untrusted(what + " ended with signal " + std::to_string(signal));
}

}  // namespace

std::string confined(const std::string& what, const std::function<std::string()>& work, const Patience& patience) {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) throw_system("the reader of bundles has no pipe");
    Descriptor in(ends[0]);
    Descriptor out(ends[1]);
    const pid_t child = fork();
    if (child < 0) throw_system("the reader of bundles cannot be started");
    if (child == 0) live_as_child(out.get(), work, patience);
    out.reset();
    const std::string answer = read_all(in.get());
    in.reset();  // a child that still writes ends now
    const int status = wait_for(child);
    if (WIFSIGNALED(status)) throw_signal(what, WTERMSIG(status));
    if (WEXITSTATUS(status) != 0 || answer.empty() || answer.size() > largest_answer) {
        throw Untrusted(what + " ended without an answer");
    }
    std::string text = answer.substr(1);
    if (answer.front() == good) return text;
    if (answer.front() == fault) throw Error(text);
    throw Untrusted(text);
}

}  // namespace makina
