#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <iostream>

#include "builder/commands/cluster.hpp"
#include "builder/commands/flash_target.hpp"
#include "tests/flash/machine_model.hpp"
#include "tests/flash/person.hpp"

namespace makina::flashing {
namespace {

constexpr const char* which = "Its number, Enter to look again, q to leave: ";
constexpr const char* serial = "type the last four characters of its serial number: ";
constexpr const char* none = "put one in and press Enter, or q to leave: ";
constexpr const char* end_of_input = "\x04";

DiskModel reader(const std::string& name, const std::string& number, const std::string& last_of_serial) {
    DiskModel disk;
    disk.name = name;
    disk.number = number;
    disk.usb = "pci0000:00/0000:00:14.0/usb1/1-" + name.substr(2);
    disk.bus = disk.usb + "/1-1:1.0/host6/target6:0:0/6:0:0:0";
    disk.removable = true;
    disk.type = "0";
    disk.serial = "05EF00" + last_of_serial;
    return disk;
}

/// A machine with a disk that it runs from and two readers with cards in them.
class Menu : public testing::Test {
  protected:
    Menu() {
        machine.add(disk_inside());
        machine.mount("8:1", "/", "/dev/sda1");
        machine.add(reader("sdb", "8:16", "B1B2"));
        machine.add(reader("sdc", "8:32", "C1C2"));
        machine.finish();
        options.machine = machine.root();
    }

    /// Chooses and confirms as the command does; 0 and the device's name on the screen, or 2 and why not.
    [[nodiscard]] std::pair<std::string, int> choose(const std::vector<Typed>& person) const {
        return on_a_terminal(
            [&] {
                try {
                    const FlashTarget target = ask_for_target("master-1", options);
                    confirm(target, "master-1", options);
                    std::cerr << "chosen: " << target.name() << std::endl;
                    return 0;
                } catch (const Mistake& mistake) {
                    std::cerr << "refused: " << mistake.what() << std::endl;
                    return 2;
                }
            },
            person);
    }
    void expect_refused(const std::vector<Typed>& person, const std::string& words) const {
        const auto [said, code] = choose(person);
        EXPECT_EQ(code, 2) << said;
        EXPECT_NE(said.find("refused: " + words), std::string::npos) << said;
        EXPECT_EQ(said.find("chosen"), std::string::npos) << said;
    }

