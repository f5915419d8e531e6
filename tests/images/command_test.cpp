#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "firstboot/bundle/digest.hpp"
#include "tests/images/suite.hpp"
#include "tests/unit/scratch.hpp"

// What a person and a program see of the commands: words, events, exit codes.
namespace makina::images {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

const Subject master = {"control-plane", "master-1", "makina.yaml"};

/// Everything below a folder.
std::vector<std::string> files_in(const fs::path& folder) {
    std::vector<std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(folder)) files.push_back(entry.path().string());
    return files;
}

std::vector<std::string> commands() {
    // The help's list: two spaces, the name, what it does.
    std::vector<std::string> names;
    bool listing = false;
    for (const std::string& line : lines(makina({"--help"}).output)) {
        if (listing && line.rfind("  ", 0) == 0) names.push_back(line.substr(2, line.find(' ', 2) - 2));
        listing = line == "Subcommands:" || (listing && line.rfind("  ", 0) == 0);
    }
    return names;
}

TEST(Build, WithDryRunNamesEveryFileAndWritesNone) {
    (void)card(master);  // so that the base is there
    const Scratch scratch;
    const Result plan = makina(build_arguments(master, scratch / "out", {"--dry-run"}));
    EXPECT_EQ(plan.status, 0) << plan.errors;
    for (const char* const words :
         {"node      master-1 (control-plane, arm64, rpi4)", " /etc/hostname  (overlays/any/etc/hostname.in)",
          " /boot/firmware/cmdline.txt  (", "removed from the base\n  /etc/ssh/ssh_host_"}) {
        EXPECT_THAT(plan.output, HasSubstr(words));
    }
    EXPECT_THAT(files_in(scratch.path()), IsEmpty());
}

TEST(Build, WithDryRunAndJsonGivesThePlanAsOneEvent) {
    const Scratch scratch;
    const Result plan = makina(build_arguments(master, scratch / "out", {"--dry-run", "--json"}));
    EXPECT_EQ(plan.status, 0) << plan.errors;
    for (const Json& event : events(plan.output)) EXPECT_FALSE(event.is_discarded()) << plan.output;
    const Json event = images::event(plan.output, "plan");
    ASSERT_TRUE(event.is_object()) << plan.output;
    EXPECT_EQ(event["node"], "master-1");
    EXPECT_EQ(event["role"], "control-plane");
    const bool named = std::any_of(event["files"].begin(), event["files"].end(), [](const Json& file) {
        return file["path"] == "/etc/sudoers.d/makina" && file["mode"] == "0440" && file["user"] == "root";
    });
    EXPECT_TRUE(named) << event.dump(2);
    EXPECT_THAT(files_in(scratch.path()), IsEmpty());
}

TEST(Build, WithJsonGivesOneEventALine) {
    const Scratch scratch;
    const fs::path file = scratch / "card.img";
    const Result built = makina(build_arguments(master, file, {"--json"}));
    EXPECT_EQ(built.status, 0) << built.errors;
    std::uint64_t before = 0;
    for (const Json& event : events(built.output)) {
        ASSERT_TRUE(event.is_object()) << built.output;
        if (event["event"] != "progress") continue;
        EXPECT_GE(event["done"].get<std::uint64_t>(), before);
        before = event["done"].get<std::uint64_t>();
        EXPECT_LE(before, event["total"].get<std::uint64_t>());
    }
    EXPECT_GT(before, 0U) << "no progress was told";
    const Json image = event(built.output, "image");
    EXPECT_EQ(image["path"], file.string());
    EXPECT_EQ(image["sha256"], sha256_of_file(file));
    EXPECT_EQ(events(built.output).back()["event"], "image");
}

TEST(Build, EndsWithPathSizeAndChecksumForPeople) {
    const BuiltCard& known = bare_card(master);
    const Scratch scratch;
    // A folder: the file is named by the node.
    const Result built = makina(build_arguments(master, scratch.path(), {"--no-bundle"}));
    EXPECT_EQ(built.status, 0) << built.errors;
    const std::string size = std::to_string(fs::file_size(scratch / "master-1.img"));
    const std::vector<std::string> said = lines(built.output);
    ASSERT_EQ(said.size(), 3U) << built.output;
    EXPECT_EQ(said[0], "image   " + (scratch / "master-1.img").string());
    EXPECT_EQ(said[1].rfind("size    " + size + " bytes (", 0), 0U) << said[1];
    EXPECT_EQ(said[2], "sha256  " + known.event["sha256"].get<std::string>());
    EXPECT_EQ(files_in(scratch.path()).size(), 1U);
}

