#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "builder/process.hpp"
#include "tests/flash/card_model.hpp"
#include "tests/flash/suite.hpp"
#include "tests/unit/scratch.hpp"
#include "tests/unit/small_image.hpp"

namespace makina::flashing {
namespace {

using Beyond = CardModel::Beyond;
constexpr std::uint64_t mib = 1 << 20;

/// Claimed, real, what it does beyond, its cache; MiB.
struct Fake {
    std::uint64_t claimed, real;
    Beyond beyond;
    std::uint64_t cache;
};

std::string flashed_to(const std::filesystem::path& image, const Fake& fake) {
    const auto card = std::make_shared<CardModel>(
        CardModel::Character{fake.claimed * mib, fake.real * mib, fake.beyond, fake.cache * mib, false});
    std::string fault = fault_of(image_source(std::make_shared<PatchedImage>(image)), card, FlashOptions());
    EXPECT_EQ(card->is_bootable(), fault.empty()) << fault;
    return fault;
}

TEST(Capacity, ThatACardOnlyClaimsIsFound) {
    const Scratch scratch;
    small_image::make(scratch / "small.img", "master-1");
    const std::vector<Fake> fakes = {
        {1024, 64, Beyond::wraps, 0},   {1024, 128, Beyond::wraps, 0},  {4096, 96, Beyond::wraps, 0},
        {32768, 128, Beyond::wraps, 0}, {2048, 100, Beyond::wraps, 0},  {1024, 64, Beyond::wraps, 4},
        {1024, 128, Beyond::wraps, 64}, {1024, 64, Beyond::drops, 0},   {4096, 128, Beyond::drops, 0},
        {512, 256, Beyond::drops, 0},   {131072, 64, Beyond::drops, 0}, {1024, 16, Beyond::drops, 0},
        {1024, 64, Beyond::drops, 4},   {4096, 64, Beyond::drops, 16},  {1024, 128, Beyond::drops, 64},
        {1024, 64, Beyond::sticks, 0},  {4096, 128, Beyond::sticks, 0}, {512, 300, Beyond::sticks, 0},
        {1024, 64, Beyond::sticks, 8},  {1024, 128, Beyond::sticks, 64}};
    for (const Fake& fake : fakes) {
        const std::string fault = flashed_to(scratch / "small.img", fake);
        count("fake_capacity_models", 1);
        count("fake_capacity_found", fault.empty() ? 0 : 1);
        EXPECT_NE(fault, "") << fake.claimed << " MiB claimed, " << fake.real << " there, cache " << fake.cache;
        EXPECT_FALSE(sounds_good(fault)) << fault;
    }
}

/// A packed image of 200 MiB, whose file systems are its first 24 and which ends nowhere near another mark.
std::filesystem::path packed_with_zeros(const Scratch& scratch) {
    small_image::make(scratch / "small.img", "master-1");
    std::filesystem::resize_file(scratch / "small.img", 200 * mib);
    const std::vector<std::string> pack = {"zstd", "-c", "-q", "-1", (scratch / "small.img").string()};
    return scratch.write("small.img.zst", run_checked({pack}));
}

TEST(Capacity, ThatACardOnlyClaimsIsFoundWithAPackedImageThatIsMostlyZeros) {
    const Scratch scratch;
    const std::filesystem::path image = packed_with_zeros(scratch);
    for (const Fake& fake : std::vector<Fake>{{1024, 256, Beyond::drops, 64},
                                              {1024, 256, Beyond::wraps, 64},
                                              {1024, 256, Beyond::sticks, 64},
                                              {4096, 220, Beyond::drops, 32},
                                              {1024, 128, Beyond::drops, 64},
                                              {1024, 256, Beyond::drops, 0}}) {
        const auto card = std::make_shared<CardModel>(
            CardModel::Character{fake.claimed * mib, fake.real * mib, fake.beyond, fake.cache * mib, false});
        // A new one: what must be zero is zero, and is not written.
        card->change('\0');
        const std::string fault = fault_of(stream_source(image, std::nullopt), card, FlashOptions());
        count("fake_capacity_models", 1);
        count("fake_capacity_found", fault.empty() ? 0 : 1);
        EXPECT_NE(fault, "") << fake.claimed << " MiB claimed, " << fake.real << " there, cache " << fake.cache;
        EXPECT_FALSE(card->is_bootable()) << fault;
    }
}

TEST(Capacity, IsLookedAtWhereAPackedImageEnds) {
    const Scratch scratch;
    const std::filesystem::path image = packed_with_zeros(scratch);
    const auto card =
        std::make_shared<CardModel>(CardModel::Character{1024 * mib, 1024 * mib, Beyond::honest, 0, false});
    EXPECT_EQ(fault_of(stream_source(image, std::nullopt), card, FlashOptions()), "");
    card->lost = {200 * mib, 3, 1};
    const std::string fault = fault_of(stream_source(image, std::nullopt), card, FlashOptions());
    EXPECT_NE(fault.find("what was written at byte 209715200 of the model did not stay"), std::string::npos) << fault;
}

TEST(Capacity, IsLookedAtOnASlowCardWithoutCallingItOneThatHangs) {
    const Scratch scratch;
    small_image::make(scratch / "small.img", "master-1");
    const auto card = std::make_shared<CardModel>(CardModel::Character{256 * mib, 256 * mib, Beyond::honest, 0, false});
    card->fault = [](Call call, std::size_t) {
        if (call == Call::write || call == Call::read) std::this_thread::sleep_for(std::chrono::milliseconds(5));
        return -1;
    };
    FlashOptions options;
    options.stall_seconds = 0.3;
    EXPECT_EQ(fault_of(image_source(std::make_shared<PatchedImage>(scratch / "small.img")), card, options), "");
}

TEST(Capacity, ThatIsThereIsBelieved) {
    const Scratch scratch;
    small_image::make(scratch / "small.img", "master-1");
    for (const Fake& honest : std::vector<Fake>{{24, 24, Beyond::honest, 0},
                                                {25, 25, Beyond::honest, 0},
                                                {64, 64, Beyond::honest, 4},
                                                {200, 200, Beyond::honest, 64},
                                                {511, 511, Beyond::honest, 16}}) {
        EXPECT_EQ(flashed_to(scratch / "small.img", honest), "") << honest.claimed;
    }
}

}  // namespace
}  // namespace makina::flashing
