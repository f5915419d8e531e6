#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>

#include "firstboot/bundle/error.hpp"
#include "firstboot/machine/deliveries.hpp"
#include "firstboot/machine/machine.hpp"
#include "firstboot/status_lines.hpp"
#include "tests/unit/child.hpp"
#include "tests/unit/scratch.hpp"

namespace makina {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

template <typename Work>
std::string refusal(Work work) {
    try {
        work();
    } catch (const Error& error) {
        return error.what();
    }
    return "nothing was refused";
}

/// The real machine over the files of a folder.
class MachineHost : public ::testing::Test {
  protected:
    Scratch scratch_;
    [[nodiscard]] std::unique_ptr<Host> machine() const { return real_machine({.root = scratch_.path()}); }
};

TEST_F(MachineHost, IsThereOnlyOnce) {
    const auto first = machine();
    EXPECT_EQ(refusal([&] { (void)machine(); }),
              "another makina-firstboot is running: process " + std::to_string(getpid()));
}

TEST_F(MachineHost, IsFreeAgainWhenItsProcessIsKilled) {
    EXPECT_FALSE(killed_after(std::chrono::milliseconds(300), [&] {
        const auto held = machine();
        for (;;) pause();
    }));
    EXPECT_NO_THROW((void)machine());
}

TEST_F(MachineHost, TellsItsStatusToTheEndAndAfterIt) {
    Status status;
    status.state = "waiting";
    status.stage = "network";
    status.waiting_for = "the network cable of eth0";
    {
        const auto host = machine();
        host->publish(status);
        EXPECT_THAT(ask_status(scratch_.path()), HasSubstr("\"the network cable of eth0\""));
        EXPECT_EQ(ask_status(scratch_.path()), slurp(scratch_ / "run/makina/status.json"));
    }
    EXPECT_THAT(to_lines(ask_status(scratch_.path())),
                AllOf(HasSubstr("state         waiting\n"), HasSubstr("waiting for   the network cable of eth0\n")));
}

TEST_F(MachineHost, ChangesNothingOfTheMachineItRunsOn) {
    std::array<char, 256> before{};
    ASSERT_EQ(gethostname(before.data(), before.size()), 0);
    const auto host = machine();
    host->set_hostname("master-1");
    EXPECT_EQ(slurp(scratch_ / "proc/sys/kernel/hostname"), "master-1\n");
    const Moment now = host->moment();
    host->set_clock(now.now + 1'000'000);
    EXPECT_GE(host->moment().now, now.now + 1'000'000);
    // Never back.
    host->set_clock(now.now);
    EXPECT_GE(host->moment().now, now.now + 1'000'000);
    EXPECT_LT(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now()), now.now + 500'000);
    std::array<char, 256> after{};
    ASSERT_EQ(gethostname(after.data(), after.size()), 0);
    EXPECT_STREQ(before.data(), after.data());
    EXPECT_EQ(host->run({"/bin/true"}, 5).status, 127);
    EXPECT_EQ(refusal([&] { host->write_table(std::string(512, '\0')); }),
              "the root folder is not the top of a card's file system");
    EXPECT_EQ(refusal([&] { host->grow_root(); }), "the root folder is not the top of a card's file system");
}

TEST_F(MachineHost, TheClockIsSyncedIfTimesyncdHasSaidSo) {
    const auto host = machine();
    EXPECT_FALSE(host->moment().synced);
    scratch_.write("run/systemd/timesync/synchronized", "");
    EXPECT_TRUE(host->moment().synced);
    EXPECT_GE(host->uptime(), 0);
}

TEST_F(MachineHost, KnowsItsBoard) {
    const auto host = machine();
    EXPECT_EQ(host->model(), "");
    EXPECT_EQ(host->serial(), "");
    scratch_.write("proc/cpuinfo", "processor\t: 0\nSerial\t\t: 10000000abcdef01\nModel\t\t: no\n");
    EXPECT_EQ(host->serial(), "10000000abcdef01");
    using namespace std::string_literals;
    scratch_.write("proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\0"s);
    scratch_.write("proc/device-tree/serial-number", "10000000abcdef02\0"s);
    EXPECT_EQ(host->model(), "Raspberry Pi 4 Model B Rev 1.4");
    EXPECT_EQ(host->serial(), "10000000abcdef02");
    EXPECT_EQ(host->random(33).size(), 33U);
    EXPECT_NE(host->random(16), host->random(16));
    EXPECT_THAT(host->architecture(), ::testing::AnyOf("arm64", "amd64"));
}

TEST_F(MachineHost, BlinksForEachStateInAWayOfItsOwn) {
    for (const char* const file : {"trigger", "delay_on", "delay_off"}) {
        scratch_.write(std::string("sys/class/leds/ACT/") + file, "");
    }
    const auto host = machine();
    std::set<std::string> patterns;
    for (const Light light : {Light::working, Light::waiting, Light::refused, Light::failed, Light::joined}) {
        for (const char* const file : {"trigger", "delay_on", "delay_off"}) {
            scratch_.write(std::string("sys/class/leds/ACT/") + file, "");
        }
        host->show(light);
        EXPECT_EQ(slurp(scratch_ / "sys/class/leds/ACT/trigger"), "timer");
        patterns.insert(slurp(scratch_ / "sys/class/leds/ACT/delay_on") + "/" +
                        slurp(scratch_ / "sys/class/leds/ACT/delay_off"));
    }
    EXPECT_EQ(patterns.size(), 5U);
}

TEST_F(MachineHost, ABoardWithoutALightIsFine) {
    EXPECT_NO_THROW(machine()->show(Light::failed));
}

TEST_F(MachineHost, ALineForPeopleIsOneLineOfPrintableText) {
    const auto file = scratch_ / "errors";
    const std::string said = in_child([&] {
        const auto host = machine();
        const Descriptor errors(open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        dup2(errors.get(), STDERR_FILENO);
        host->say("one\ntwo \x1b[31m");
        setenv("JOURNAL_STREAM", "1:2", 1);
        host->say("three");
        return std::string();
    });
    EXPECT_EQ(said, "");
    EXPECT_EQ(slurp(file), "makina: one?two ?[31m\n<4>makina: three\n");
}

TEST_F(MachineHost, FindsAndWipesABundleOnTheBootPartition) {
    const auto host = machine();
    EXPECT_THAT(host->deliveries(), IsEmpty());
    const auto file = scratch_.write("boot/firmware/makina.bundle", "sealed");
    auto found = host->deliveries();
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].place, "/boot/firmware/makina.bundle");
    EXPECT_EQ(found[0].bytes, "sealed");
    host->wipe_delivery(found[0]);
    EXPECT_FALSE(std::filesystem::exists(file));
    host->wipe_delivery(found[0]);
}

