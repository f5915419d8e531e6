#include "builder/rehearse/boot_signs.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace makina {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> lines_of_console(const std::vector<std::string>& pieces) {
    std::vector<std::string> lines;
    ConsoleLines console;
    for (const std::string& piece : pieces) {
        console.take(piece, [&](const std::string& line) { lines.push_back(line); });
    }
    return lines;
}

TEST(Console, IsReadWithoutColoursHoweverItsBytesArrive) {
    const std::string slow =
        "\x1b[K[\x1b[0;32m  OK  \x1b[0m] Reached target \x1b[0;1;39mmulti-user.target\x1b[0m - …\r\n";
    std::vector<std::string> bytes;
    for (const char letter : slow) bytes.emplace_back(1, letter);
    for (const std::vector<std::string>& pieces : {std::vector<std::string>{slow}, bytes}) {
        const auto lines = lines_of_console(pieces);
        ASSERT_THAT(lines, ElementsAre("[  OK  ] Reached target multi-user.target - …"));
        EXPECT_EQ(stage_shown(lines[0]), BootStage::multi_user);
    }
    // Sequences of one letter, and a prompt, which no newline ends.
    EXPECT_THAT(lines_of_console({"\x1b"
                                  "7Loading, please wait...\x1b"
                                  "8\n",
                                  "\x1b[0mnode login: "}),
                ElementsAre("Loading, please wait...", "node login: "));
}

}  // namespace
}  // namespace makina
