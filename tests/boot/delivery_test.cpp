#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "builder/card/card.hpp"
#include "builder/commands/rehearse.hpp"
#include "builder/process.hpp"
#include "builder/rehearse/rehearse.hpp"
#include "firstboot/bundle/bundle.hpp"
#include "firstboot/host.hpp"
#include "tests/boot/suite.hpp"
#include "tests/crash/cuts.hpp"
#include "tests/unit/figures.hpp"
#include "tests/unit/scratch.hpp"

namespace makina::boot {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t sector = 512;
constexpr std::uint64_t mebibyte = 1 << 20;
constexpr std::uint64_t stick_offset = mebibyte;

/// The node's word for it, when it has come so far: which bundle it has, what lies where the new one lay, and what is
/// left where it put it.
constexpr const char* taken = R"sh(
i=0
until makina-firstboot status --json | grep '"epoch":2' | grep '"state":"joined"'; do
    [ $i -lt 25 ] || { makina-firstboot status; exit 1; }
    i=$((i + 1))
    sleep 2
done
cat /var/lib/makina/epoch
ls -l /boot/firmware/makina.bundle && exit 1
ls -l /var/lib/makina/bundle && exit 1
mount | grep makina/stick && exit 1
true
)sh";

/// A card with its image just written and a newer bundle for its node, which lies nowhere yet.
class Handover : public testing::TestWithParam<const char*> {
  protected:
    void SetUp() override {
        if (const std::string reason = why_not(); !reason.empty()) GTEST_SKIP() << reason;
        image_ = image_of(GetParam(), "makina.yaml", scratch_.path());
        bundle_ = scratch_ / delivery_name;
        run_checked(
            {{MAKINA_IMAGE, "bundle", "create", "--role", GetParam(), "--profile", (scratch_ / "profile.yaml").string(),
              "--keys", (scratch_ / "keys").string(), "--output", bundle_.string()}});
        card_ = scratch_ / "card.img";
        crash::copy_sparse(image_, card_);
        fs::resize_file(card_, fs::file_size(card_) + (1ULL << 30));
    }
    [[nodiscard]] Verdict boot(const std::vector<fs::path>& sticks = {}) const {
        RehearseRequest request;
        request.image = image_;
        request.card = card_;
        request.write_log = scratch_ / "log";
        request.sticks = sticks;
        request.questions = {{"taken", taken}};
        request.timeout = 1800;
        request.clock = [] {
            return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
        };
        return rehearse(request);
    }
    /// Sectors of the bundle that a file still has from `offset` on, `size` bytes.
    [[nodiscard]] std::size_t remains(const fs::path& file, std::uint64_t offset, std::uint64_t size) const {
        const std::string bundle = slurp(bundle_);
        std::string content(size, '\0');
        std::ifstream stream(file, std::ios::binary);
        stream.seekg(static_cast<std::streamoff>(offset));
        stream.read(content.data(), static_cast<std::streamsize>(size));
        EXPECT_EQ(stream.gcount(), static_cast<std::streamsize>(size));
        std::size_t found = 0;
        for (std::size_t at = 0; at + sector <= bundle.size(); at += sector) {
            if (content.find(std::string_view(bundle).substr(at, sector)) != std::string::npos) ++found;
        }
        return found;
    }

    Scratch scratch_;
    fs::path image_, bundle_, card_;
};

TEST_P(Handover, ABundleOnTheBootPartitionIsTakenMovedAndWiped) {
    const Partition partition = *Card(image_).boot_partition();
    const auto boot_partition = [&] { return Fat(card_, partition.offset); };
    boot_partition().write(delivery_name, slurp(bundle_), 1'800'000'000);
    ASSERT_EQ(remains(card_, partition.offset, partition.size), fs::file_size(bundle_) / sector);
    const std::vector<std::string> before = boot_partition().list();

    const Verdict verdict = boot();
    EXPECT_TRUE(verdict.passed()) << to_text(verdict);

    EXPECT_FALSE(boot_partition().exists(delivery_name));
    EXPECT_EQ(remains(card_, partition.offset, partition.size), 0U);
    std::vector<std::string> after = before;
    std::erase(after, delivery_name);
    EXPECT_EQ(boot_partition().list(), after);
    figures::count("deliveries_from_fat", verdict.passed() ? 1 : 0);
}

TEST_P(Handover, ABundleOnAStickIsTakenMovedAndWiped) {
    // As sticks are sold: one partition with a FAT.
    const fs::path stick = scratch_ / "stick.img";
    std::ofstream(stick).close();
    fs::resize_file(stick, 64 * mebibyte);
    PartitionTable table;
    table.disk_id = 0x5717c;
    table.partitions = {{1, stick_offset, fs::file_size(stick) - stick_offset, 0x0c}};
    write_partition_table(stick, table);
    run_checked({{"mkfs.fat", "-F", "32", "--offset", std::to_string(stick_offset / 512), stick.string(),
                  std::to_string((fs::file_size(stick) - stick_offset) / 1024)}});
    const auto files = [&] { return Fat(stick, stick_offset); };
    files().write("holiday.txt", "the sea\n", 1'800'000'000);
    files().write(delivery_name, slurp(bundle_), 1'800'000'000);

    const Verdict verdict = boot({stick});
    EXPECT_TRUE(verdict.passed()) << to_text(verdict);

    EXPECT_EQ(files().list(), std::vector<std::string>{"holiday.txt"});
    EXPECT_EQ(files().read_file("holiday.txt"), "the sea\n");
    EXPECT_EQ(remains(stick, 0, fs::file_size(stick)), 0U);
    figures::count("deliveries_from_sticks", verdict.passed() ? 1 : 0);
}

/// A boot for each: a part of the long form.
std::vector<const char*> nodes() {
    if (!figures::long_form()) return {};
    return {"lb-1"};
}

INSTANTIATE_TEST_SUITE_P(Nodes, Handover, testing::ValuesIn(nodes()));
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Handover);

}  // namespace
}  // namespace makina::boot
