#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <random>
#include <sstream>

#include "builder/profile/profile.hpp"

namespace makina {
namespace {

const std::filesystem::path source = MAKINA_SOURCE;
const std::filesystem::path cases = source / "tests/unit/profiles";

std::string text_of(const std::filesystem::path& file) {
    std::ostringstream text;
    text << std::ifstream(file, std::ios::binary).rdbuf();
    return text.str();
}

/// The complaints about `text`, one a line: "line:column: text".
std::string complaints_of(const ProfileReading& reading) {
    std::string lines;
    for (const Complaint& complaint : reading.complaints) {
        lines += std::to_string(complaint.line) + ':' + std::to_string(complaint.column) + ": " + complaint.text + '\n';
    }
    return lines;
}

/// A profile file that a test writes again and again.
class Scratch {
  public:
    Scratch() : file_(testing::TempDir() + "makina-refusal-" + std::to_string(::getpid()) + ".yaml") {}
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    ~Scratch() {
        std::error_code ignored;
        std::filesystem::remove(file_, ignored);
    }
    [[nodiscard]] ProfileReading read(const std::string& text) const {
        // A new file each time: ext4 writes a file that was emptied and filled again to the disk at once.
        std::filesystem::remove(file_);
        std::ofstream(file_, std::ios::binary) << text;
        return read_profile(file_);
    }

