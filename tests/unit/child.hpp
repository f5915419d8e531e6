#pragma once

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <functional>
#include <set>
#include <stdexcept>
#include <string>

#include "firstboot/bundle/handle.hpp"

namespace makina {

/// A process of its own that runs `work`.
class ChildProcess {
  public:
    explicit ChildProcess(const std::function<std::string()>& work) {
        std::array<int, 2> ends{};
        if (pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("cannot make a pipe");
        reader_ = Descriptor(ends[0]);
        const Descriptor writer(ends[1]);
        pid_ = fork();
        if (pid_ < 0) throw std::runtime_error("cannot fork");
        if (pid_ > 0) return;
        std::string text;
        try {
            text = work();
        } catch (const std::exception& error) {
            text = error.what();
        }
        const bool written = write(writer.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
        _exit(written ? 0 : 1);
    }
    /// Waits for its end; what `work` gave, or the text of what it threw.
    std::string result() {
        std::string text;
        std::array<char, 4096> buffer{};
        for (ssize_t count = 0; (count = read(reader_.get(), buffer.data(), buffer.size())) > 0;) {
            text.append(buffer.data(), static_cast<std::size_t>(count));
        }
        int status = 0;
        waitpid(pid_, &status, 0);
        return status == 0 ? text : "the child ended with status " + std::to_string(status);
    }

  private:
    Descriptor reader_;
    pid_t pid_ = -1;
};

inline std::string in_child(const std::function<std::string()>& work) {
    return ChildProcess(work).result();
}

/// Runs `work` in a process of its own and kills it after `delay`. True if it ended before that.
inline bool killed_after(std::chrono::microseconds delay, const std::function<void()>& work) {
    std::array<int, 2> ends{};
    if (pipe(ends.data()) != 0) throw std::runtime_error("cannot make a pipe");
    const Descriptor reader(ends[0]);
    Descriptor writer(ends[1]);
    const pid_t pid = fork();
    if (pid < 0) throw std::runtime_error("cannot fork");
    if (pid == 0) {
        try {
            work();
            _exit(0);
        } catch (const std::exception&) {
            _exit(1);
        }
    }
    writer.reset();
    // The pipe closes when the process ends by itself.
    pollfd ended{reader.get(), POLLIN, 0};
    const timespec wait{delay.count() / 1000000, delay.count() % 1000000 * 1000};
    const bool by_itself = ppoll(&ended, 1, &wait, nullptr) > 0;
    kill(pid, SIGKILL);
    int status = 0;
    waitpid(pid, &status, 0);
    // What it started may still be ending; it holds the pipe.
    ended.revents = 0;
    poll(&ended, 1, 10000);
    return by_itself && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/// Gives up root's rights, which no permission of a file stops; only in a child.
inline void become_nobody() {
    if (geteuid() != 0) return;
    constexpr unsigned nobody = 65534;
    if (setgroups(0, nullptr) != 0 || setresgid(nobody, nobody, nobody) != 0 || setresuid(nobody, nobody, nobody) != 0)
        throw std::runtime_error("cannot give up root's rights");
}

/// Mounts an empty file system of `size` ("4m") on a folder, which only this process sees; only in a child.
inline bool mount_small(const std::filesystem::path& folder, const std::string& size) {
    return unshare(geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER) == 0 &&
           mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
           mount("tmpfs", folder.c_str(), "tmpfs", 0, ("mode=0777,size=" + size).c_str()) == 0;
}

/// Names in a folder, each with a space behind it.
inline std::string names_in(const std::filesystem::path& folder) {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) names.insert(entry.path().filename());
    std::string text;
    for (const std::string& name : names) text += name + " ";
    return text;
}

}  // namespace makina
