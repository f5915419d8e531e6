#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "builder/card/card.hpp"
#include "builder/commands/rehearse.hpp"
#include "builder/rehearse/boot_files.hpp"
#include "builder/rehearse/rehearse.hpp"
#include "tests/boot/suite.hpp"
#include "tests/crash/cuts.hpp"
#include "tests/unit/figures.hpp"
#include "tests/unit/scratch.hpp"

namespace makina::boot {
namespace {

namespace fs = std::filesystem;
using crash::Cut;
using crash::Write;
using crash::WriteLog;

constexpr std::uint64_t gibibyte = 1ULL << 30;

Verdict boot(const fs::path& image, const fs::path& card, const fs::path& log = {}) {
    RehearseRequest request;
    request.image = image;
    request.card = card;
    request.write_log = log;
    request.timeout = 1800;
    request.clock = [] {
        return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
    };
    return rehearse(request);
}

std::size_t writes_of(const WriteLog& log) {
    std::size_t count = 0;
    for (const auto& epoch : log.epochs()) count += epoch.size();
    return count;
}

/// What is on the card if the power goes after so many writes: what was flushed, and of what was not each write or not;
/// one of three times only the first sectors of the last one.
Cut cut_after(const WriteLog& log, std::size_t writes, std::mt19937_64& random) {
    Cut cut;
    while (writes > log.epochs()[cut.epoch].size()) writes -= log.epochs()[cut.epoch++].size();
    const std::vector<Write>& epoch = log.epochs()[cut.epoch];
    for (std::size_t i = 0; i < writes; ++i) {
        if (random() % 2 == 0) cut.pieces.push_back({i, epoch[i].sectors});
    }
    if (!cut.pieces.empty() && random() % 3 == 0) {
        Cut::Piece& last = cut.pieces.back();
        if (last.sectors > 1) last.sectors = 1 + random() % (last.sectors - 1);
    }
    return cut;
}

/// What a board reads before the kernel runs.
std::vector<std::string> firmware(const fs::path& image, const fs::path& card) {
    const Card facts(image);
    const Fat fat(card, facts.boot_partition()->offset);
    std::vector<std::string> contents;
    for (const std::string& name : {std::string("config.txt"), std::string("cmdline.txt")}) {
        contents.push_back(fat.read_file(name));
    }
    const BootFiles files = read_boot_files(facts);
    for (const std::string& path : {files.kernel_path, files.initrd_path}) {
        contents.push_back(fat.read_file(fs::path(path).lexically_relative("/boot/firmware").string()));
    }
    return contents;
}

std::vector<std::string> good_answers(const Verdict& verdict) {
    std::vector<std::string> names;
    for (const Reply& reply : verdict.answers) {
        if (reply.status == 0) names.push_back(reply.question.name);
    }
    return names;
}

/// One first boot is recorded write by write; then cards are made as cuts at moments of it leave them, and booted. The
/// moments are counted in writes: between two of them it is all the same to a card when the power goes.
TEST(PowerCut, AtAnyMomentOfFirstBootTheNextBootEndsAsAnUninterruptedOneDoes) {
    if (const std::string reason = why_not(); !reason.empty()) GTEST_SKIP() << reason;
    const int cuts = figures::long_form() ? 10 : 1;
    const Scratch scratch;
    const fs::path built = image_of(figures::long_form() ? "master-1" : "lb-1", "makina.yaml", scratch.path());
    const fs::path image = scratch / "image.img";
    crash::copy_sparse(built, image);
    fs::resize_file(image, fs::file_size(image) + gibibyte);
    const fs::path card = scratch / "card.img";
    crash::copy_sparse(image, card);

    const Verdict whole = boot(image, card, scratch / "log");
    ASSERT_TRUE(whole.passed()) << to_text(whole);
    fs::remove(card);
    const WriteLog log(scratch / "log");
    const std::size_t writes = writes_of(log);
    ASSERT_GT(writes, 100U) << "a first boot that writes nothing proves nothing";
    figures::count("power_cut_writes", writes);
    figures::count("power_cut_flushes", log.epochs().size() - 1);

    const std::string seed = environment("MAKINA_SEED");
    std::mt19937_64 random(seed.empty() ? 1 : std::stoull(seed));
    crash::CutCards cards(image, log, scratch / "front.img");
    for (int i = 0; i < cuts; ++i) {
        const std::size_t slice = writes / static_cast<std::size_t>(cuts);
        const std::size_t moment = static_cast<std::size_t>(i) * slice + 1 + random() % slice;
        const Cut cut = cut_after(log, moment, random);
        cards.make(cut, card);
        figures::count("power_cuts", 1);
        const std::string where =
            "cut after write " + std::to_string(moment) + " of " + std::to_string(writes) + ", " + describe(log, cut);
        EXPECT_EQ(firmware(image, card), firmware(image, image)) << where;
        const Verdict resumed = boot(image, card);
        EXPECT_TRUE(resumed.passed()) << where << '\n' << to_text(resumed);
        EXPECT_EQ(good_answers(resumed), good_answers(whole)) << where;
        if (resumed.passed() && good_answers(resumed) == good_answers(whole)) figures::count("power_cuts_resumed", 1);
    }
}

}  // namespace
}  // namespace makina::boot
