#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "builder/process.hpp"
#include "tests/unit/scratch.hpp"

// What the program says about a command line before it works, and about its output after it.
namespace makina {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class CommandLine : public testing::Test {
  protected:
    Result makina(std::vector<std::string> arguments) const {
        arguments.insert(arguments.begin(), MAKINA_IMAGE);
        return run({.argv = arguments,
                    .environment = {{"XDG_CONFIG_HOME", (scratch_ / "config").string()},
                                    {"XDG_CACHE_HOME", (scratch_ / "cache").string()},
                                    {"MAKINA_HOME", MAKINA_SOURCE}}});
    }
    std::string refusal(const std::vector<std::string>& arguments) const {
        const Result result = makina(arguments);
        return std::to_string(result.status) + " " + result.errors;
    }
    Scratch scratch_;
};

const std::string profile = std::string(MAKINA_SOURCE) + "/profiles/single.yaml";

TEST_F(CommandLine, SaysWhatWasMeantByAWordThatNobodyTakes) {
    EXPECT_EQ(refusal({"build", "--compres", "xz"}),
              "2 build has no option \"--compres\", did you mean \"--compress\"?\n");
    EXPECT_EQ(refusal({"build", "--compres=xz", "--all"}),
              "2 build has no option \"--compres\", did you mean \"--compress\"?\n");
    EXPECT_EQ(refusal({"build", "--nothing-like-it"}),
              "2 build has no option \"--nothing-like-it\": makina-image build --help names them\n");
    EXPECT_EQ(refusal({"keys", "shwo"}), "2 keys has no subcommand \"shwo\", did you mean \"show\"?\n");
    EXPECT_EQ(refusal({"bundle", "shwo"}), "2 bundle has no subcommand \"shwo\", did you mean \"show\"?\n");
    EXPECT_EQ(refusal({"bundle", "elephant"}),
              "2 bundle has no subcommand \"elephant\"; there are create, show, verify\n");
    EXPECT_EQ(refusal({"keys", "show", "--jsno"}), "2 keys show has no option \"--jsno\", did you mean \"--json\"?\n");
    EXPECT_EQ(refusal({"build", "master-1"}), "2 build takes no word \"master-1\", did you mean --role master-1?\n");
    EXPECT_EQ(refusal({"check", "a", "b"}),
              "2 check takes no word \"b\": makina-image check --help says what it takes\n");
    EXPECT_EQ(refusal({"biuld"}), "2 no command \"biuld\", did you mean \"build\"?\n");
    EXPECT_THAT(refusal({"replace"}), HasSubstr("node is required")) << "nothing is left over";
}

TEST_F(CommandLine, TakesAProfileAsAWordAndByItsOption) {
    EXPECT_EQ(makina({"check", "--profile", profile}).output, makina({"check", profile}).output);
    EXPECT_THAT(makina({"check", profile}).output, HasSubstr(profile + ": no mistakes"));
    EXPECT_EQ(makina({"nodes", "--profile", profile}).output, makina({"nodes", profile}).output);
    EXPECT_THAT(makina({"nodes", profile}).output, HasSubstr("worker-3\n"));
}

TEST_F(CommandLine, EndsWithAFaultIfItsOutputIsLost) {
    const auto into = [&](const std::string& command, const std::string& target) {
        return run({.argv = {"sh", "-c", "MAKINA_HOME=" MAKINA_SOURCE " " MAKINA_IMAGE " " + command + target}});
    };
    for (const char* const command : {"nodes", "check", "--help", "--version", "completion bash"}) {
        const Result lost = into(command, " > /dev/full");
        EXPECT_EQ(lost.status, 1) << command;
        EXPECT_EQ(lost.errors, "makina-image: writing to standard output: no space left on device\n") << command;
        EXPECT_EQ(into(command, " > /dev/null").status, 0) << command;
    }
    EXPECT_EQ(into("completion bash", " | true").errors, "") << "a reader that went away has what it wanted";
}

/// What bash offers for the last of these words.
class Completion : public CommandLine {
  protected:
    void SetUp() override { scratch_.write("completion", makina({"completion", "bash"}).output); }
    std::vector<std::string> offered(const std::string& words, int at) const {
        const std::string test = "PATH=" + std::filesystem::path(MAKINA_IMAGE).parent_path().string() + ":$PATH; . " +
                                 (scratch_ / "completion").string() + "; COMP_WORDS=(" + words +
                                 "); COMP_CWORD=" + std::to_string(at) +
                                 "; _makina_image; [ ${#COMPREPLY[@]} -eq 0 ] || printf '%s\\n' \"${COMPREPLY[@]}\"";
        std::istringstream text(
            run_checked({.argv = {"bash", "--norc", "-c", test}, .environment = {{"MAKINA_HOME", MAKINA_SOURCE}}}));
        std::vector<std::string> lines;
        for (std::string line; std::getline(text, line);) lines.push_back(line);
        return lines;
    }
};

TEST_F(Completion, OffersNodesOfTheProfileInTheLine) {
    EXPECT_THAT(offered("makina-image build --role gate", 3), ElementsAre("gateway-1"));
    EXPECT_THAT(offered("makina-image build --profile " + profile + " --role gate", 5), IsEmpty());
    EXPECT_THAT(offered("makina-image build --profile " + profile + " --role mas", 5), ElementsAre("master-1"));
    EXPECT_THAT(offered("makina-image build --profile=" + profile + " --role mas", 4), ElementsAre("master-1"));
    // bash splits a word at the sign.
    EXPECT_THAT(offered("makina-image build --profile = " + profile + " --role mas", 6), ElementsAre("master-1"));
    EXPECT_THAT(offered("makina-image replace --profile " + profile + " mas", 4), ElementsAre("master-1"));
    EXPECT_THAT(offered("makina-image keys revoke gate", 3), ElementsAre("gateway-1"));
    EXPECT_THAT(offered("makina-image replace gateway-1 /dev/nul", 3), ElementsAre("/dev/null"));
}

TEST_F(Completion, OffersSubcommandsAndTheirOptions) {
    EXPECT_THAT(offered("makina-image bundle ''", 2), ElementsAre("create", "show", "verify"));
    EXPECT_THAT(offered("makina-image keys sh", 2), ElementsAre("show"));
    EXPECT_THAT(offered("makina-image keys --profile x sh", 4), ElementsAre("show"));
    EXPECT_THAT(offered("makina-image keys rotate --fin", 3), ElementsAre("--finish"));
    EXPECT_THAT(offered("makina-image keys --fin", 2), IsEmpty());
    EXPECT_THAT(offered("makina-image keys --profile x rotate --fin", 5), ElementsAre("--finish"));
}

}  // namespace
}  // namespace makina
