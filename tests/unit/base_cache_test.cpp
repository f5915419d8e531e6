#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <fstream>

#include "builder/base/base.hpp"
#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/error.hpp"
#include "tests/unit/child.hpp"
#include "tests/unit/vendor_images.hpp"

namespace makina {
namespace {

/// A small vendor image, made once: the cheapest base there is.
class BaseCache : public testing::Test {
  protected:
    static void SetUpTestSuite() {
        folder = std::make_unique<Scratch>();
        chmod(folder->path().c_str(), 0755);
        (void)vendors::write(*folder, "vendor.img", vendors::rpios_trixie());
        (void)vendors::write(*folder, "other.img", vendors::rpios_bookworm());
    }
    static void TearDownTestSuite() { folder.reset(); }

    void SetUp() override {
        chmod(scratch.path().c_str(), 0755);
        request.cache = scratch / "cache";
        request.base.kind = BaseKind::image;
        request.base.source = (*folder / "vendor.img").string();
        request.base.free_bytes = 32 << 20;
        request.say = [this](const std::string& line) { said.push_back(line); };
    }
    [[nodiscard]] std::string refusal() const {
        try {
            (void)prepare_base(request);
        } catch (const Error& error) {
            return error.what();
        }
        return "no error";
    }
    [[nodiscard]] static ino_t inode(const std::filesystem::path& file) {
        struct stat status {};
        return stat(file.c_str(), &status) == 0 ? status.st_ino : 0;
    }
    [[nodiscard]] std::string bases() const { return names_in(scratch / "cache/bases"); }

