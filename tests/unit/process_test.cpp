#include "builder/process.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <cerrno>

#include "firstboot/bundle/error.hpp"
#include "tests/unit/scratch.hpp"

namespace makina {
namespace {

std::string refusal(const Command& command) {
    try {
        run_checked(command);
    } catch (const Error& error) {
        return error.what();
    }
    return "it ran";
}

TEST(Process, PassesArgumentsAsTheyAre) {
    const std::vector<std::string> words = {"a b", "\"double\"", "'single'", "$HOME", "`id`",
                                            "",    "new\nline",  "*",        "\\"};
    std::vector<std::string> argv = {"printf", "%s|"};
    argv.insert(argv.end(), words.begin(), words.end());
    std::string expected;
    for (const std::string& word : words) expected += word + "|";
    EXPECT_EQ(run_checked({argv}), expected);
}

TEST(Process, SetsTheEnvironmentAndTheFolderOfTheChildAlone) {
    const Scratch scratch;
    const Command command{
        {"sh", "-c", "printf '%s %s' \"$MAKINA_TEST\" \"$PWD\""}, {{"MAKINA_TEST", "a $b"}}, scratch.path()};
    EXPECT_EQ(run_checked(command), "a $b " + scratch.path().string());
    EXPECT_EQ(std::getenv("MAKINA_TEST"), nullptr);
}

TEST(Process, NamesTheDebianPackageOfAMissingProgram) {
    const Scratch empty;
    const char* const before = std::getenv("PATH");
    const std::string path = before == nullptr ? "" : before;
    setenv("PATH", empty.path().c_str(), 1);
    const std::string missing = have_program("qemu-img") ? "" : refusal({{"qemu-img"}});
    setenv("PATH", path.c_str(), 1);
    // It is looked for in /usr/sbin besides PATH, and it never is there.
    EXPECT_EQ(missing, "the program qemu-img is missing: apt install qemu-utils");
}

TEST(Process, SaysThatAProgramOfUnknownOriginIsMissing) {
    EXPECT_FALSE(have_program("no-such-program-anywhere"));
    EXPECT_TRUE(have_program("sh"));
    EXPECT_EQ(refusal({{"no-such-program-anywhere"}}), "the program no-such-program-anywhere is missing: install it");
}

TEST(Process, SaysWhyAProgramCannotBeStarted) {
    const Scratch scratch;
    EXPECT_EQ(refusal({{"/nowhere/at/all"}}),
              "the program /nowhere/at/all cannot be started: no such file or directory");
    EXPECT_EQ(refusal({{"true"}, {}, "/nowhere"}),
              "the program true cannot be started in /nowhere: no such file or directory");
    const auto script = scratch.write("script", "#!/no/such/interpreter\n");
    chmod(script.c_str(), 0755);
    EXPECT_EQ(refusal({{script.string()}}),
              "the program " + script.string() + " cannot be started: no such file or directory");
}

TEST(Process, SaysTheExitCodeAndTheLastLinesOfStandardError) {
    std::string expected = "sh ended with 3:";
    for (int line = 9; line <= 20; ++line) expected += "\n" + std::to_string(line);
    EXPECT_EQ(refusal({{"sh", "-c", "seq 1 20 >&2; exit 3"}}), expected);
    EXPECT_EQ(refusal({{"sh", "-c", "echo only >&2; exit 1"}}), "sh ended with 1:\nonly");
    EXPECT_EQ(refusal({{"sh", "-c", "exit 9"}}), "sh ended with 9");
}

TEST(Process, SaysStandardOutputIfThereIsNothingElse) {
    EXPECT_EQ(refusal({{"sh", "-c", "echo why; exit 2"}}), "sh ended with 2:\nwhy");
}

TEST(Process, GivesASignalAs128AndItsNumber) {
    EXPECT_EQ(run({{"sh", "-c", "kill -9 $$"}}).status, 128 + SIGKILL);
}

TEST(Process, CarriesMegabytesInAndOutAtOnce) {
    std::string text;
    while (text.size() < (8U << 20)) text += "line " + std::to_string(text.size()) + "\n";
    const Result result = run({{"sh", "-c", "tee /dev/stderr"}, {}, {}, text});
    EXPECT_EQ(result.status, 0);
    EXPECT_TRUE(result.output == text);
    EXPECT_TRUE(result.errors == text);
}

TEST(Process, GivesNoInputAsTheEndOfFile) {
    EXPECT_EQ(run_checked({{"cat"}}), "");
}

TEST(Process, OutlivesAChildThatDoesNotReadItsInput) {
    const Result result = run({{"true"}, {}, {}, std::string(4 << 20, 'x')});
    EXPECT_EQ(result.status, 0);
    sigset_t pending{};
    sigpending(&pending);
    EXPECT_EQ(sigismember(&pending, SIGPIPE), 0);
}

TEST(Process, GivesEachLineOfStandardErrorAsItComes) {
    std::vector<std::string> lines;
    Command command{{"sh", "-c", "printf 'one\\ntwo\\r\\nthree' >&2"}};
    command.on_line = [&](const std::string& line) { lines.push_back(line); };
    EXPECT_EQ(run(command).errors, "one\ntwo\r\nthree");
    EXPECT_EQ(lines, (std::vector<std::string>{"one", "two", "three"}));
}

TEST(Process, StreamsMoreThanAPipeHoldsInOrder) {
    std::string got;
    run_streaming({{"seq", "1", "300000"}}, [&](const char* data, std::size_t size) { got.append(data, size); });
    std::string expected;
    for (int i = 1; i <= 300000; ++i) expected += std::to_string(i) + "\n";
    EXPECT_TRUE(got == expected);
}

/// Starts a child that says its process id and never ends, throws out of the sink, and gives the id.
pid_t end_by_throwing(const std::string& script) {
    pid_t pid = 0;
    try {
        run_streaming({{"sh", "-c", script}}, [&](const char* data, std::size_t size) {
            pid = static_cast<pid_t>(std::stol(std::string(data, size)));
            throw Error("enough");
        });
        ADD_FAILURE() << "the exception was lost";
    } catch (const Error& error) {
        EXPECT_STREQ(error.what(), "enough");
    }
    return pid;
}

TEST(Process, EndsAChildWhoseSinkThrows) {
    const pid_t pid = end_by_throwing("echo $$; exec sleep 1000");
    ASSERT_GT(pid, 0);
    EXPECT_EQ(kill(pid, 0), -1);
    EXPECT_EQ(errno, ESRCH);
}

TEST(Process, EndsAChildThatWillNotBeAsked) {
    const pid_t pid = end_by_throwing("trap '' TERM; echo $$; while :; do sleep 0.2; done");
    ASSERT_GT(pid, 0);
    EXPECT_EQ(kill(pid, 0), -1);
    EXPECT_EQ(errno, ESRCH);
}

}  // namespace
}  // namespace makina
