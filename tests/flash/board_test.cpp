#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "builder/commands/cluster.hpp"
#include "builder/commands/flash_board.hpp"
#include "builder/commands/flash_target.hpp"
#include "tests/flash/machine_model.hpp"
#include "tests/flash/person.hpp"

// What is seen of cards that are written.
namespace makina::flashing {
namespace {

using Json = nlohmann::ordered_json;
constexpr std::uint64_t mib = 1 << 20;
constexpr std::uint64_t gib = 1 << 30;

void sleep(int milliseconds) {
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}

std::vector<Json> objects(const std::string& output) {
    std::vector<Json> found;
    std::istringstream lines(output);
    for (std::string line; std::getline(lines, line);) found.push_back(Json::parse(line));
    return found;
}

std::size_t times(const std::string& words, const std::string& text) {
    std::size_t found = 0;
    for (std::size_t at = 0; (at = text.find(words, at)) != std::string::npos; at += words.size()) ++found;
    return found;
}

/// What a terminal shows after all of this, a string a line, and how often a line ran over its edge.
struct Screen {
    Screen(const std::string& said, std::size_t columns) {
        std::size_t row = 0;
        std::size_t column = 0;
        for (std::size_t i = 0; i < said.size(); ++i) {
            if (said[i] == '\r') {
                column = 0;
            } else if (said[i] == '\n') {
                ++row;
            } else if (said[i] == '\x1b') {
                const std::size_t end = said.find_first_of("AJK", i);
                if (said[end] == 'A') row -= std::stoul(said.substr(i + 2));
                if (said[end] != 'A' && row < lines.size()) lines[row].resize(std::min(column, lines[row].size()));
                if (said[end] == 'J' && row < lines.size()) lines.resize(row + 1);
                i = end;
            } else {
                if (column == columns) ++overruns, ++row, column = 0;
                if (row >= lines.size()) lines.resize(row + 1);
                if (column >= lines[row].size()) lines[row].resize(column + 1, ' ');
                lines[row][column++] = said[i];
            }
        }
    }
    std::vector<std::string> lines;
    std::size_t overruns = 0;
};

TEST(Board, GivesProgramsRatesThatAreTrueTwiceASecond) {
    FlashBoard board({{"small.img", "card"}}, true, false);
    testing::internal::CaptureStdout();
    for (std::uint64_t i = 0; i < 20; ++i) board.progress(0, {FlashPhase::writing, gib + i * mib, 4 * gib});
    sleep(550);
    board.progress(0, {FlashPhase::writing, gib + 60 * mib, 4 * gib});
    board.progress(0, {FlashPhase::verifying, gib, 4 * gib});
    const std::vector<Json> events = objects(testing::internal::GetCapturedStdout());
    ASSERT_EQ(events.size(), 3U);
    // At the first moment of a phase nobody knows how fast it is.
    EXPECT_FALSE(events[0].contains("rate"));
    EXPECT_EQ(events[0]["bytes"], gib);
    EXPECT_LE(events[1]["rate"], 110 * mib);
    EXPECT_GT(events[1]["rate"], 10 * mib);
    EXPECT_GT(events[1]["left_s"], 20.0);
    EXPECT_EQ(events[2]["phase"], "verify");
    EXPECT_FALSE(events[2].contains("rate"));
}

TEST(Board, ShowsAPersonNoRateBeforeItIsKnown) {
    const auto [said, code] = on_a_terminal(
        [] {
            FlashBoard board({{"small.img", "card"}}, false, false);
            board.progress(0, {FlashPhase::verifying, gib, 4 * gib});
            sleep(500);
            board.progress(0, {FlashPhase::verifying, gib + 50 * mib, 4 * gib});
            return 0;
        },
        {});
    EXPECT_NE(said.find("verifying 25 %\x1b"), std::string::npos) << said;
    EXPECT_EQ(times("/s", said), 1U) << said;
    EXPECT_EQ(times("GiB/s", said), 0U) << said;
}

TEST(Board, DrawsOverItsLinesHoweverNarrowTheTerminalIs) {
    for (const auto columns : std::vector<unsigned short>{80, 50, 20}) {
        const auto [said, code] = on_a_terminal(
            [] {
                const std::string name = "2026-05-13-raspios-trixie-arm64-lite-with-a-name-that-never-ends.img.xz";
                FlashBoard board({{name, "/dev/sdb"}, {name, "/dev/sdc"}}, false, false);
                for (std::uint64_t i = 0; i < 4; ++i) {
                    board.progress(i % 2, {FlashPhase::writing, gib + i * 10 * mib, 4 * gib});
                    sleep(60);
                }
                return 0;
            },
            {}, columns);
        const Screen screen(said, columns);
        EXPECT_EQ(screen.overruns, 0U) << said;
        ASSERT_EQ(screen.lines.size(), 2U) << said;
        if (columns < 50) continue;
        EXPECT_NE(screen.lines[1].find("... to /dev/sdc: writing   25 %  "), std::string::npos) << screen.lines[1];
    }
}

TEST(Board, KeepsWhatFailedAboveARowForEachCard) {
    const auto [said, code] = on_a_terminal(
        [] {
            FlashBoard board({{"master-1", "/dev/sdb"}, {"master-2", "/dev/sdc"}}, false, false);
            for (std::size_t row = 0; row < 2; ++row) board.progress(row, {FlashPhase::writing, mib, gib});
            board.failed(0, "the card is bad");
            board.failed(1, "it was taken out");
            return 0;
        },
        {});
    const std::vector<std::string> expected = {"master-1 to /dev/sdb: the card is bad",
                                               "master-2 to /dev/sdc: it was taken out", "master-1 to /dev/sdb: failed",
                                               "master-2 to /dev/sdc: failed"};
    EXPECT_EQ(Screen(said, 80).lines, expected) << said;
}

TEST(Progress, OfABuildIsOneLineHoweverNarrowTheTerminalIs) {
    for (const auto columns : std::vector<unsigned short>{80, 50, 20}) {
        const auto [said, code] = on_a_terminal(
            [] {
                Reporter reporter(false);
                for (std::uint64_t i = 0; i < 3; ++i) {
                    reporter.progress("a-node-with-quite-a-long-name-of-its-own", gib + i * 10 * mib, 4 * gib);
                    sleep(110);
                }
                return 0;
            },
            {}, columns);
        const Screen screen(said, columns);
        EXPECT_EQ(screen.overruns, 0U) << said;
        EXPECT_EQ(screen.lines.size(), 1U) << said;
        EXPECT_EQ(times("GiB/s", said), 0U) << said;
    }
}

TEST(Progress, IsShortenedByCharactersAndNotByBytes) {
    EXPECT_EQ(shortened("short", 5), "short");
    EXPECT_EQ(shortened("longer", 5), "lo...");
    EXPECT_EQ(shortened("longer", 2), "..");
    EXPECT_EQ(shortened("\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f", 4), "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f");
    EXPECT_EQ(shortened("\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f!", 4), "\xc3\xa4...");
}

TEST(List, GivesProgramsAnObjectForEachDevice) {
    MachineModel machine;
    machine.add(disk_inside());
    DiskModel card;
    card.usb = "pci0000:00/0000:00:14.0/usb1/1-2";
    card.bus = card.usb + "/1-2:1.0/host6/target6:0:0/6:0:0:0";
    card.removable = true;
    card.type = "0";
    machine.add(card);
    machine.finish();
    TargetOptions options;
    options.machine = machine.root();
    const std::vector<Json> devices = objects(json_of_targets(options));
    ASSERT_EQ(devices.size(), 2U);
    EXPECT_EQ(devices[0]["path"], "/dev/sda");
    EXPECT_EQ(devices[0]["possible"], false);
    EXPECT_NE(devices[0]["reason"].get<std::string>().find("disks of this machine"), std::string::npos);
    EXPECT_EQ(devices[1]["path"], "/dev/sdb");
    EXPECT_EQ(devices[1]["possible"], true);
    EXPECT_EQ(devices[1]["size"], card.size);
    EXPECT_EQ(devices[1]["serial"], card.serial);
    EXPECT_EQ(devices[1]["parts"].size(), 2U);
}

}  // namespace
}  // namespace makina::flashing
