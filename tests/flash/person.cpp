#include "tests/flash/person.hpp"

#include <pty.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>

#include "firstboot/bundle/handle.hpp"

namespace makina::flashing {

std::function<int()> start(const std::vector<std::string>& argv) {
    return [argv] {
        std::vector<char*> words;
        words.reserve(argv.size() + 1);
        for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
        words.push_back(nullptr);
        execv(words[0], words.data());
        return 127;
    };
}

std::pair<std::string, int> on_a_terminal(const std::function<int()>& child, const std::vector<Typed>& person,
                                          unsigned short columns) {
    int terminal = -1;
    const winsize size{24, columns, 0, 0};
    // What is still unsaid would be the child's to say, too.
    std::fflush(stdout);
    const pid_t pid = forkpty(&terminal, nullptr, nullptr, &size);
    if (pid == 0) _exit(child());
    const Descriptor owned(terminal);
    std::string said;
    std::size_t looked_at = 0;
    std::array<char, 4096> buffer{};
    auto next = person.begin();
    // The terminal ends with EIO when nobody has its other side open.
    for (ssize_t got = 0; (got = read(terminal, buffer.data(), buffer.size())) > 0;) {
        said.append(buffer.data(), static_cast<std::size_t>(got));
        if (next == person.end()) continue;
        const std::size_t at = said.find(next->seen, looked_at);
        if (at == std::string::npos) continue;
        looked_at = at + next->seen.size();
        const std::string& answer = next++->answer;
        if (write(terminal, answer.data(), answer.size()) != static_cast<ssize_t>(answer.size())) break;
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return {said, WIFEXITED(status) ? WEXITSTATUS(status) : 128};
}

}  // namespace makina::flashing
