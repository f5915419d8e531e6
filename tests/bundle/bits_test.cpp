#include <gtest/gtest.h>
#include <sys/mman.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/sealed.hpp"
#include "tests/bundle/bundles.hpp"
#include "tests/bundle/figures.hpp"

namespace makina {
namespace {

/// What became of many changed bundles.
struct Count {
    std::atomic<std::size_t> tried = 0;
    std::atomic<std::size_t> accepted = 0;
    std::atomic<std::size_t> faults = 0;  ///< refused by another exception than Untrusted
    std::atomic<std::size_t> first = std::numeric_limits<std::size_t>::max();  ///< which was not refused rightly
};

void try_one(const std::string& sealed, const Trust& trust, std::size_t which, Count& count) {
    ++count.tried;
    try {
        static_cast<void>(open_sealed(sealed, trust));
        ++count.accepted;
        count.first = which;
    } catch (const Untrusted&) {
        return;
    } catch (const std::exception&) {
        ++count.faults;
        count.first = which;
    }
}

/// Calls `work` for every number below `end`, on two threads.
template <typename Work>
void on_two_threads(std::size_t end, Work work) {
    std::vector<std::thread> threads;
    for (std::size_t first = 0; first < 2; ++first) {
        threads.emplace_back([=] {
            for (std::size_t i = first; i < end; i += 2) work(i);
        });
    }
    for (std::thread& thread : threads) thread.join();
}

void expect_none(const Count& count, std::size_t tried) {
    EXPECT_EQ(count.tried, tried);
    EXPECT_EQ(count.accepted, 0U) << "number " << count.first;
    EXPECT_EQ(count.faults, 0U) << "number " << count.first;
}

TEST(Row1, RefusesEveryFlipOfOneBit) {
    const forge::World world;
    const std::string sealed = world.sealed(forge::bundle_of_size(long_form() ? 63 << 10 : 8 << 10));
    ASSERT_NO_THROW(static_cast<void>(open_sealed(sealed, world.trust)));
    Count count;
    on_two_threads(sealed.size() * 8, [&](std::size_t bit) {
        std::string changed = sealed;
        changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << bit % 8));
        try_one(changed, world.trust, bit, count);
    });
    expect_none(count, sealed.size() * 8);
    note_figure("bit_flips", static_cast<double>(count.tried));
    note_figure("bit_flips_accepted", static_cast<double>(count.accepted));
}

TEST(Row1, RefusesEveryOtherByteAroundTheContent) {
    // All 255 other values of each byte that is not content: what a flip of one bit may not reach.
    const forge::World world;
    const std::string sealed = world.sealed();
    const std::size_t content = sealed.find(Bundle::context);
    ASSERT_NE(content, std::string::npos);
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < sealed.size(); ++i) {
        if (i < content || i >= content + world.content.size()) places.push_back(i);
    }
    const std::size_t step = long_form() ? 1 : 8;  // values of a byte that are left out in the short form
    Count count;
    on_two_threads(places.size(), [&](std::size_t i) {
        for (std::size_t by = 1 + i % step; by < 256; by += step) {
            std::string changed = sealed;
            changed[places[i]] = static_cast<char>(changed[places[i]] ^ by);
            try_one(changed, world.trust, places[i], count);
        }
    });
    EXPECT_GE(count.tried, places.size() * (255 / step));
    EXPECT_EQ(count.accepted, 0U) << "byte " << count.first;
    EXPECT_EQ(count.faults, 0U) << "byte " << count.first;
}

TEST(Row2, RefusesEveryOtherLength) {
    const forge::World world;
    const std::string sealed = world.sealed();
    constexpr std::size_t more = 4096;
    Count count;
    on_two_threads(sealed.size(), [&](std::size_t size) { try_one(sealed.substr(0, size), world.trust, size, count); });
    on_two_threads(more, [&](std::size_t tail) {
        try_one(sealed + std::string(tail + 1, '\0'), world.trust, sealed.size() + tail, count);
        try_one(sealed + std::string(tail + 1, '\xff'), world.trust, sealed.size() + tail, count);
        try_one(std::string(tail + 1, '\0') + sealed, world.trust, sealed.size() + tail, count);
    });
    try_one(sealed + sealed, world.trust, 2 * sealed.size(), count);
    expect_none(count, sealed.size() + 3 * more + 1);
    note_figure("lengths", static_cast<double>(count.tried));
}

TEST(Row2, RefusesABundleThatIsCutAndFilledWithZeros) {
    const forge::World world;
    const std::string sealed = world.sealed();
    Count count;
    on_two_threads(sealed.size() - 1, [&](std::size_t size) {
        std::string changed = sealed;
        changed.replace(size, std::string::npos, sealed.size() - size, '\0');
        try_one(changed, world.trust, size, count);
    });
    expect_none(count, sealed.size() - 1);
}

TEST(Row3, RefusesHugeSizesBeforeReading) {
    const forge::World world;
    // Nothing may be read here: a look at one byte would end this program.
    void* const nothing = mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(nothing, MAP_FAILED);
    for (const std::uint64_t size :
         {std::uint64_t{Bundle::largest} + 1, (std::uint64_t{1} << 31) - 1, std::uint64_t{1} << 31,
          (std::uint64_t{1} << 31) + 1, (std::uint64_t{1} << 32) - 1, std::uint64_t{1} << 32,
          (std::uint64_t{1} << 32) + 1, (std::uint64_t{1} << 63) - 1}) {
        const std::string_view sealed(static_cast<const char*>(nothing), size);
        try {
            static_cast<void>(open_sealed(sealed, world.trust));
            ADD_FAILURE() << size;
        } catch (const Untrusted& error) {
            EXPECT_STREQ(error.what(), "the bundle is larger than 1048576 bytes");
        }
    }
    munmap(nothing, 4096);
}

TEST(Row3, AcceptsNoLengthFieldThatOverflows) {
    const forge::World world;
    const std::string sealed = world.sealed();
    for (const std::string length : {"\x80", "\x81\xff", "\x82\xff\xff", "\x83\xff\xff\xff", "\x84\xff\xff\xff\xff",
                                     "\x84\x80", "\x88\x7f\xff\xff\xff\xff\xff\xff\xff", "\xff"}) {
        ASSERT_EQ(sealed.substr(0, 2), "\x30\x82");
        EXPECT_THROW(static_cast<void>(open_sealed("\x30" + length + sealed.substr(4), world.trust)), Untrusted);
    }
}

TEST(Seal, IsVerifiedQuickly) {
    // The benchmark is elsewhere; this is a figure, and no time is expected of a machine that does other things.
    const forge::World world;
    const std::string sealed = world.sealed(forge::bundle_of_size(63 << 10));
    std::int64_t best = std::numeric_limits<std::int64_t>::max();
    for (int i = 0; i < 50; ++i) {
        const auto begin = std::chrono::steady_clock::now();
        ASSERT_EQ(open_sealed(sealed, world.trust).bundle.node, "worker-1");
        const auto spent = std::chrono::steady_clock::now() - begin;
        best = std::min<std::int64_t>(best, std::chrono::duration_cast<std::chrono::microseconds>(spent).count());
    }
    note_figure("verify_us", static_cast<double>(best));
}

}  // namespace
}  // namespace makina