    MachineModel machine;
    TargetOptions options;
};

TEST_F(Menu, OffersCardsAloneAndTakesTheOneThatIsChosenAndConfirmed) {
    const auto [said, code] = choose({{which, "2\n"}, {serial, "C1C2\n"}});
    EXPECT_EQ(code, 0) << said;
    EXPECT_NE(said.find("1  /dev/sdb  "), std::string::npos) << said;
    EXPECT_NE(said.find("2  /dev/sdc  "), std::string::npos) << said;
    EXPECT_EQ(said.find("/dev/sda"), std::string::npos) << said;
    EXPECT_NE(said.find("master-1 goes to /dev/sdc"), std::string::npos) << said;
    EXPECT_NE(said.find("chosen: /dev/sdc"), std::string::npos) << said;
}

TEST_F(Menu, AsksAgainForWhatIsNoNumberOfIts) {
    for (const char* const wrong : {"\n", "0\n", "3\n", "02\n", "2 \n", "-1\n", "sdc\n", "/dev/sdc\n", "C1C2\n"}) {
        const auto [said, code] = choose({{which, wrong}, {which, "1\n"}, {serial, "B1B2\n"}});
        EXPECT_EQ(code, 0) << wrong << said;
        EXPECT_NE(said.find("chosen: /dev/sdb"), std::string::npos) << wrong << said;
    }
}

TEST_F(Menu, TakesNothingButTheEndOfTheSerialNumber) {
    for (const char* const wrong :
         {"\n", "y\n", "yes\n", "1\n", "sdb\n", "C1C2\n", "b1b2\n", "B1B\n", "B1B2B1B2\n", "05EF00B1B2\n"}) {
        expect_refused({{which, "1\n"}, {serial, wrong}}, "that is not /dev/sdb: nothing was written");
    }
}

TEST_F(Menu, HasTheNameTypedWhereTwoCardsHaveOneSerialNumber) {
    DiskModel second = reader("sdd", "8:48", "B1B2");
    machine.add(second);
    constexpr const char* question = "To go on, type ";
    const auto [said, code] = choose({{which, "1\n"}, {question, "sdb\n"}});
    EXPECT_EQ(code, 0) << said;
    EXPECT_NE(said.find("type sdb (the serial number of /dev/sdd ends as this one does): "), std::string::npos) << said;
    for (const char* const wrong : {"B1B2\n", "sdd\n", "/dev/sdb\n"})
        expect_refused({{which, "1\n"}, {question, wrong}}, "that is not /dev/sdb: nothing was written");
}

TEST_F(Menu, ShowsWhichSlotOfAReaderACardIsIn) {
    for (const char lun : {'1', '2'}) {
        DiskModel slot = reader("sdd", "8:48", "D1D2");
        if (lun == '2') slot.name = "sde";
        if (lun == '2') slot.number = "8:64";
        slot.bus.back() = lun;
        machine.add(slot);
    }
    const auto [said, code] = choose({{which, "q\n"}});
    EXPECT_NE(said.find("serial 05EF00D1D2, slot 2, 32.0 GB"), std::string::npos) << said;
    EXPECT_NE(said.find("serial 05EF00D1D2, slot 3, 32.0 GB"), std::string::npos) << said;
    EXPECT_NE(said.find("serial 05EF00B1B2, 32.0 GB"), std::string::npos) << said;
    EXPECT_NE(json_of_targets(options).find("\"slot\":3"), std::string::npos);
}

/// Without a person: --yes-device takes a name that stays, and no other one.
TEST_F(Menu, TakesACardWithoutAPersonByItsLastingNameAlone) {
    DiskModel nameless = reader("sdd", "8:48", "D1D2");
    nameless.by_id = false;
    machine.add(nameless);
    const auto said = [&](const std::string& number, const std::string& name) {
        options.confirmed = {name};
        const FlashTarget target{read_device(number, machine.root()), {}};
        return on_a_terminal(
                   [&] {
                       const Descriptor nothing(open("/dev/null", O_RDONLY | O_CLOEXEC));
                       dup2(nothing.get(), STDIN_FILENO);
                       try {
                           confirm(target, "master-1", options);
                           std::cerr << "confirmed" << std::endl;
                       } catch (const Mistake& mistake) {
                           std::cerr << mistake.what() << std::endl;
                       }
                       return 0;
                   },
                   {}, 1000)
            .first;
    };
    EXPECT_EQ(said("8:16", "id-sdb"), "confirmed\r\n");
    EXPECT_EQ(said("8:16", "/dev/disk/by-id/id-sdb"), "confirmed\r\n");
    for (const char* const name : {"/dev/sdb", "sdb", "id-sdc"}) {
        EXPECT_EQ(
            said("8:16", name),
            "nobody is there to confirm that /dev/sdb is overwritten: say --yes-device id-sdb if it is meant\r\n");
    }
    for (const char* const name : {"/dev/sdd", "sdd", ""}) {
        EXPECT_EQ(said("8:48", name),
                  "nobody is there to confirm that /dev/sdd is overwritten: it has no name of its own in "
                  "/dev/disk/by-id, which udev makes, and --yes-device takes nothing else; on a terminal it can be "
                  "confirmed\r\n");
    }
}

TEST_F(Menu, EndsWhenAPersonLeavesOrTheInputEnds) {
    expect_refused({{which, "q\n"}}, "nothing was written");
    expect_refused({{which, end_of_input}}, "nothing was typed: nothing was written");
    expect_refused({{which, "\n"}, {which, end_of_input}}, "nothing was typed: nothing was written");
    expect_refused({{which, "1\n"}, {serial, end_of_input}}, "nothing was typed: nothing was written");
}

TEST_F(Menu, WaitsForACardIfThereIsNone) {
    const MachineModel empty;
    std::filesystem::create_directories(empty.root() / "sys/block");
    options.machine = empty.root();
    expect_refused({{none, "1\n"}, {none, "\n"}, {none, "q\n"}}, "nothing was written");
}

TEST_F(Menu, OffersNoCardThatIsTooSmall) {
    options.image_size = std::uint64_t{1} << 40;
    expect_refused({{none, "q\n"}}, "nothing was written");
}

}  // namespace
}  // namespace makina::flashing
