#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace makina::flashing {

/// What a person waits for on the screen, and what they type then.
struct Typed {
    std::string seen;
    std::string answer;
};

/// Becomes another program.
[[nodiscard]] std::function<int()> start(const std::vector<std::string>& argv);

/// Runs it in a child that has a terminal of so many columns, in front of which a person types each answer when its
/// question is there, and nothing after the last one. Gives what was on the screen, and the exit code.
[[nodiscard]] std::pair<std::string, int> on_a_terminal(const std::function<int()>& child,
                                                        const std::vector<Typed>& person, unsigned short columns = 80);

}  // namespace makina::flashing