  private:
    std::filesystem::path file_;
};

std::vector<std::string> case_names() {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(cases)) {
        if (entry.path().extension() == ".yaml") names.push_back(entry.path().stem().string());
    }
    std::ranges::sort(names);
    return names;
}

class Refusal : public testing::TestWithParam<std::string> {};

TEST_P(Refusal, SaysExactlyWhatIsWrongAndWhere) {
    const ProfileReading reading = read_profile(cases / (GetParam() + ".yaml"));
    const std::string expected = text_of(cases / (GetParam() + ".expected"));
    ASSERT_FALSE(expected.empty());
    EXPECT_EQ(complaints_of(reading), expected);
    EXPECT_FALSE(reading.profile);
}

INSTANTIATE_TEST_SUITE_P(Profile, Refusal, testing::ValuesIn(case_names()),
                         [](const auto& refusal) { return refusal.param; });

TEST(Refusals, AreMany) {
    EXPECT_GE(case_names().size(), 60U);
}

TEST(Refusals, ReportsAllMistakesInTheOrderOfTheFile) {
    const std::string text =
        "nmae: home\n"
        "kubernetes: {version: 1.34}\n"
        "network: {subnet: 192.168.3.0/24, gateway: 192.168.4.1}\n"
        "api: {balancer: none, port: 70000}\n"
        "nodes:\n"
        "  master-1: {role: control-plain, address: 192.168.3.10}\n"
        "  worker-1: {role: worker, address: 192.168.3.10, arch: arm46}\n";
    EXPECT_EQ(complaints_of(Scratch().read(text)),
              "1:1: unknown key \"nmae\", did you mean \"name\"?\n"
              "2:23: kubernetes.version: \"1.34\" is not a version of three numbers such as 1.34.1\n"
              "3:44: network.gateway: 192.168.4.1 is outside network.subnet 192.168.3.0/24, choose one between its "
              "ends\n"
              "4:29: api.port: \"70000\" is not a port from 1 to 65535\n"
              "6:20: nodes.master-1.role: \"control-plain\" is not control-plane, worker, load-balancer, etcd or "
              "gateway, did you mean \"control-plane\"?\n"
              "7:37: nodes.worker-1.address: 192.168.3.10 is already the address of master-1, give each node its own\n"
              "7:57: nodes.worker-1.arch: \"arm46\" is not arm64 or amd64, did you mean \"arm64\"?\n");
}

TEST(Refusals, AFileJustOverTheLimitIsRefusedAndOneAtTheLimitIsRead) {
    const std::string text = text_of(source / "profiles/single.yaml") + "#";
    const std::string full = text + std::string(65536 - text.size() - 1, '.') + "\n";
    EXPECT_TRUE(Scratch().read(full).profile);
    EXPECT_EQ(complaints_of(Scratch().read(full + "\n")),
              "1:1: larger than 64 KiB, which no profile needs; is this the right file?\n");
}

TEST(Refusals, ADeepNestIsRefusedHoweverItIsWritten) {
    const Scratch scratch;
    for (const std::string opening : {"[", "{a: ", "- ", "? ", "[{a: "}) {
        std::string text;
        while (text.size() + opening.size() <= 60000) text += opening;
        const std::string complaints = complaints_of(scratch.read(text));
        EXPECT_THAT(complaints,
                    testing::AnyOf(testing::HasSubstr("nested deeper than 16"), testing::HasSubstr("not valid YAML")))
            << opening;
    }
    EXPECT_THAT(complaints_of(scratch.read(std::string(100000, '['))), testing::HasSubstr("larger than 64 KiB"));
    EXPECT_THAT(complaints_of(scratch.read(std::string(1 << 20, 'a'))), testing::HasSubstr("larger than 64 KiB"));
}

TEST(Refusals, SixteenLevelsAreNotTooDeep) {
    const std::string base = text_of(source / "profiles/single.yaml");
    const auto complaints_at = [&](std::size_t levels) {
        return complaints_of(Scratch().read(base + "\nextra: " + std::string(levels, '[') + std::string(levels, ']')));
    };
    EXPECT_THAT(complaints_at(15), testing::Not(testing::HasSubstr("nested deeper")));
    EXPECT_THAT(complaints_at(16), testing::HasSubstr("nested deeper"));
}

TEST(Refusals, AliasesThatMultiplyAreRefusedOneByOne) {
    std::string text = "a0: &a0 [lol, lol]\n";
    for (int level = 1; level < 10; ++level) {
        const std::string here = std::to_string(level);
        const std::string below = std::to_string(level - 1);
        text.append("a").append(here).append(": &a").append(here);
        text.append(" [*a").append(below).append(", *a").append(below).append("]\n");
    }
    const std::string complaints = complaints_of(Scratch().read(text));
    EXPECT_THAT(complaints, testing::HasSubstr("1:5: anchors are not read in profiles"));
    EXPECT_THAT(complaints, testing::HasSubstr("10:10: aliases are not read in profiles"));
}

TEST(Refusals, ComplaintsShowNoControlCharacters) {
    const std::string text = "\"\\e[31mname\\u202e\": \"\\a\"\n";
    const std::string complaints = complaints_of(Scratch().read(text));
    EXPECT_THAT(complaints, testing::HasSubstr(R"(unknown key "\x1b[31mname\xe2\x80\xae")"));
    EXPECT_THAT(complaints_of(Scratch().read("nodes: {\"a\\e[31m\": worker}\n")),
                testing::HasSubstr(R"(nodes.a\x1b[31m: expected its keys)"));
}

TEST(Refusals, ComplaintsAboutLongNamesStayReadable) {
    const ProfileReading reading = Scratch().read("nodes: {" + std::string(900, 'a') + ": worker}\n");
    EXPECT_GE(reading.complaints.size(), 2U);
    for (const Complaint& complaint : reading.complaints) EXPECT_LT(complaint.text.size(), 510U) << complaint.text;
}

/// One random change of a profile: bytes flipped, removed, repeated, or words of YAML put in.
std::string mutated(std::string text, std::mt19937& random) {
    static const std::vector<std::string> words = {
        "&x ",  "*x", "[",  "]",     "{",    "}",  ": ",  "? ",
        "- ",   "!!", "|",  ">",     "\"",   "'",  "%",   "---\n",
        "<<: ", "\t", "\n", "\\x00", "\x80", "~",  "...", "#",
        ", ",   "@",  "`",  "!<",    "%TAG", "\r", "0x",  std::string(1, '\0')};
    const auto below = [&](std::size_t limit) {
        return static_cast<std::size_t>(random()) % std::max<std::size_t>(limit, 1);
    };
    const std::size_t changes = 1 + below(4);
    for (std::size_t change = 0; change < changes && !text.empty(); ++change) {
        const std::size_t at = below(text.size());
        const std::size_t length = below(40);
        switch (below(4)) {
            case 0:
                text[at] = static_cast<char>(random() & 255U);
                break;
            case 1:
                text.erase(at, length);
                break;
            case 2:
                text.insert(below(text.size()), text.substr(at, length));
                break;
            default:
                text.insert(at, words[below(words.size())]);
                break;
        }
    }
    return text;
}

TEST(Refusals, AMutilatedProfileIsReadOrRefusedAndNothingElse) {
    const std::string base = text_of(source / "profiles/makina.yaml");
    std::string rich = text_of(source / "tests/unit/every_key.yaml");
    const std::string manifests = "manifests: [every_key.yaml]\n";  // a file that is not beside the scratch file
    rich.erase(rich.find(manifests), manifests.size());
    const std::string credentials = "credentials: ";
    rich.insert(rich.find(credentials) + credentials.size(), (source / "tests/unit/").string());
    const Scratch scratch;
    std::mt19937 random(20);  // the same sequence in every run
    int refused = 0;
    for (int round = 0; round < 4000; ++round) {
        const std::string text = mutated(round % 2 == 0 ? base : rich, random);
        const ProfileReading reading = scratch.read(text);
        ASSERT_EQ(reading.profile.has_value(), reading.complaints.empty()) << text;
        ASSERT_TRUE(std::ranges::is_sorted(reading.complaints)) << text;
        const auto lines = std::ranges::count(text, '\n') + 1;
        for (const Complaint& complaint : reading.complaints) {
            ASSERT_TRUE(complaint.line >= 1 && complaint.line <= lines && complaint.column >= 1) << text;
            const auto control = [](char letter) { return static_cast<unsigned char>(letter) < 0x20; };
            ASSERT_TRUE(std::ranges::none_of(complaint.text, control)) << complaint.text;
        }
        if (!reading.profile) ++refused;
    }
    EXPECT_GT(refused, 2000);
    EXPECT_LT(refused, 4000);
}

}  // namespace
}  // namespace makina
