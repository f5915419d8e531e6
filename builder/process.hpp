#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace makina {

/// A process to start: an argument vector, never a shell string.
struct Command {
    std::vector<std::string> argv;                         ///< argv[0] is looked up in PATH
    std::map<std::string, std::string> environment = {};   ///< set or replaced in the child
    std::filesystem::path folder = {};                     ///< working directory; empty keeps ours
    std::string input = {};                                ///< given to standard input; empty is /dev/null
    std::vector<int> descriptors = {};                     ///< of ours, which the child has under the same numbers
    std::function<void(const std::string&)> on_line = {};  ///< called with each line of standard error as it comes
    /// Called about once a second while the child runs; if it throws, the child is ended and the exception passes on.
    std::function<void()> on_tick = {};
};

struct Result {
    int status = 0;      ///< exit code, or 128 + signal
    std::string output;  ///< standard output
    std::string errors;  ///< standard error
};

/// Runs a command to its end. The child is ended if we die. Throws Error if it cannot be started, with the name of the
/// Debian package that has the program where that is known.
[[nodiscard]] Result run(const Command& command);

/// As run, but throws Error with the last lines of standard error if the exit code is not 0; gives standard output.
std::string run_checked(const Command& command);

/// As run, but standard output is handed to `sink` as it comes (for streams that do not fit in memory). If `sink`
/// throws, the child is ended and the exception passes on. Throws Error if the exit code is not 0.
void run_streaming(const Command& command, const std::function<void(const char* data, std::size_t size)>& sink);

/// True if `program` is an executable file in PATH.
[[nodiscard]] bool have_program(const std::string& program);

}  // namespace makina
