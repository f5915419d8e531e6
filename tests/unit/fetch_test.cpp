#include "builder/base/fetch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "builder/process.hpp"
#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/error.hpp"
#include "tests/unit/http_server.hpp"
#include "tests/unit/scratch.hpp"

namespace makina {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Fetch : public testing::Test {
  protected:
    void SetUp() override {
        if (!have_program("curl")) GTEST_SKIP() << "curl is not installed";
        for (int i = 0; body.size() < 300000; ++i) body += std::to_string(i) + ",";
    }
    [[nodiscard]] Download from(const HttpServer& server, const std::string& path) const {
        Download download;
        download.url = server.url(path);
        download.sha256 = sha256(body);
        download.file = file;
        download.pause = std::chrono::milliseconds(0);
        return download;
    }
    static std::string refusal(const Download& download) {
        try {
            fetch(download);
        } catch (const Untrusted& error) {
            return std::string("untrusted: ") + error.what();
        } catch (const Error& error) {
            return error.what();
        }
        return "accepted";
    }

    Scratch scratch;
    std::filesystem::path file = scratch / "image";
    std::filesystem::path part = scratch / "image.part";
    std::string body;
};

TEST_F(Fetch, GivesTheFileAndLeavesNoPart) {
    const HttpServer server({{"/a", {body}}});
    fetch(from(server, "/a"));
    EXPECT_EQ(slurp(file), body);
    EXPECT_FALSE(std::filesystem::exists(part));
    EXPECT_THAT(server.asked(), ElementsAre("/a"));
}

TEST_F(Fetch, GoesOnByItselfWhereTheConnectionWasLost) {
    const HttpServer server({{"/a", {body, true, 2, 50000}}});
    fetch(from(server, "/a"));
    EXPECT_EQ(slurp(file), body);
    EXPECT_THAT(server.asked(), ElementsAre("/a", "/a bytes=50000-", "/a bytes=100000-"));
}

TEST_F(Fetch, SaysThatTheNetworkIsGoneAndTheNextRunResumes) {
    const HttpServer server({{"/a", {body, true, 4, 10000}}});
    EXPECT_THAT(
        refusal(from(server, "/a")),
        testing::AllOf(HasSubstr("fetching " + server.url("/a") + ": curl: (18)"),
                       HasSubstr("40000 bytes are here, run the same command again and it goes on from there")));
    EXPECT_FALSE(std::filesystem::exists(file));
    EXPECT_EQ(slurp(part), body.substr(0, 40000));
    fetch(from(server, "/a"));
    EXPECT_EQ(slurp(file), body);
    EXPECT_EQ(server.asked().back(), "/a bytes=40000-");
}

TEST_F(Fetch, StartsAgainWhereTheServerCannotResume) {
    const HttpServer server({{"/a", {body, false, 1, 50000}}});
    fetch(from(server, "/a"));
    EXPECT_EQ(slurp(file), body);
    EXPECT_THAT(server.asked(), ElementsAre("/a", "/a bytes=50000-", "/a"));
}

TEST_F(Fetch, FollowsARedirectButNotToAFile) {
    const HttpServer server({{"/a", {"", true, 0, 0, "302 Found", "/b"}},
                             {"/b", {body}},
                             {"/c", {"", true, 0, 0, "302 Found", "file:///etc/hostname"}}});
    fetch(from(server, "/a"));
    EXPECT_EQ(slurp(file), body);
    EXPECT_THAT(server.asked(), ElementsAre("/a", "/b"));
    EXPECT_THAT(refusal(from(server, "/c")), HasSubstr("curl: (1) Protocol \"file\" not supported"));
}

TEST_F(Fetch, SaysWhatTheServerSaidAndAsksOnlyOnceForWhatIsNotThere) {
    const HttpServer server({});
    EXPECT_EQ(refusal(from(server, "/none")),
              "fetching " + server.url("/none") + ": curl: (22) The requested URL returned error: 404");
    EXPECT_THAT(server.asked(), ElementsAre("/none"));
}

TEST_F(Fetch, TriesAgainWhenTheServerIsBusy) {
    const HttpServer server({{"/a", {"", true, 0, 0, "503 Service Unavailable"}}});
    EXPECT_THAT(refusal(from(server, "/a")), HasSubstr("returned error: 503"));
    EXPECT_EQ(server.asked().size(), 4U);
}

TEST_F(Fetch, RefusesAWrongHashWithBothAndForgetsThePart) {
    const HttpServer server({{"/a", Page{"something else"}}});
    EXPECT_EQ(refusal(from(server, "/a")), "untrusted: fetching " + server.url("/a") + ": sha256 is " +
                                               sha256("something else") + " but must be " + sha256(body) +
                                               ": the file is not the one that was meant");
    EXPECT_FALSE(std::filesystem::exists(part));
    EXPECT_FALSE(std::filesystem::exists(file));
}

TEST_F(Fetch, StartsAgainOnceIfThePartBelongsToAnotherFile) {
    const HttpServer server({{"/a", {body}}});
    (void)scratch.write("image.part", std::string(5000, '?'));
    fetch(from(server, "/a"));
    EXPECT_EQ(slurp(file), body);
    EXPECT_THAT(server.asked(), ElementsAre("/a bytes=5000-", "/a"));
}

TEST_F(Fetch, TakesAPartThatIsCompleteAlready) {
    const HttpServer server({{"/a", {body}}});
    (void)scratch.write("image.part", body);
    fetch(from(server, "/a"));
    EXPECT_EQ(slurp(file), body);
}

TEST_F(Fetch, AsksForAHash) {
    Download download;
    download.url = "https://example.org/a.img.xz";
    EXPECT_EQ(refusal(download), "https://example.org/a.img.xz: give the sha256 of what is fetched");
}

TEST_F(Fetch, TellsHowFarItIs) {
    const HttpServer server({{"/a", {body}}});
    Download download = from(server, "/a");
    std::vector<std::string> lines;
    download.say = [&](const std::string& line) { lines.push_back(line); };
    fetch(download);
    EXPECT_THAT(lines, testing::Contains("fetching " + server.url("/a") + ": 100 %"));
}

}  // namespace
}  // namespace makina