TEST_F(MachineHost, WhatIsNoBundleIsADeliveryWithoutBytes) {
    const auto host = machine();
    const auto file = scratch_.write("boot/firmware/makina.bundle", std::string(Bundle::largest, 'x'));
    EXPECT_EQ(host->deliveries().at(0).bytes.size(), Bundle::largest);
    scratch_.write("boot/firmware/makina.bundle", std::string(Bundle::largest + 1, 'x'));
    EXPECT_EQ(host->deliveries().at(0).bytes, "");
    std::filesystem::remove(file);
    ASSERT_EQ(mkfifo(file.c_str(), 0600), 0);
    EXPECT_EQ(host->deliveries().at(0).bytes, "");
    std::filesystem::remove(file);
    std::filesystem::create_symlink(scratch_.write("etc/shadow", "secret"), file);
    EXPECT_EQ(host->deliveries().at(0).bytes, "");
    std::filesystem::remove(file);
    std::filesystem::create_directory(file);
    EXPECT_EQ(host->deliveries().at(0).bytes, "");
    EXPECT_EQ(refusal([&] { host->wipe_delivery({"sda1:makina.bundle", ""}); }), "no stick here: sda1:makina.bundle");
}

/// /sys as it is with a stick of two partitions, one without, a card reader without a card, a disk that stays, and an
/// SD card.
TEST_F(MachineHost, SticksAreRemovableUsbDisks) {
    const std::string sys = (scratch_ / "sys").string();
    const auto disk = [&](const std::string& bus, const std::string& name, const std::string& removable,
                          const std::string& size, const std::vector<std::string>& partitions) {
        const std::string folder = "sys/devices/" + bus + "/block/" + name;
        scratch_.write(folder + "/removable", removable);
        scratch_.write(folder + "/size", size);
        scratch_.write(folder + "/diskseq", "7\n");
        std::filesystem::create_directories(scratch_ / "sys/class/block");
        std::filesystem::create_symlink(scratch_ / folder, scratch_ / ("sys/class/block/" + name));
        for (const std::string& part : partitions) {
            scratch_.write(folder + "/" + part + "/partition", "1\n");
            scratch_.write(folder + "/" + part + "/size", "2048\n");
            std::filesystem::create_symlink(scratch_ / (folder + "/" + part), scratch_ / ("sys/class/block/" + part));
        }
    };
    disk("platform/scb/xhci/usb1/1-1", "sda", "1\n", "4096\n", {"sda1", "sda2"});
    disk("platform/scb/xhci/usb1/1-2", "sdb", "1\n", "4096\n", {});
    disk("platform/scb/xhci/usb1/1-3", "sdc", "1\n", "0\n", {});
    disk("platform/scb/xhci/usb2/2-1", "sdd", "0\n", "4096\n", {"sdd1"});
    disk("platform/emmc2bus/mmc0", "mmcblk0", "0\n", "4096\n", {"mmcblk0p1"});
    std::string names;
    for (const Stick& stick : usb_sticks(sys)) names += stick.name + ":" + std::to_string(stick.plugged) + " ";
    EXPECT_EQ(names, "sda1:7 sda2:7 sdb:7 ");
    EXPECT_THAT(usb_sticks((scratch_ / "none").string()), IsEmpty());
}

TEST(MachineStatusLines, ShowWhatSaysSomething) {
    Status status;
    status.node = "master-1";
    status.last_error = "a \"quoted\" line\nwith an end";
    status.clock_synced = true;
    status.steps = {{"identity", true}, {"storage", false}};
    const std::string lines = to_lines(to_json(status));
    EXPECT_THAT(lines, HasSubstr("node          master-1\n"));
    EXPECT_THAT(lines, HasSubstr("last error    a \"quoted\" line"));
    EXPECT_THAT(lines, HasSubstr("clock synced  yes\n"));
    EXPECT_THAT(lines, HasSubstr("steps         identity done, storage\n"));
    EXPECT_THAT(lines, ::testing::Not(HasSubstr("waiting")));
}

TEST(MachineStatusLines, RefuseWhatIsNoStatus) {
    for (const char* const text : {"", "x", "{", "{}x", "{\"a\"}", "{\"a\":}", "{\"a\":\"b}", "{\"a\":[1]}",
                                   "{\"a\":\"\\u12", "{\"a\":{}}", "{\"a\":1.5}", "[]"}) {
        EXPECT_EQ(refusal([&] { (void)to_lines(text); }), "the status is not what makina-firstboot writes") << text;
    }
    EXPECT_EQ(to_lines("{}"), "");
    EXPECT_EQ(to_lines("{\"a\":\"\\u001b[31m\"}"), "a             ?[31m\n");
}

}  // namespace
}  // namespace makina
