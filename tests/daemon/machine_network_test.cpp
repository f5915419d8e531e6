#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <csignal>

#include "builder/process.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/machine/machine.hpp"
#include "firstboot/machine/network.hpp"
#include "firstboot/node/take_address.hpp"
#include "tests/unit/child.hpp"
#include "tests/unit/scratch.hpp"

namespace makina {
namespace {

/// A network namespace for as long as it lives, held by a process that sleeps in it.
class Namespace {
  public:
    Namespace() {
        std::array<int, 2> ends{};
        if (pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("cannot make a pipe");
        const Descriptor reader(ends[0]);
        Descriptor writer(ends[1]);
        holder_ = fork();
        if (holder_ == 0) {
            const char made = unshare(CLONE_NEWNET) == 0 ? 'y' : 'n';
            (void)!write(writer.get(), &made, 1);
            for (;;) pause();
        }
        writer.reset();
        char made = 'n';
        made_ = holder_ > 0 && read(reader.get(), &made, 1) == 1 && made == 'y';
    }
    Namespace(const Namespace&) = delete;
    Namespace& operator=(const Namespace&) = delete;
    ~Namespace() {
        if (holder_ <= 0) return;
        kill(holder_, SIGKILL);
        waitpid(holder_, nullptr, 0);
    }
    [[nodiscard]] bool made() const { return made_; }
    [[nodiscard]] std::string holder() const { return std::to_string(holder_); }
    void ip(std::vector<std::string> words) const {
        std::vector<std::string> argv = {"nsenter", "--net", "--target", holder(), "ip"};
        argv.insert(argv.end(), words.begin(), words.end());
        run_checked({argv});
    }
    /// What `work` gives inside.
    [[nodiscard]] std::string inside(const std::function<std::string()>& work) const {
        const Descriptor space(open(("/proc/" + holder() + "/ns/net").c_str(), O_RDONLY | O_CLOEXEC));
        return in_child([&] { return setns(space.get(), CLONE_NEWNET) == 0 ? work() : "cannot go inside"; });
    }

  private:
    pid_t holder_ = -1;
    bool made_ = false;
};

/// Two machines with a cable between them: ours has the card "lan0", the other "far0".
class MachineNetwork : public ::testing::Test {
  protected:
    Namespace ours_, other_;
    void SetUp() override {
        if (!ours_.made() || !other_.made()) GTEST_SKIP() << "making network namespaces needs root";
        if (!have_program("ip") || !have_program("nsenter")) GTEST_SKIP() << "needs iproute2 and util-linux";
        ours_.ip({"link", "add", "lan0", "address", "02:00:00:00:00:01", "type", "veth", "peer", "name", "far0",
                  "address", "02:00:00:00:00:02"});
        ours_.ip({"link", "set", "far0", "netns", other_.holder()});
        ours_.ip({"link", "set", "lan0", "up"});
        other_.ip({"link", "set", "far0", "up"});
    }
    [[nodiscard]] std::string probed(const std::string& address) const {
        return ours_.inside([&] {
            try {
                return probe_address("lan0", address).value_or("nobody");
            } catch (const Error& error) {
                return std::string(error.what());
            }
        });
    }
};

TEST_F(MachineNetwork, AnAddressInUseIsFoundWithItsOwner) {
    other_.ip({"address", "add", "192.168.3.251/24", "dev", "far0"});
    EXPECT_EQ(probed("192.168.3.251"), "02:00:00:00:00:02");
}

TEST_F(MachineNetwork, AFreeAddressIsFree) {
    other_.ip({"address", "add", "192.168.3.251/24", "dev", "far0"});
    EXPECT_EQ(probed("192.168.3.252"), "nobody");
}

TEST_F(MachineNetwork, ItsOwnAddressIsNoConflict) {
    ours_.ip({"address", "add", "192.168.3.251/24", "dev", "lan0"});
    EXPECT_EQ(probed("192.168.3.251"), "nobody");
}

TEST_F(MachineNetwork, ASecondCardOfOursOnTheSameNetIsNoConflict) {
    // Both cards of ours and the other machine hang on one switch; the second card answers for the address.
    ours_.ip({"link", "add", "switch0", "type", "bridge"});
    ours_.ip({"link", "add", "lan1", "type", "veth", "peer", "name", "port1"});
    ours_.ip({"link", "set", "port1", "master", "switch0", "up"});
    ours_.ip({"link", "set", "switch0", "up"});
    ours_.ip({"link", "set", "lan1", "up"});
    ours_.ip({"address", "add", "192.168.3.251/24", "dev", "switch0"});
    const std::string found = ours_.inside([] { return probe_address("lan1", "192.168.3.251").value_or("nobody"); });
    EXPECT_EQ(found, "nobody");
}

TEST_F(MachineNetwork, TwoThatProbeAtOnceHearEachOther) {
    const Descriptor space(open(("/proc/" + other_.holder() + "/ns/net").c_str(), O_RDONLY | O_CLOEXEC));
    ChildProcess second([&] {
        if (setns(space.get(), CLONE_NEWNET) != 0) return std::string("cannot go inside");
        // The one that begins later is heard by the other, which listens for a second; so it may have to try again.
        std::string heard;
        for (int tries = 0; tries < 3; ++tries) heard += probe_address("far0", "192.168.3.251").value_or("-") + " ";
        return heard;
    });
    std::string first;
    for (int tries = 0; tries < 3; ++tries) first += probed("192.168.3.251") + " ";
    EXPECT_THAT(first + second.result(), ::testing::HasSubstr("02:00:00:00:00:0"));
}

TEST_F(MachineNetwork, SaysThatACardIsMissingOrDown) {
    EXPECT_EQ(ours_.inside([] {
        try {
            return probe_address("eth9", "192.168.3.251").value_or("nobody");
        } catch (const Error& error) {
            return std::string(error.what());
        }
    }),
              "no network interface eth9");
    ours_.ip({"link", "set", "lan0", "down"});
    EXPECT_EQ(probed("192.168.3.251"), "asking for 192.168.3.251 on lan0: network is down");
}

TEST_F(MachineNetwork, TheAddressIsTakenBesideADaemonUnlessAnotherHasIt) {
    const Scratch scratch;
    const std::string settings = "etc/systemd/network/10-makina.network";
    scratch.write("root/" + settings, "Name=lan0\nAddress=192.168.3.251/24\nDuplicateAddressDetection=ipv4\n");
    // A networkd that reads the settings which the program has written.
    scratch.write("programs/networkctl",
                  "#!/bin/sh\nexec ip address add $(sed -n s/^Address=//p "
                  "$MAKINA_ROOT/run/systemd/network/00-makina-ask.network) dev lan0\n");
    std::filesystem::permissions(scratch / "programs/networkctl", std::filesystem::perms::owner_all);
    const auto taken = [&] {
        return ours_.inside([&] {
            const auto daemon = real_machine({.root = scratch / "root"});
            const auto machine =
                real_machine({.root = scratch / "root", .programs = scratch / "programs", .beside = true});
            take_address(*machine, "/" + settings);
            std::string addresses;
            for (const Interface& one : machine->interfaces()) {
                for (const std::string& address : one.addresses) addresses += one.name + " " + address;
            }
            return addresses;
        });
    };
    other_.ip({"address", "add", "192.168.3.251/24", "dev", "far0"});
    EXPECT_EQ(taken(), "");
    other_.ip({"address", "delete", "192.168.3.251/24", "dev", "far0"});
    EXPECT_EQ(taken(), "lan0 192.168.3.251/24");
}

TEST_F(MachineNetwork, InterfacesAreListedWithTheirAddresses) {
    ours_.ip({"address", "add", "192.168.3.251/24", "dev", "lan0"});
    ours_.ip({"address", "add", "192.168.3.240/32", "dev", "lan0", "label", "lan0:vip"});
    // Loopback is there too, and is none.
    ours_.ip({"link", "set", "lo", "up"});
    const auto told = [](bool hardware_only) {
        return [hardware_only] {
            std::string text;
            for (const Interface& one : wired_interfaces(hardware_only)) {
                text += one.name + " " + one.mac + (one.carrier ? " carrier" : "");
                for (const std::string& address : one.addresses) text += " " + address;
                text += "\n";
            }
            return text;
        };
    };
    EXPECT_EQ(ours_.inside(told(false)), "lan0 02:00:00:00:00:01 carrier 192.168.3.251/24 192.168.3.240/32\n");
    // None of them belongs to a device.
    EXPECT_EQ(ours_.inside(told(true)), "");
    other_.ip({"link", "set", "far0", "down"});
    const std::string without = "lan0 02:00:00:00:00:01 192.168.3.251/24 192.168.3.240/32\n";
    // The kernel notices a moment later.
    for (int tries = 0; tries < 200 && ours_.inside(told(false)) != without; ++tries) usleep(50'000);
    EXPECT_EQ(ours_.inside(told(false)), without);
}

}  // namespace
}  // namespace makina
