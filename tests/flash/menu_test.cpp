#include <gtest/gtest.h>

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
