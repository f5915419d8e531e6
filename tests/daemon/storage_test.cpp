#include <gtest/gtest.h>

#include <algorithm>

#include "firstboot/node/node.hpp"
#include "firstboot/node/partitions.hpp"
#include "tests/daemon/scene.hpp"

namespace makina {
namespace {

using namespace makina::test;

constexpr std::uint64_t mib = 2048;  // in sectors
constexpr std::uint64_t gib = 1024 * mib;
constexpr std::uint64_t root_start = 516 * mib;
constexpr std::uint64_t root_size = 2 * gib;

struct Row {
    unsigned char type = 0;
    std::uint64_t start = 0;
    std::uint64_t sectors = 0;
};

constexpr Row boot = {0x0c, 4 * mib, 512 * mib};

std::string table_of(const std::vector<Row>& rows) {
    std::string sector(446, '\x11');
    for (std::size_t i = 0; i < 4; ++i) {
        const Row row = i < rows.size() ? rows[i] : Row{};
        sector += std::string(4, '\0') + static_cast<char>(row.type) + std::string(3, '\0');
        for (const std::uint64_t number : {row.start, row.sectors}) {
            for (int shift = 0; shift < 32; shift += 8) sector += static_cast<char>(number >> shift & 0xff);
        }
    }
    return sector + "\x55\xaa";
}

Disk disk_of(std::uint64_t sectors, const std::vector<Row>& rows, int root = 2) {
    Disk disk{"mmcblk0", sectors, table_of(rows), root, 0, root_size, {}};
    for (std::size_t i = 0; i < rows.size(); ++i) {
        if (rows[i].sectors > 0) disk.partitions.push_back(static_cast<int>(i) + 1);
    }
    const std::size_t index = static_cast<std::size_t>(root) - 1;
    if (index < rows.size()) disk.root_sectors = rows[index].sectors;
    return disk;
}

struct Geometry {
    const char* name;
    Disk disk;
    std::uint64_t spare;  ///< bytes
    std::uint64_t root;   ///< sectors, as they should be
    Place place;          ///< of the spare partition
};

std::vector<Geometry> geometries() {
    const Row root = {0x83, root_start, root_size};
    constexpr std::uint64_t four = std::uint64_t{4} << 30;
    const std::uint64_t full = 16 * gib - root_start;
    return {
        {"Card16GiB", disk_of(16 * gib, {boot, root}), 0, full, {}},
        {"OddSectorsAtTheEnd", disk_of(16 * gib + 1234, {boot, root}), 0, full, {}},
        {"AsLargeAsTheImage", disk_of(root_start + root_size, {boot, root}), 0, root_size, {}},
        {"SmallerThanTheImage", disk_of(root_start + root_size - 8, {boot, root}), 0, root_size, {}},
        {"Spare", disk_of(16 * gib, {boot, root}), four, full - 4 * gib, {3, 12 * gib, 4 * gib}},
        {"SpareAndOddSectors", disk_of(16 * gib + 1234, {boot, root}), four, full - 4 * gib, {3, 12 * gib, 4 * gib}},
        {"SpareOfAByte", disk_of(16 * gib, {boot, root}), 1, full - mib, {3, 16 * gib - mib, mib}},
        {"SpareThatJustFits",
         disk_of(root_start + root_size + 4 * gib, {boot, root}),
         four,
         root_size,
         {3, root_start + root_size, 4 * gib}},
        {"AlreadyGrown", disk_of(16 * gib, {boot, {0x83, root_start, full}}), 0, full, {}},
        {"AlreadyGrownAndSpared",
         disk_of(16 * gib, {boot, {0x83, root_start, full - 4 * gib}, {0x83, 12 * gib, 4 * gib}}),
         four,
         full - 4 * gib,
         {3, 12 * gib, 4 * gib}},
        {"SparedByAnEarlierBundleThatAskedForMore",
         disk_of(16 * gib, {boot, {0x83, root_start, full - 8 * gib}, {0x83, 8 * gib, 8 * gib}}),
         four,
         full - 8 * gib,
         {3, 8 * gib, 8 * gib}},
        {"RootAlone", disk_of(16 * gib, {{0x83, 4 * mib, root_size}}, 1), 0, 16 * gib - 4 * mib, {}},
        {"RootBeforeBootInTheTable", disk_of(16 * gib, {root, boot}, 1), four, full - 4 * gib, {3, 12 * gib, 4 * gib}},
        {"LargerThanATableCanSay",
         disk_of(std::uint64_t{1} << 33, {boot, root}),
         0,
         ((std::uint64_t{1} << 32) - 1 - root_start) / mib * mib,
         {}},
    };
}

class Growing : public testing::TestWithParam<Geometry> {};

TEST_P(Growing, EndsAsItShouldAlsoAfterAPowerCutAtEveryChange) {
    const Geometry& geometry = GetParam();
    Bundle bundle = bundle_of("worker");
    bundle.spare = geometry.spare;
    for (std::size_t at = 0; at < 6; ++at) {
        for (const Accident::Kind kind : {Accident::Kind::cut_half_done, Accident::Kind::cut_after}) {
            FakeMachine machine = new_machine("worker");
            machine.disk = geometry.disk;
            FakeHost host(machine);
            if (at > 0) host.accident = Accident{kind, at};
            try {
                (void)do_storage(host, bundle);
            } catch (const Cut&) {
                power_cycle(machine);
            }
            FakeHost next(machine);
            EXPECT_TRUE(do_storage(next, bundle).done);
            EXPECT_EQ(ask_storage(next, bundle).notice, "");
            EXPECT_EQ(machine.disk.root_sectors, geometry.root);
            EXPECT_EQ(machine.disk.file_system_sectors, geometry.root);
            const std::vector<int>& known = machine.disk.partitions;
            EXPECT_EQ(std::count(known.begin(), known.end(), geometry.place.number), geometry.place.number > 0 ? 1 : 0);
            const Layout layout = layout_of(machine.disk, geometry.spare);
            EXPECT_EQ(layout.table, machine.disk.table) << "asked again, the table is another";
            EXPECT_EQ(layout.spare, geometry.place);
            EXPECT_EQ(layout.root.sectors, geometry.root);
            EXPECT_EQ(machine.disk.table.substr(0, 446), geometry.disk.table.substr(0, 446));
            FakeHost idle(machine);
            EXPECT_TRUE(do_storage(idle, bundle).done);
            EXPECT_EQ(idle.changes, std::vector<std::string>());
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Cards, Growing, testing::ValuesIn(geometries()),
                         [](const auto& parameter) { return std::string(parameter.param.name); });

TEST(Storage, WritesBothEntriesInOneSector) {
    FakeMachine machine = new_machine("worker");
    machine.disk = disk_of(16 * gib, {boot, {0x83, root_start, root_size}});
    FakeHost host(machine);
    Bundle bundle = bundle_of("worker");
    bundle.spare = std::uint64_t{4} << 30;
    EXPECT_EQ(ask_storage(host, bundle).waiting_for, "the partition table of mmcblk0");
    EXPECT_TRUE(do_storage(host, bundle).done);
    EXPECT_EQ(host.changes,
              (std::vector<std::string>{"write table", "tell partition 2", "tell partition 3", "grow root"}));
    EXPECT_EQ(static_cast<unsigned char>(machine.disk.table[446 + 32 + 4]), 0x83);
}

TEST(Storage, GrowsAFileSystemWhoseTableHasGrown) {
    FakeMachine machine = new_machine("worker");
    machine.disk = disk_of(16 * gib, {boot, {0x83, root_start, 16 * gib - root_start}});
    FakeHost host(machine);
    const Bundle bundle = bundle_of("worker");
    EXPECT_EQ(ask_storage(host, bundle).waiting_for, "the root file system to fill its partition");
    EXPECT_TRUE(do_storage(host, bundle).done);
    EXPECT_EQ(host.changes, std::vector<std::string>{"grow root"});
}

struct Left {
    const char* name;
    Disk disk;
    std::uint64_t spare;
    const char* notice;
};

std::vector<Left> left() {
    const Row root = {0x83, root_start, root_size};
    Disk none = disk_of(16 * gib, {boot, root});
    none.table[511] = 0;
    Disk short_table = none;
    short_table.table.clear();
    return {
        {"Gpt", disk_of(16 * gib, {{0xee, 1, 16 * gib - 1}}, 2), 0,
         "mmcblk0 is left as it is: its partition table is GPT"},
        {"RootIsNotTheLast", disk_of(16 * gib, {boot, root, {0x83, 8 * gib, gib}}), 0,
         "mmcblk0 is left as it is: the root partition is not the last one"},
        {"TwoFollowTheRoot", disk_of(16 * gib, {boot, root, {0x83, 8 * gib, gib}, {0x83, 9 * gib, gib}}), mib * 512,
         "mmcblk0 is left as it is: the root partition is not the last one"},
        {"AnExtendedOneFollows", disk_of(16 * gib, {boot, root, {0x05, 8 * gib, gib}}), mib * 512,
         "mmcblk0 is left as it is: the root partition is not the last one"},
        {"NoSignature", none, 0, "mmcblk0 is left as it is: there is no partition table that this program knows"},
        {"NoTable", short_table, 0, "mmcblk0 is left as it is: there is no partition table that this program knows"},
        {"LogicalRoot", disk_of(16 * gib, {boot, {0x05, root_start, root_size}}, 5), 0,
         "mmcblk0 is left as it is: the root partition is no primary one"},
        {"RootIsNotInTheTable", disk_of(16 * gib, {boot}, 3), 0,
         "mmcblk0 is left as it is: the root partition is not in the partition table"},
        {"NoFreeEntry",
         disk_of(16 * gib, {boot, {0x83, 520 * mib - 4 * mib, 2 * mib}, {0x83, 518 * mib, mib}, {0x83, gib, root_size}},
                 4),
         mib * 512, "mmcblk0 is left as it is: there is no free entry for the spare partition"},
    };
}

class Leaving : public testing::TestWithParam<Left> {};

TEST_P(Leaving, ChangesNothingAndSaysSo) {
    FakeMachine machine = new_machine("worker");
    machine.disk = GetParam().disk;
    machine.disk.root_sectors = root_size;
    FakeHost host(machine);
    Bundle bundle = bundle_of("worker");
    bundle.spare = GetParam().spare;
    const Outcome outcome = do_storage(host, bundle);
    EXPECT_TRUE(outcome.done) << outcome.waiting_for;
    EXPECT_EQ(outcome.notice, GetParam().notice);
    EXPECT_EQ(host.changes, std::vector<std::string>());
}

INSTANTIATE_TEST_SUITE_P(Cards, Leaving, testing::ValuesIn(left()),
                         [](const auto& parameter) { return std::string(parameter.param.name); });

TEST(Storage, WaitsForALargerCardRatherThanToGiveUpWhatIsToBeSpared) {
    FakeMachine machine = new_machine("worker");
    machine.disk = disk_of(4 * gib, {boot, {0x83, root_start, root_size}});
    FakeHost host(machine);
    Bundle bundle = bundle_of("worker");
    bundle.spare = std::uint64_t{4} << 30;
    const Outcome outcome = do_storage(host, bundle);
    EXPECT_FALSE(outcome.done);
    EXPECT_EQ(outcome.waiting_for, "a card of 6660 MiB, 4096 MiB of it to spare: mmcblk0 has 4096 MiB");
    EXPECT_EQ(host.changes, std::vector<std::string>());
}

TEST(Storage, TellsWhatIsLeftAsANoticeOfTheNode) {
    FakeMachine machine = new_machine("gateway");
    machine.disk = disk_of(16 * gib, {boot, {0x83, root_start, root_size}, {0x83, 8 * gib, gib}});
    const auto host = host_of(machine, "gateway");
    run_to_end(*host);
    EXPECT_EQ(host->statuses.back().notice, "mmcblk0 is left as it is: the root partition is not the last one");
}

}  // namespace
}  // namespace makina