struct Packed {
    const char* compression;
    const char* suffix;
    std::vector<std::string> unpacker;
};
class CompressedBuild : public testing::TestWithParam<Packed> {};

TEST_P(CompressedBuild, UnpacksToTheSameBytes) {
    const BuiltCard& known = bare_card(master);
    const Scratch scratch;
    const Result built = makina(
        build_arguments(master, scratch.path(), {"--json", "--no-bundle", "--compress", GetParam().compression}));
    ASSERT_EQ(built.status, 0) << built.errors;
    const fs::path file = scratch / ("master-1.img" + std::string(GetParam().suffix));
    const Json image = event(built.output, "image");
    EXPECT_EQ(image["path"], file.string());
    EXPECT_EQ(image["size"], fs::file_size(file));
    EXPECT_EQ(image["sha256"], sha256_of_file(file));
    EXPECT_LT(fs::file_size(file), known.event["used"].get<std::uint64_t>());
    EXPECT_THAT(files_in(scratch.path()), testing::ElementsAre(file.string()));
    std::vector<std::string> argv = GetParam().unpacker;
    argv.push_back(file.string());
    Sha256 digest;
    run_streaming({argv}, [&](const char* data, std::size_t size) { digest.update({data, size}); });
    EXPECT_EQ(digest.hex(), known.event["sha256"]);
}

std::vector<Packed> packed() {
    const Packed zstd = {"zstd", ".zst", {"zstd", "-dcq"}};
    // xz takes minutes of two cores.
    return long_form() ? std::vector<Packed>{zstd, {"xz", ".xz", {"xz", "-dc"}}} : std::vector<Packed>{zstd};
}
INSTANTIATE_TEST_SUITE_P(With, CompressedBuild, testing::ValuesIn(packed()),
                         [](const auto& packed) { return std::string(packed.param.compression); });

struct Refusal {
    const char* name;
    std::vector<std::string> arguments;
    std::string words;
    std::map<std::string, std::string> environment = {};
};
class Refused : public testing::TestWithParam<Refusal> {};

TEST_P(Refused, WithExitCode2AndTheExactWords) {
    const Scratch scratch;
    std::vector<std::string> arguments = GetParam().arguments;
    const Result refused = run({[&] {
                                    arguments.insert(arguments.begin(), MAKINA_IMAGE);
                                    return arguments;
                                }(),
                                GetParam().environment, scratch.path()});
    EXPECT_EQ(refused.status, 2);
    EXPECT_EQ(refused.errors, GetParam().words);
    EXPECT_THAT(refused.output, IsEmpty());
    EXPECT_THAT(files_in(scratch.path()), IsEmpty());
}

std::string default_profile() {
    return profile("makina.yaml").string();
}

INSTANTIATE_TEST_SUITE_P(
    Build, Refused,
    testing::Values(
        Refusal{"WithoutANode", {"build"}, "say which node with --role NODE, or --all for every node\n"},
        Refusal{"AnUnknownNode",
                {"build", "--role", "mastr-1"},
                default_profile() + " has no node \"mastr-1\", did you mean \"master-1\"?\n"},
        Refusal{"AFarNode",
                {"build", "--role", "kitchen"},
                default_profile() +
                    " has no node \"kitchen\"; its nodes are gateway-1, lb-1, lb-2, master-1, master-2, master-3, "
                    "worker-1, worker-2, worker-3\n"},
        Refusal{"AnUnknownOption",
                {"build", "--role", "master-1", "--ofline"},
                "build has no option \"--ofline\", did you mean \"--offline\"?\n"},
        Refusal{"OneFileForAll",
                {"build", "--all", "--output", "x.img"},
                "--output x.img is one file: with --all name a folder\n"},
        Refusal{"AnEndingThatSaysCompressed",
                {"build", "--role", "master-1", "--output", "x.img.zst"},
                "--output x.img.zst ends in .zst, but the image is not compressed: end it in .img or say another "
                "--compress\n"},
        Refusal{"AnEndingThatSaysRaw",
                {"build", "--role", "master-1", "--output", "x.img", "--compress", "xz"},
                "--output x.img ends in .img, but the image is compressed as .xz: end it in .xz or say another "
                "--compress\n"},
        Refusal{"ATimeThatIsNone",
                {"build", "--role", "master-1"},
                "SOURCE_DATE_EPOCH is \"yesterday\": it must be seconds since 1970, from 315532800 to 2147483647, or "
                "not be set\n",
                {{"SOURCE_DATE_EPOCH", "yesterday"}}},
        Refusal{"ATimeThatAFatDoesNotKnow",
                {"build", "--role", "master-1"},
                "SOURCE_DATE_EPOCH is \"0\": it must be seconds since 1970, from 315532800 to 2147483647, or not be "
                "set\n",
                {{"SOURCE_DATE_EPOCH", "0"}}}),
    [](const auto& refusal) { return std::string(refusal.param.name); });