    static std::unique_ptr<Scratch> folder;
    Scratch scratch;
    BaseRequest request;
    std::vector<std::string> said;
};

std::unique_ptr<Scratch> BaseCache::folder;

TEST_F(BaseCache, MakesABaseAndUsesItAgain) {
    const BaseImage first = prepare_base(request);
    EXPECT_EQ(first.facts.layout, Layout::rpios_trixie);
    EXPECT_EQ(first.facts.id.size(), 64);
    EXPECT_EQ(first.path, scratch / "cache/bases" / first.facts.id / "disk.img");
    EXPECT_FALSE(said.empty());
    said.clear();
    const ino_t before = inode(first.path);
    const BaseImage second = prepare_base(request);
    EXPECT_EQ(second.path, first.path);
    EXPECT_EQ(second.facts.id, first.facts.id);
    EXPECT_EQ(second.facts.built, first.facts.built);
    EXPECT_EQ(inode(second.path), before);
    EXPECT_TRUE(said.empty());
}

TEST_F(BaseCache, MakesItAnewWhenAskedWithTheSameBytes) {
    const BaseImage first = prepare_base(request);
    const std::string bytes = sha256_of_file(first.path);
    const ino_t before = inode(first.path);
    // As long as a file is open its inode is not given to another.
    const Descriptor held(open(first.path.c_str(), O_RDONLY | O_CLOEXEC));
    request.refresh = true;
    const BaseImage second = prepare_base(request);
    EXPECT_EQ(second.path, first.path);
    EXPECT_NE(inode(second.path), before);
    EXPECT_EQ(sha256_of_file(second.path), bytes);
    EXPECT_EQ(bases(), first.facts.id + " ");
}

TEST_F(BaseCache, NamesABaseByWhatWentInAndNotByWhereItCameFrom) {
    const BaseImage first = prepare_base(request);
    const auto copy = scratch / "renamed.img";
    std::filesystem::copy_file(request.base.source, copy);
    vendors::set_time(copy, 1);
    request.base.source = copy.string();
    request.cache = scratch / "second";
    const BaseImage second = prepare_base(request);
    EXPECT_EQ(second.facts.id, first.facts.id);
    EXPECT_EQ(sha256_of_file(second.path), sha256_of_file(first.path));
    request.base.free_bytes += 8 << 20;
    EXPECT_NE(prepare_base(request).facts.id, first.facts.id);
}

TEST_F(BaseCache, NoticesThatALocalImageChanged) {
    const auto source = scratch / "vendor.img";
    std::filesystem::copy_file(*folder / "vendor.img", source);
    request.base.source = source.string();
    const std::string first = prepare_base(request).facts.id;
    std::filesystem::copy_file(*folder / "other.img", source, std::filesystem::copy_options::overwrite_existing);
    vendors::set_time(source, 1800000000);
    const BaseImage second = prepare_base(request);
    EXPECT_NE(second.facts.id, first);
    EXPECT_EQ(second.facts.layout, Layout::rpios_bookworm);
}

TEST_F(BaseCache, NoticesABaseThatWasCut) {
    const BaseImage first = prepare_base(request);
    const std::string bytes = sha256_of_file(first.path);
    std::filesystem::resize_file(first.path, std::filesystem::file_size(first.path) - 4096);
    const BaseImage second = prepare_base(request);
    EXPECT_EQ(second.path, first.path);
    EXPECT_EQ(sha256_of_file(second.path), bytes);
    std::filesystem::remove(first.path);
    EXPECT_EQ(sha256_of_file(prepare_base(request).path), bytes);
}

TEST_F(BaseCache, SaysWhatToDoAboutABaseThatWasDamaged) {
    const BaseImage base = prepare_base(request);
    std::fstream(base.path, std::ios::in | std::ios::out | std::ios::binary) << std::string(512, '\0');
    EXPECT_EQ(refusal().rfind("reading the base " + base.path.string() + " (--refresh-base makes it anew): ", 0), 0)
        << refusal();
    request.refresh = true;
    EXPECT_EQ(prepare_base(request).facts.id, base.facts.id);
}

TEST_F(BaseCache, NeedsNoNetworkForWhatIsLocalOrCached) {
    request.offline = true;
    const std::string id = prepare_base(request).facts.id;
    EXPECT_EQ(prepare_base(request).facts.id, id);
}

TEST_F(BaseCache, RefusesOfflineWhatIsNotThere) {
    request.offline = true;
    request.base = {};
    request.base.mirror = "http://deb.debian.org/debian";
    EXPECT_EQ(refusal(), "no base for this is cached in " + (scratch / "cache").string() +
                             ": build it once without --offline, with the network up");
    request.base.kind = BaseKind::image;
    request.base.source = "https://example.org/vendor.img.xz";
    request.base.sha256 = std::string(64, 'a');
    EXPECT_EQ(refusal(),
              "preparing the base image: https://example.org/vendor.img.xz was not fetched yet: build once "
              "without --offline, or name a local file");
    EXPECT_EQ(names_in(scratch / "cache/requests"), "");
}

TEST_F(BaseCache, LeavesNothingOfAnImageThatIsRefused) {
    request.base.source = scratch.write("no.img", std::string(4096, 'x')).string();
    EXPECT_NE(refusal().find("neither a disk image nor one packed"), std::string::npos);
    request.base.source = (*folder / "vendor.img").string();
    request.base.sha256 = std::string(64, '0');
    EXPECT_NE(refusal().find("sha256 is "), std::string::npos);
    EXPECT_EQ(names_in(scratch / "cache/requests"), "");
    request.base.sha256.clear();
    const std::string id = prepare_base(request).facts.id;
    // Whatever the refused ones left is cleared away.
    EXPECT_EQ(bases(), id + " ");
}

TEST_F(BaseCache, ClearsAwayABaseThatNothingLeadsToUnlessItIsInUse) {
    BaseImage old = prepare_base(request);
    for (const auto& entry : std::filesystem::directory_iterator(scratch / "cache/requests")) {
        std::filesystem::remove(entry.path());
    }
    request.base.source = (*folder / "other.img").string();
    const BaseImage other = prepare_base(request);
    EXPECT_TRUE(std::filesystem::exists(old.path));
    const std::filesystem::path path = old.path;
    old = {};
    request.base.free_bytes += 8 << 20;
    const BaseImage third = prepare_base(request);
    EXPECT_FALSE(std::filesystem::exists(path));
    EXPECT_TRUE(std::filesystem::exists(other.path));
    EXPECT_TRUE(std::filesystem::exists(third.path));
}

TEST_F(BaseCache, IsUsableWheneverABuildIsKilled) {
    const auto begin = std::chrono::steady_clock::now();
    const std::string bytes = sha256_of_file(prepare_base(request).path);
    const auto whole = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin);
    constexpr int rounds = 16;
    for (int round = 0; round < rounds; ++round) {
        request.cache = scratch / ("cache-" + std::to_string(round));
        const bool complete = killed_after(whole * round / rounds, [&] { (void)prepare_base(request); });
        // Under a final name there is a whole base or nothing.
        std::error_code nothing_yet;
        for (const auto& entry : std::filesystem::directory_iterator(request.cache / "bases", nothing_yet)) {
            if (entry.path().extension() == ".part") continue;
            EXPECT_EQ(sha256_of_file(entry.path() / "disk.img"), bytes) << round;
        }
        said.clear();
        const BaseImage base = prepare_base(request);
        EXPECT_EQ(sha256_of_file(base.path), bytes) << round;
        EXPECT_TRUE(!complete || said.empty());
        EXPECT_EQ(names_in(request.cache / "bases"), base.facts.id + " ");
        std::filesystem::remove_all(request.cache);
    }
}

TEST_F(BaseCache, IsMadeOnceByTwoAtOnce) {
    const auto build = [&]() -> std::string {
        std::string waited;
        request.say = [&](const std::string& line) {
            if (line.find("waiting") != std::string::npos) waited = "";
            if (line.find("unpacking") != std::string::npos) waited = " made";
        };
        const BaseImage base = prepare_base(request);
        return base.facts.id + " " + sha256_of_file(base.path) + waited;
    };
    std::vector<ChildProcess> builds;
    builds.reserve(3);
    for (int i = 0; i < 3; ++i) builds.emplace_back(build);
    std::vector<std::string> results;
    results.reserve(builds.size());
    for (ChildProcess& one : builds) results.push_back(one.result());
    std::sort(results.begin(), results.end());
    EXPECT_EQ(results[0].size(), 64 + 1 + 64);
    EXPECT_EQ(results[1], results[0]);
    EXPECT_EQ(results[2], results[0] + " made");
}

TEST_F(BaseCache, ServesDifferentBasesAtOnce) {
    const auto build = [&](const std::string& source, std::uint64_t more) -> std::string {
        request.base.source = (*folder / source).string();
        request.base.free_bytes += more;
        for (int round = 0; round < 4; ++round) {
            request.refresh = round % 2 == 1;
            const BaseImage base = prepare_base(request);
            if (!std::filesystem::exists(base.path)) return "the base is gone";
        }
        return "fine";
    };
    std::vector<ChildProcess> builds;
    builds.reserve(3);
    builds.emplace_back([&] { return build("vendor.img", 0); });
    builds.emplace_back([&] { return build("other.img", 0); });
    builds.emplace_back([&] { return build("vendor.img", 8 << 20); });
    std::vector<std::string> results;
    results.reserve(builds.size());
    for (ChildProcess& one : builds) results.push_back(one.result());
    EXPECT_EQ(results, (std::vector<std::string>(3, "fine")));
}

TEST_F(BaseCache, NamesACacheFolderThatCannotBeWritten) {
    std::filesystem::create_directories(request.cache);
    chmod(request.cache.c_str(), 0555);
    const auto as_nobody = [&] {
        return in_child([&] {
            become_nobody();
            return refusal();
        });
    };
    EXPECT_EQ(as_nobody(), "making the folder " + (request.cache / "bases").string() + ": permission denied");
    chmod(request.cache.c_str(), 0755);
    (void)prepare_base(request);
    // Another's cache: the folders are there, and nothing may be made in them.
    EXPECT_NE(as_nobody().find((request.cache / "locks").string()), std::string::npos) << as_nobody();
}

}  // namespace
}  // namespace makina
