#include <gtest/gtest.h>

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
