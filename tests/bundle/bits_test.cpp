#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <future>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "firstboot/bundle/confined.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/sealed.hpp"
#include "tests/bundle/bundles.hpp"
#include "tests/unit/figures.hpp"

namespace makina {
namespace {

/// What became of many changed bundles.
struct Count {
    std::size_t tried = 0;
    std::size_t accepted = 0;
    std::size_t faults = 0;                                       ///< refused by another exception than Untrusted
    std::size_t first = std::numeric_limits<std::size_t>::max();  ///< which was not refused rightly
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

std::string to_text(const Count& count) {
    std::ostringstream text;
    text << count.tried << ' ' << count.accepted << ' ' << count.faults << ' ' << count.first;
    return text.str();
}

void add(Count& sum, const std::string& text) {
    std::istringstream words(text);
    Count more;
    words >> more.tried >> more.accepted >> more.faults >> more.first;
    sum.tried += more.tried;
    sum.accepted += more.accepted;
    sum.faults += more.faults;
    sum.first = std::min(sum.first, more.first);
}

/// Calls `work` for every number below `end`, in two processes. The kernel ends them if they do anything but compute:
/// whatever is tried, nothing is written, opened or removed.
template <typename Work>
Count in_two_processes(std::size_t end, Work work) {
    constexpr Patience hours{7200, 7200};
    std::array<std::future<std::string>, 2> halves;
    for (std::size_t first = 0; first < halves.size(); ++first) {
        halves.at(first) = std::async(std::launch::async, [=] {
            return confined(
                "trying changed bundles",
                [=] {
                    Count count;
                    for (std::size_t i = first; i < end; i += 2) work(i, count);
                    return to_text(count);
                },
                hours);
        });
    }
    Count sum;
    for (std::future<std::string>& half : halves) add(sum, half.get());
    return sum;
}

void expect_none(const Count& count, std::size_t tried) {
    EXPECT_EQ(count.tried, tried);
    EXPECT_EQ(count.accepted, 0U) << "number " << count.first;
    EXPECT_EQ(count.faults, 0U) << "number " << count.first;
}

TEST(Row1, RefusesEveryFlipOfOneBit) {
    const forge::World world;
    const std::string sealed = world.sealed(forge::bundle_of_size(figures::long_form() ? 63 << 10 : 8 << 10));
    ASSERT_NO_THROW(static_cast<void>(open_sealed(sealed, world.trust)));
    const Count count = in_two_processes(sealed.size() * 8, [&](std::size_t bit, Count& counted) {
        std::string changed = sealed;
        changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << bit % 8));
        try_one(changed, world.trust, bit, counted);
    });
    expect_none(count, sealed.size() * 8);
    figures::count("bit_flips", count.tried);
    figures::count("bit_flips_accepted", count.accepted);
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
    const std::size_t step = figures::long_form() ? 1 : 8;  // values of a byte that are left out in the short form
    const Count count = in_two_processes(places.size(), [&](std::size_t i, Count& counted) {
        for (std::size_t by = 1 + i % step; by < 256; by += step) {
            std::string changed = sealed;
            changed[places[i]] = static_cast<char>(changed[places[i]] ^ by);
            try_one(changed, world.trust, places[i], counted);
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
    Count count = in_two_processes(sealed.size() + more, [&](std::size_t size, Count& counted) {
        if (size < sealed.size()) return try_one(sealed.substr(0, size), world.trust, size, counted);
        const std::size_t tail = size - sealed.size() + 1;
        try_one(sealed + std::string(tail, '\0'), world.trust, size, counted);
        try_one(sealed + std::string(tail, '\xff'), world.trust, size, counted);
        try_one(std::string(tail, '\0') + sealed, world.trust, size, counted);
    });
    try_one(sealed + sealed, world.trust, 2 * sealed.size(), count);
    expect_none(count, sealed.size() + 3 * more + 1);
    figures::count("lengths", count.tried);
}

TEST(Row2, RefusesABundleThatIsCutAndFilledWithZeros) {
    const forge::World world;
    const std::string sealed = world.sealed();
    const Count count = in_two_processes(sealed.size() - 1, [&](std::size_t size, Count& counted) {
        std::string changed = sealed;
        changed.replace(size, std::string::npos, sealed.size() - size, '\0');
        try_one(changed, world.trust, size, counted);
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
    figures::put("verify_us", static_cast<double>(best));
}

}  // namespace
}  // namespace makina