TEST(Build, TellsEveryMistakeOfAProfileAtOnceWithItsLine) {
    const Scratch scratch;
    const std::string file = scratch
                                 .write("home.yaml",
                                        "name: home\nkubernetes: {version: 1.34.1}\n"
                                        "network:\n  subnet: 192.168.68.0/24\n  gatway: 192.168.68.1\n"
                                        "api: {balancer: none}\nnodes:\n"
                                        "  master-1: {role: control-plan, address: 192.168.68.11}\n"
                                        "  worker-1: {role: worker, address: 192.168.68.11}\n")
                                 .string();
    const Result refused = makina({"build", "--profile", file, "--role", "master-1"});
    EXPECT_EQ(refused.status, 2);
    EXPECT_EQ(refused.errors,
              file + ":5:3: network: unknown key \"gatway\", did you mean \"gateway\"?\n" + file +
                  ":8:20: nodes.master-1.role: \"control-plan\" is not control-plane, worker, load-balancer, etcd or "
                  "gateway, did you mean \"control-plane\"?\n" +
                  file +
                  ":9:37: nodes.worker-1.address: 192.168.68.11 is already the address of master-1, give each node "
                  "its own\n3 mistakes in " +
                  file + "\n");
    EXPECT_EQ(makina({"check", file}).errors, refused.errors);
}

TEST(Help, IsThereForEveryCommand) {
    const Result all = makina({"--help"});
    EXPECT_EQ(all.status, 0);
    EXPECT_THAT(all.output, HasSubstr("Start with: makina-image build --role master-1"));
    EXPECT_THAT(commands(), testing::IsSupersetOf({"build", "flash", "check", "inspect", "diff", "completion"}));
    for (const std::string& command : commands()) {
        const Result help = makina({command, "--help"});
        EXPECT_EQ(help.status, 0) << command;
        EXPECT_THAT(help.output, HasSubstr("Usage: ")) << command;
        EXPECT_THAT(help.output, HasSubstr(" " + command + " ")) << command;
        EXPECT_THAT(help.output, testing::AnyOf(HasSubstr("Example: makina-image " + command),
                                                HasSubstr("Start with: makina-image build"), HasSubstr("Exit code")))
            << command;
    }
    EXPECT_THAT(makina({"build", "--help"}).output, HasSubstr("Example: makina-image build --role master-1"));
}

TEST(Help, SaysTheVersion) {
    const Result version = makina({"--version"});
    EXPECT_EQ(version.status, 0);
    EXPECT_THAT(version.output, testing::MatchesRegex("makina-image [0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

TEST(Completion, IsAScriptThatBashAcceptsWithEveryCommandInIt) {
    const Scratch scratch;
    const Result script = makina({"completion", "bash"});
    ASSERT_EQ(script.status, 0);
    const std::string file = scratch.write("completion", script.output).string();
    const Result syntax = run({{"bash", "-n", file}});
    EXPECT_EQ(syntax.status, 0) << syntax.errors;
    for (const std::string& command : commands()) EXPECT_THAT(script.output, HasSubstr(command));
    for (const char* const shell : {"zsh", "fish"}) {
        const Result other = makina({"completion", shell});
        EXPECT_EQ(other.status, 0) << shell;
        for (const std::string& command : commands()) EXPECT_THAT(other.output, HasSubstr(command)) << shell;
    }
}

TEST(Completion, OffersCommandsOptionsAndNodesInBash) {
    const Scratch scratch;
    const std::string file = scratch.write("completion", makina({"completion", "bash"}).output).string();
    const auto offered = [&](const std::string& words, int at) {
        // The script asks the program itself for node names, by its name.
        const std::string test = "PATH=" + fs::path(MAKINA_IMAGE).parent_path().string() + ":$PATH; . " + file +
                                 "; COMP_WORDS=(" + words + "); COMP_CWORD=" + std::to_string(at) +
                                 "; _makina_image; printf '%s\\n' \"${COMPREPLY[@]}\"";
        return lines(run_checked({{"bash", "--norc", "-c", test}}));
    };
    EXPECT_THAT(offered("makina-image bui", 1), testing::ElementsAre("build"));
    EXPECT_THAT(offered("makina-image build --dr", 2), testing::ElementsAre("--dry-run"));
    EXPECT_THAT(offered("makina-image build --role master-", 3),
                testing::ElementsAre("master-1", "master-2", "master-3"));
}

}  // namespace
}  // namespace makina::images
