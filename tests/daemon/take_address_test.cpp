#include "firstboot/node/take_address.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "firstboot/bundle/error.hpp"
#include "tests/daemon/scene.hpp"

namespace makina {
namespace {

using namespace makina::test;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

/// A machine just powered on: networkd has settings without an address, and reads the others when it is told.
class TakeAddress : public testing::Test {
  protected:
    FakeMachine machine_ = new_machine("worker");
    std::unique_ptr<FakeHost> host_ = host_of(machine_, "worker");
    std::string read_;  ///< what networkd had before it when it was told to read its files

    void SetUp() override {
        host_->world = nullptr;
        host_->programs["networkctl"] = [this](FakeHost& host, const std::vector<std::string>& argv) {
            EXPECT_THAT(argv, ElementsAre("networkctl", "reload"));
            read_ = host.text(asked_settings);
            host.machine.interfaces[0].addresses = {"192.168.3.251/24"};
            return Answer{};
        };
    }
    std::string refused(const std::string& file = network_file) {
        try {
            take_address(*host_, file);
        } catch (const Error& error) {
            return error.what();
        }
        return "nothing was refused";
    }
};

TEST_F(TakeAddress, HasNetworkdTakeItAtOnceIfNobodyHasIt) {
    take_address(*host_, network_file);
    EXPECT_EQ(read_,
              "# as an image has it\n[Match]\nName=eth0 en*\n\n[Network]\nGateway=192.168.3.1\n\n[Address]\n"
              "Address=192.168.3.251/24\n");
    EXPECT_THAT(host_->lines, ElementsAre("192.168.3.251/24 is on eth0"));
    // What is on the card stays as it is: the next boot asks again.
    EXPECT_THAT(host_->changes,
                ElementsAre("write /run/systemd/network/00-makina-ask.network", "run networkctl reload"));
    EXPECT_EQ(host_->text(network_file), network_settings());
}

TEST_F(TakeAddress, TellsARunningNetworkdWithoutAProgram) {
    host_->reloads["systemd-networkd.service"] = [](FakeHost& host) {
        host.machine.interfaces[0].addresses = {"192.168.3.251/24"};
    };
    take_address(*host_, network_file);
    EXPECT_THAT(host_->changes,
                ElementsAre("write /run/systemd/network/00-makina-ask.network", "reload systemd-networkd.service"));
}

TEST_F(TakeAddress, TakesNoneThatAnotherMachineHas) {
    machine_.neighbours["192.168.3.251"] = "dc:a6:32:99:99:99";
    take_address(*host_, network_file);
    EXPECT_THAT(host_->changes, IsEmpty());
    EXPECT_THAT(host_->lines, ElementsAre("192.168.3.251 is in use by dc:a6:32:99:99:99: it is not taken"));
}

TEST_F(TakeAddress, WaitsForACableAndNotForEver) {
    machine_.interfaces[0].carrier = false;
    host_->world = [](FakeHost& host) { host.machine.interfaces[0].carrier = host.machine.uptime > 8; };
    take_address(*host_, network_file);
    EXPECT_EQ(host_->changes.size(), 2U);

    machine_ = new_machine("worker");
    machine_.interfaces[0].carrier = false;
    host_->world = nullptr;
    host_->changes.clear();
    const std::int64_t before = machine_.uptime;
    take_address(*host_, network_file);
    EXPECT_LE(machine_.uptime - before, 11);
    EXPECT_THAT(host_->changes, IsEmpty());
    EXPECT_EQ(host_->lines.back(), "no network cable; systemd-networkd asks for 192.168.3.251/24 when there is one");
}

TEST_F(TakeAddress, TakesTheInterfaceThatTheSettingsMean) {
    machine_.interfaces = {{"wlan0", "dc:a6:32:00:00:02", true, {}}, {"enp1s0", "dc:a6:32:00:00:01", true, {}}};
    host_->programs["networkctl"] = [](FakeHost& host, const std::vector<std::string>&) {
        host.machine.interfaces[1].addresses = {"192.168.3.251/24"};
        return Answer{};
    };
    take_address(*host_, network_file);
    EXPECT_THAT(host_->lines, ElementsAre("192.168.3.251/24 is on enp1s0"));
}

TEST_F(TakeAddress, DoesNothingIfItIsThere) {
    machine_.interfaces[0].addresses = {"192.168.3.251/24"};
    take_address(*host_, network_file);
    EXPECT_THAT(host_->changes, IsEmpty());
}

TEST_F(TakeAddress, SaysWhatIsWrong) {
    EXPECT_EQ(refused("/etc/systemd/network/none.network"),
              "/etc/systemd/network/none.network names no interface or no address");
    host_->programs["networkctl"] = [](FakeHost&, const std::vector<std::string>&) {
        return Answer{1, "", "no bus\n"};
    };
    EXPECT_EQ(refused(), "networkctl reload: no bus");
    host_->programs["networkctl"] = [](FakeHost&, const std::vector<std::string>&) { return Answer{}; };
    EXPECT_EQ(refused(), "systemd-networkd does not take 192.168.3.251/24");
}

}  // namespace
}  // namespace makina
