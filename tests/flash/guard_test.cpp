#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <utility>

#include "builder/flash/device.hpp"
#include "firstboot/bundle/error.hpp"
#include "tests/flash/machine_model.hpp"
#include "tests/flash/suite.hpp"

namespace makina::flashing {
namespace {

constexpr std::uint64_t gb = 1000 * 1000 * 1000;
constexpr std::uint64_t image = 2558525440;

DiskModel usb_reader(const std::string& name, const std::string& number, const std::string& port) {
    DiskModel disk;
    disk.name = name;
    disk.number = number;
    disk.usb = "pci0000:00/0000:00:14.0/usb1/" + port;
    disk.bus = disk.usb + "/" + port + ":1.0/host6/target6:0:0/6:0:0:0";
    disk.removable = true;
    disk.type = "0";
    return disk;
}

DiskModel sd_slot(const std::string& name, const std::string& number, const std::string& host) {
    DiskModel disk;
    disk.name = name;
    disk.number = number;
    disk.bus = host + "/mmc_host/mmc0/mmc0:aaaa";
    disk.type = "SD";
    disk.model = "";
    disk.serial = "0x5b1d2a3c";
    return disk;
}

DiskModel inside(const std::string& name, const std::string& number, const std::string& bus) {
    DiskModel disk;
    disk.name = name;
    disk.number = number;
    disk.bus = bus;
    disk.type = name[0] == 's' ? "0" : "";
    disk.size = 1000 * gb;
    return disk;
}

const DiskModel nvme = inside("nvme0n1", "259:0", "pci0000:00/0000:00:1d.0/0000:02:00.0/nvme/nvme0");

DiskModel usb_slot(const std::string& name, const std::string& number, const std::string& usb, int lun) {
    DiskModel disk = usb_reader(name, number, "1-2");
    disk.usb = usb;
    const std::string port = usb.substr(usb.rfind('/') + 1);
    disk.bus = usb + "/" + port + ":1.0/host6/target6:0:0/6:0:0:" + std::to_string(lun);
    return disk;
}

/// Readers as people have them, by the paths that their drivers give them.
std::vector<DiskModel> readers() {
    std::vector<DiskModel> all = {
        usb_reader("sdb", "8:16", "1-2"),
        usb_reader("sdd", "8:48", "1-1.4.2"),  // behind hubs, as of a screen
        // Several slots: of a Pi 4's USB 3, of a PC, of a Mac.
        usb_slot("sdaa", "65:160", "platform/scb/fd500000.pcie/pci0000:00/usb2/2-3", 1),
        usb_slot("sde", "8:64", "pci0000:00/0000:00:14.0/usb2/2-6", 3),
        usb_slot("sdb", "8:16", "pci0000:00/0000:00:1a.7/usb1/1-6/1-6.1", 0),
        // A dock behind Thunderbolt, a Pi 5, a small board, and a reader lent over the network, as to WSL.
        usb_slot("sdb", "8:16", "pci0000:00/0000:00:07.0/0000:03:00.0/0000:04:02.0/0000:3a:00.0/usb4/4-2/4-2.4", 0),
        usb_slot("sda", "8:0", "platform/axi/1000120000.pcie/1f00200000.usb/xhci-hcd.0/usb2/2-1", 0),
        usb_slot("sda", "8:0", "platform/soc/1c1b000.usb/usb3/3-1", 0),
        usb_slot("sdd", "8:48", "platform/vhci_hcd.0/usb1/1-1", 0),
        // Slots of the machine's own: sdhci-pci, rtsx_pci, rtsx_usb, tifm, sdhci-acpi, and on boards.
        sd_slot("mmcblk0", "179:0", "pci0000:00/0000:00:1c.0/0000:01:00.0"),
        sd_slot("mmcblk0", "179:0", "pci0000:00/0000:00:1c.2/0000:02:00.1"),
        sd_slot("mmcblk0", "179:0", "platform/soc/690000000.pcie/pci0000:00/0000:00:01.0/0000:02:00.0"),
        sd_slot("mmcblk1", "179:96", "pci0000:00/0000:00:1d.2/0000:3b:00.0/rtsx_pci_sdmmc.0"),
        sd_slot("mmcblk0", "179:0", "pci0000:00/0000:00:14.0/usb1/1-6/1-6:1.0/rtsx_usb_sdmmc.1.auto"),
        sd_slot("mmcblk0", "179:0", "pci0000:00/0000:00:1e.0/0000:06:04.2/tifm_sd0:3"),
        sd_slot("mmcblk2", "179:32", "platform/80860F16:00"),
        sd_slot("mmcblk0", "179:0", "platform/soc/3f202000.mmc"),
        sd_slot("mmcblk0", "179:0", "platform/emmc2bus/fe340000.mmc"),
        sd_slot("mmcblk0", "179:0", "platform/axi/1000fff000.mmc"),
        sd_slot("mmcblk1", "179:96", "platform/fe2b0000.mmc"),
        sd_slot("mmcblk0", "179:0", "platform/soc/1c0f000.mmc"),
    };
    all[1].serial = "";  // cheap ones have none
    all[13].usb = "pci0000:00/0000:00:14.0/usb1/1-6";
    return all;
}

/// Readers that cannot be told from disks, and are refused like these.
std::vector<DiskModel> readers_like_disks() {
    DiskModel hidden = usb_reader("sdb", "8:16", "1-2");  // says that its medium cannot be taken out
    hidden.removable = false;
    DiskModel scsi = usb_reader("sdb", "8:16", "1-2");  // rts5208: a SCSI adapter on PCI
    scsi.usb = "";
    scsi.bus = "pci0000:00/0000:00:1c.3/0000:03:00.0/host6/target6:0:0/6:0:0:0";
    return {hidden, scsi};
}

/// A file as a block device.
DiskModel loop_over(const std::string& file) {
    DiskModel disk;
    disk.name = "loop0";
    disk.number = "7:0";
    disk.bus = "virtual";
    disk.file = file;
    disk.by_id = false;
    return disk;
}

/// Empty slots beside the card's, as a reader of several has them.
void add_empty_slots(MachineModel& machine, const DiskModel& disk) {
    if (disk.bus.find("target6:0:0") == std::string::npos || disk.bus.ends_with(":0:0")) return;
    DiskModel slot = disk;
    slot.name = "sdx";
    slot.number = "65:112";
    slot.bus.back() = '0';
    slot.size = 0;
    slot.partitions = 0;
    machine.add(slot);
}

/// One machine: the disk that is asked about, what else there is, and whether it may be written.
struct Topology {
    std::string name;
    DiskModel disk;
    std::function<void(MachineModel&, const DiskModel&)> more = [](MachineModel&, const DiskModel&) {};
    std::string refused;  ///< a part of the words; empty: it may be written
    std::string number;   ///< that is asked about, if not the disk's
};

/// What makes a good reader's card one that must not be touched.
std::vector<Topology> troubles(const DiskModel& disk) {
    using Machine = MachineModel;
    const std::string first = Machine::part_name(disk, 1);
    const std::string first_number = Machine::part_number(disk, 1);
    const std::string second = Machine::part_name(disk, 2);
    DiskModel locked = disk, empty = disk, small = disk, large = disk, uncounted = disk;
    uncounted.sequence = false;
    locked.read_only = true;
    empty.size = 0;
    empty.partitions = 0;
    small.size = image / 512 * 512 - 512;
    large.size = 4000 * gb;
    const auto with = [](std::function<void(Machine&, const DiskModel&)> more) { return more; };
    return {{"root",
             disk,
             with([](Machine& m, const DiskModel& d) { m.mount(Machine::part_number(d, 2), "/", "/dev/root"); }),
             second + " is mounted on /",
             {}},
            {"mounted",
             disk,
             with([=](Machine& m, const DiskModel&) { m.mount(first_number, "/media/me/boot", "/dev/" + first); }),
             first + " is mounted on /media/me/boot",
             {}},
            {"whole mounted",
             disk,
             with([](Machine& m, const DiskModel& d) { m.mount(d.number, "/mnt", "/dev/" + d.name); }),
             disk.name + " is mounted on /mnt",
             {}},
            {"mounted elsewhere",
             disk,
             with([=](Machine& m, const DiskModel&) { m.mount_elsewhere(first_number, "/var/lib/container"); }),
             first + " is mounted on /var/lib/container",
             {}},
            {"by source alone",
             disk,
             with([=](Machine& m, const DiskModel&) { m.mount("0:31", "/home", "/dev/" + second); }),
             second + " is mounted on /home",
             {}},
            {"swap",
             disk,
             with([=](Machine& m, const DiskModel&) { m.swap_to("/dev/" + second); }),
             second + " is swapped to",
             {}},
            {"whole swap",
             disk,
             with([](Machine& m, const DiskModel& d) { m.swap_to("/dev/" + d.name); }),
             disk.name + " is swapped to",
             {}},
            {"crypt or LVM",
             disk,
             with([=](Machine& m, const DiskModel& d) { m.hold(d, second, "dm-0"); }),
             second + " is part of dm-0",
             {}},
            {"RAID of the whole",
             disk,
             with([](Machine& m, const DiskModel& d) { m.hold(d, d.name, "md127"); }),
             disk.name + " is part of md127",
             {}},
            {"btrfs of several",
             disk,
             with([=](Machine& m, const DiskModel&) { m.btrfs(first); }),
             first + " is part of a btrfs",
             {}},
            {"LVM asleep",
             disk,
             with([=](Machine& m, const DiskModel&) { m.udev(first_number, "ID_FS_TYPE", "LVM2_member"); }),
             first + " belongs to a group of disks (LVM2_member)",
             {}},
            {"ZFS",
             disk,
             with([=](Machine& m, const DiskModel&) { m.udev(first_number, "ID_FS_TYPE", "zfs_member"); }),
             first + " belongs to a group of disks (zfs_member)",
             {}},
            {"RAID asleep",
             disk,
             with([](Machine& m, const DiskModel& d) { m.udev(d.number, "ID_FS_TYPE", "linux_raid_member"); }),
             disk.name + " belongs to a group of disks (linux_raid_member)",
             {}},
            {"a loop over it",
             disk,
             with([](Machine& m, const DiskModel& d) { m.loop_over("/dev/" + d.name); }),
             disk.name + " is shown by loop3",
             {}},
            {"slider", locked, with([](Machine&, const DiskModel&) {}), "is read-only: look at the card's slider", {}},
            {"empty slot", empty, with([](Machine&, const DiskModel&) {}), "has no card in it", {}},
            {"too small", small, with([](Machine&, const DiskModel&) {}), "is too small", {}},
            {"4 TB", large, with([](Machine&, const DiskModel&) {}), "which is more than cards have", {}},
            {"a kernel before 5.15",
             uncounted,
             with([](Machine&, const DiskModel&) {}),
             "this kernel does not count the media in a reader",
             {}},
            {"a partition", disk, with([](Machine&, const DiskModel&) {}), "is a partition: name the whole card",
             first_number}};
}

std::vector<Topology> cards(const DiskModel& reader) {
    std::vector<Topology> all;
    for (const std::uint64_t size : {4, 32, 128, 512}) {
        for (const int partitions : {0, 2}) {
            DiskModel disk = reader;
            disk.size = size * gb / 512 * 512;
            disk.partitions = partitions;
            const auto old = [](MachineModel& m, const DiskModel& d) {
                add_empty_slots(m, d);
                if (d.partitions == 0) return;
                m.udev(MachineModel::part_number(d, 1), "ID_FS_TYPE", "vfat");
                m.udev(MachineModel::part_number(d, 2), "ID_FS_TYPE", d.size < 20 * gb ? "ext4" : "btrfs");
            };
            all.push_back({"a card of " + std::to_string(size) + " GB", disk, old, {}, {}});
        }
    }
    return all;
}

/// Loop devices that lead to something else than a file of their own.
std::vector<Topology> loops() {
    using Machine = MachineModel;
    const auto nothing = [](Machine&, const DiskModel&) {};
    const std::string card = "/home/me/card.img";
    std::vector<Topology> all;
    for (const char* const disk : {"/dev/nvme0n1", "/dev/nvme0n1p3", "/dev/sdb", "/dev/loop3", "/dev/dm-0", "/dev/md0",
                                   "/dev/mapper/vg-root", "/home/me/gone.img", "/home/me/gone.img (deleted)"})
        all.push_back({disk, loop_over(disk), nothing, std::string("shows ") + disk + ", which is no plain file", {}});
    all.push_back({"shown twice",
                   loop_over(card),
                   [=](Machine& m, const DiskModel&) { m.loop_over(card); },
                   card + " is shown by /dev/loop3",
                   {}});
    all.push_back({"shown twice and mounted",
                   loop_over(card),
                   [=](Machine& m, const DiskModel&) {
                       m.loop_over(card);
                       m.mount("7:3", "/home", "/dev/loop3");
                   },
                   card + " is shown by /dev/loop3",
                   {}});
    const auto link = [=](Machine& m) {
        std::filesystem::create_hard_link(m.root() / card.substr(1), m.root() / "other name");
    };
    all.push_back({"shown by another name",
                   loop_over(card),
                   [=](Machine& m, const DiskModel&) {
                       link(m);
                       m.loop_over("/other name");
                   },
                   card + " is shown by /dev/loop3",
                   {}});
    all.push_back(
        {"swap", loop_over(card), [=](Machine& m, const DiskModel&) { m.swap_to(card); }, card + " is swapped to", {}});
    all.push_back({"swap by another name",
                   loop_over(card),
                   [=](Machine& m, const DiskModel&) {
                       link(m);
                       m.swap_to("/other\\040name");
                   },
                   card + " is swapped to",
                   {}});
    return all;
}

std::vector<Topology> disks() {
    std::vector<Topology> all;
    const auto add = [&](const DiskModel& disk, const std::string& words) {
        all.push_back({disk.name + " on " + disk.bus, disk, [](MachineModel&, const DiskModel&) {}, words, {}});
    };
    const std::string never = "disks of this machine are never written";
    add(inside("nvme1n1", "259:9", "pci0000:00/0000:00:1b.0/0000:03:00.0/nvme/nvme1"), never);
    add(inside("sda", "8:0", "pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0"), never);
    add(inside("vda", "254:0", "pci0000:00/0000:00:04.0/virtio1"), never);
    add(inside("xvda", "202:0", "vbd-768"), never);
    for (const char* const name : {"zram0", "dm-0", "md0", "nbd0", "ram0", "drbd0", "zd0", "pmem0"})
        add(inside(name, "250:0", "virtual"), never);
    DiskModel hot = inside("sda", "8:0", "pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0");
    hot.removable = true;  // SATA bays that can be pulled say so
    add(hot, never);
    for (const std::uint64_t size : {32, 120, 500, 1000, 4000, 12000}) {
        DiskModel disk = usb_reader("sdb", "8:16", "1-2");
        disk.removable = false;
        disk.size = size * gb;
        add(disk, "is a USB disk, no card reader");
    }
    for (const std::uint64_t size : {600, 1000, 4000, 12000}) {
        DiskModel disk = usb_reader("sdb", "8:16", "1-2");
        disk.size = size * gb;
        add(disk, "more than cards have");
    }
    for (const char* const name : {"mmcblk0", "mmcblk0boot0", "mmcblk0boot1", "mmcblk0rpmb", "mmcblk2"}) {
        DiskModel disk = sd_slot(name, "179:0", "pci0000:00/0000:00:1a.0");
        disk.type = "MMC";
        disk.size = 64 * gb;
        add(disk, "is memory that is soldered in (MMC)");
    }
    DiskModel boot_area = sd_slot("mmcblk0boot0", "179:8", "platform/soc/fe340000.mmc");
    add(boot_area, "is memory that is soldered in");
    DiskModel silent = sd_slot("mmcblk0", "179:0", "platform/soc/fe340000.mmc");
    silent.type = "";
    add(silent, "is memory that is soldered in (no SD card)");
    DiskModel dvd = usb_reader("sr0", "11:0", "1-3");
    dvd.type = "5";
    dvd.size = 5 * gb;
    add(dvd, "is no disk but another USB device");
    DiskModel floppy = usb_reader("sdb", "8:16", "1-3");
    floppy.size = 1474560;
    add(floppy, "is too small");
    return all;
}

/// Says why the disk is refused; empty if it may be written.
std::string verdict(const Topology& topology) {
    MachineModel machine;
    machine.add(nvme);
    machine.mount(MachineModel::part_number(nvme, 2), "/", "/dev/nvme0n1p2");
    machine.swap_to("/dev/dm-9");
    machine.add(topology.disk);
    if (topology.disk.file == "/home/me/card.img") machine.file(topology.disk.file);
    topology.more(machine, topology.disk);
    machine.finish();
    const std::string number = topology.number.empty() ? topology.disk.number : topology.number;
    return refusal(read_device(number, machine.root()), image, false).value_or("");
}

/// Machines are thousands of small files: they are made in memory where that is possible.
class Guard : public testing::Test {
  protected:
    void SetUp() override {
        if (std::filesystem::is_directory("/dev/shm") && access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
    }
    void TearDown() override { before_.empty() ? unsetenv("TMPDIR") : setenv("TMPDIR", before_.c_str(), 1); }

  private:
    std::string before_ = std::getenv("TMPDIR") == nullptr ? "" : std::getenv("TMPDIR");
};

TEST_F(Guard, RefusesEverythingThatIsNoFreeCard) {
    std::vector<Topology> all = disks();
    for (Topology& loop : loops()) all.push_back(std::move(loop));
    std::vector<DiskModel> good = readers();
    good.push_back(loop_over("/home/me/card.img"));
    for (const DiskModel& reader : good) {
        for (Topology& trouble : troubles(reader)) all.push_back(std::move(trouble));
    }
    count("false_accepts", 0);
    EXPECT_GE(all.size(), 200U);
    for (const Topology& topology : all) {
        const std::string words = verdict(topology);
        count("topologies", 1);
        if (words.empty()) count("false_accepts", 1);
        EXPECT_NE(words.find(topology.refused), std::string::npos)
            << topology.name << " of " << topology.disk.name << ": \"" << words << "\" instead of " << topology.refused;
        EXPECT_NE(words, "") << topology.name << " of " << topology.disk.name;
    }
}

TEST_F(Guard, LetsCardsInRealReadersPass) {
    for (const DiskModel& reader : readers()) {
        count("readers", 1);
        bool is_refused = false;
        for (const Topology& topology : cards(reader)) {
            const std::string words = verdict(topology);
            count("topologies", 1);
            is_refused = is_refused || !words.empty();
            EXPECT_EQ(words, "") << topology.name << " in " << reader.bus;
        }
        count("readers_refused", is_refused ? 1 : 0);
    }
    for (const Topology& topology : cards(loop_over("/home/me/card.img")))
        EXPECT_EQ(verdict(topology), "") << topology.name;
}

/// A reader is one, whatever is in it: these count in full.
TEST_F(Guard, RefusesTheFewReadersThatCannotBeToldFromDisks) {
    const std::vector<DiskModel> all = readers_like_disks();
    const std::string words[] = {"its medium cannot be taken out", "disks of this machine are never written"};
    for (std::size_t i = 0; i < all.size(); ++i) {
        count("readers", 1);
        count("readers_refused", 1);
        for (const Topology& topology : cards(all[i])) {
            count("topologies", 1);
            EXPECT_NE(verdict(topology).find(words[i]), std::string::npos) << topology.name << " in " << all[i].bus;
        }
    }
}

TEST_F(Guard, TellsASlotBehindUsbByTheCardThatIsInIt) {
    MachineModel machine;
    machine.add(readers()[13]);
    machine.finish();
    const DeviceFacts facts = read_device("179:0", machine.root());
    EXPECT_EQ(facts.bus, Bus::mmc);
    EXPECT_EQ(facts.serial, "0x5b1d2a3c");
}

TEST_F(Guard, CountsTheSlotsOfAReaderThatHasSeveral) {
    MachineModel machine;
    const DiskModel second = readers()[2];
    machine.add(second);
    add_empty_slots(machine, second);
    machine.add(usb_reader("sdb", "8:16", "1-2"));
    machine.finish();
    EXPECT_EQ(read_device(second.number, machine.root()).slot, 2U);
    EXPECT_EQ(read_device("65:112", machine.root()).slot, 1U);
    EXPECT_EQ(read_device("8:16", machine.root()).slot, std::nullopt);
}

TEST_F(Guard, TakesNoNameThatAnotherReaderHasAsWell) {
    MachineModel machine;
    machine.add(usb_reader("sdb", "8:16", "1-2"));
    machine.add(usb_reader("sdc", "8:32", "1-3"));
    for (const char* const number : {"8:16", "8:32"}) machine.udev_link(number, "disk/by-id/id-sdb");
    machine.finish();
    EXPECT_TRUE(read_device("8:16", machine.root()).ids.empty());
    EXPECT_EQ(read_device("8:32", machine.root()).ids, std::vector<std::string>{"id-sdc"});
}

TEST_F(Guard, NeverLetsTheSystemDiskPassWhateverIsAllowed) {
    MachineModel machine;
    machine.add(nvme);
    machine.mount(MachineModel::part_number(nvme, 2), "/", "/dev/nvme0n1p2");
    machine.finish();
    EXPECT_TRUE(refusal(read_device("259:0", machine.root()), 0, true).has_value());
    DiskModel large = usb_reader("sdb", "8:16", "1-2");
    large.size = 1000 * gb;
    machine.add(large);
    EXPECT_FALSE(refusal(read_device("8:16", machine.root()), 0, true).has_value());
}

TEST_F(Guard, TellsWhatAPersonHasToKnow) {
    MachineModel machine;
    const DiskModel reader = usb_reader("sdb", "8:16", "1-2");
    machine.add(reader);
    machine.add(nvme);
    machine.udev("8:16", "ID_SERIAL_SHORT", "AA04");
    machine.udev("8:17", "ID_FS_LABEL", "BOOTFS");
    machine.udev("8:17", "ID_FS_TYPE", "vfat");
    machine.finish();
    const std::vector<DeviceFacts> all = list_devices(machine.root());
    ASSERT_EQ(all.size(), 2U);
    const DeviceFacts& facts = all[1];
    EXPECT_EQ(facts.name, "sdb");
    EXPECT_EQ(facts.model, "Generic STORAGE DEVICE");
    EXPECT_EQ(facts.serial, "AA04");
    EXPECT_EQ(confirmation_of(facts), "AA04");
    EXPECT_EQ(facts.ids, std::vector<std::string>{"id-sdb"});
    EXPECT_EQ(facts.sequence, 9U);
    ASSERT_EQ(facts.parts.size(), 2U);
    EXPECT_EQ(facts.parts[0].label, "BOOTFS");
    DeviceFacts nameless = facts;
    nameless.serial = "1";
    EXPECT_EQ(confirmation_of(nameless), "sdb");
}

TEST_F(Guard, RefusesWhatTheKernelDoesNotTell) {
    MachineModel machine;
    machine.add(usb_reader("sdb", "8:16", "1-2"));
    machine.finish();
    EXPECT_THROW((void)read_device("8:99", machine.root()), Error);
    std::filesystem::remove(machine.root() / "sys/block/sdb/ro");
    EXPECT_THROW((void)read_device("8:16", machine.root()), Error);
    EXPECT_TRUE(list_devices(machine.root()).empty());
}

TEST_F(Guard, RefusesFilesThatAreInUse) {
    MachineModel machine;
    machine.file("/card.img");
    machine.file("/other.img");
    const auto file = machine.root() / "card.img";
    std::filesystem::create_hard_link(file, machine.root() / "link.img");
    machine.loop_over("/card.img");
    machine.swap_to("/somewhere/swapfile");
    machine.finish();
    for (const char* const name : {"card.img", "link.img"})
        EXPECT_THROW(require_free_file(machine.root() / name, machine.root()), Error) << name;
    for (const char* const name : {"other.img", "new.img"})
        EXPECT_NO_THROW(require_free_file(machine.root() / name, machine.root())) << name;
    MachineModel swapping;
    swapping.file("/swapfile");
    swapping.swap_to("/swapfile");
    swapping.finish();
    EXPECT_THROW(require_free_file(swapping.root() / "swapfile", swapping.root()), Error);
}

}  // namespace
}  // namespace makina::flashing
