#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/handle.hpp"
#include "firstboot/bundle/payload.hpp"
#include "firstboot/machine/machine.hpp"
#include "firstboot/node/node.hpp"
#include "firstboot/run.hpp"
#include "tests/daemon/scene.hpp"
#include "tests/unit/scratch.hpp"

// Rows of the table of attacks, driven through the daemon.
namespace makina {
namespace {

using namespace makina::test;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* role = "worker";
constexpr const char* stick = "sda1:makina.bundle";
constexpr const char* own_key = "/etc/makina/pki/node.key";

std::string sealed(std::uint64_t epoch) {
    return seal(bundle_of(role, epoch), first_signer());
}

/// As somebody would have it who has no signer that the card believes.
std::string forged() {
    Bundle bundle = bundle_of(role, 3);
    for (Payload& payload : bundle.payloads) payload.content = "an attacker's " + payload.name;
    return seal(bundle, second_signer());
}

TEST(Row5, AnOlderCardThatTheNodeHasOutgrownChangesNothing) {
    for (const std::string& one : roles()) {
        FakeMachine machine = new_machine(one);
        FakeHost(machine).put(kept::epoch, "5\n", {0600, "root", "root"});
        const FakeMachine before = machine;
        const auto host = host_of(machine, one);
        host->after_change = nullptr;
        host->stop_at = a_day;
        EXPECT_THROW((void)run(*host, {}), Untrusted);
        EXPECT_EQ(host->statuses.back().state, "refused");
        EXPECT_EQ(host->statuses.back().last_error,
                  "/var/lib/makina/bundle: epoch 1 is older than 5, which this node has used");
        EXPECT_THAT(host->changes, IsEmpty());
        EXPECT_EQ(machine.files, before.files);
    }
}

TEST(Row5, AnOlderBundleThatIsHandedOverChangesNothing) {
    FakeMachine machine = new_machine(role);
    machine.files[kept::bundle].content = sealed(2);
    run_to_end(*host_of(machine, role));
    machine.deliveries = {{stick, sealed(1)}};
    const auto host = host_of(machine, role);
    host->stop_at = a_day;
    EXPECT_EQ(run(*host, {}), Ending::stopped);
    EXPECT_EQ(host->statuses.back().state, "joined");
    EXPECT_THAT(host->statuses.back().notice, HasSubstr("epoch 1 is older than 2, which this node has used"));
    EXPECT_THAT(machine.files.at(own_key).content, HasSubstr("secret of worker 2"));
    EXPECT_EQ(machine.files.at(kept::epoch).content, "2\n");
}

TEST(Row5, TheSameCardTwiceIsOneCard) {
    FakeMachine machine = new_machine(role);
    const FakeFile card = machine.files.at(kept::bundle);
    run_to_end(*host_of(machine, role));
    const std::string before = essence(machine);
    // Somebody puts the bundle back that it has joined with.
    machine.files[kept::bundle] = card;
    run_to_end(*host_of(machine, role));
    EXPECT_EQ(essence(machine), before);
}

TEST(Row8, ABundleThatChangesBehindItsVerificationIsUsedAsItWasVerified) {
    FakeMachine machine = new_machine(role);
    const auto host = host_of(machine, role);
    std::size_t read = 0;
    host->after_read = [&](FakeHost& one, const std::string& path) {
        if (path != kept::bundle) return;
        ++read;
        one.machine.files.at(kept::bundle).content = forged();
    };
    run_to_end(*host);
    EXPECT_EQ(read, 1U) << "what is read twice may be two things";
    EXPECT_TRUE(machine.files.contains(kept::joined));
    for (const Payload& payload : bundle_of(role).payloads) {
        const std::string path(payload_kind(role, payload.name)->path);
        EXPECT_EQ(machine.files.at(path).content, payload.content) << path;
    }
}

TEST(Row8, AStickThatChangesBetweenTwoLooksIsNeverBelieved) {
    std::size_t taken = 0;
    for (std::size_t at = 1; at <= 8; ++at) {
        FakeMachine machine = new_machine(role);
        machine.deliveries = {{stick, sealed(2)}};
        const auto host = host_of(machine, role);
        std::size_t looked = 0;
        host->after_read = [&](FakeHost& one, const std::string& path) {
            if (path.empty() && ++looked == at && !one.machine.deliveries.empty()) {
                one.machine.deliveries[0].bytes = forged();
            }
        };
        run_to_end(*host);
        const std::string key = machine.files.at(own_key).content;
        EXPECT_THAT(key, AnyOf(HasSubstr("secret of worker 1"), HasSubstr("secret of worker 2"))) << at;
        if (key.find("worker 2") != std::string::npos) ++taken;
    }
    EXPECT_GT(taken, 0U) << "the control: nothing was taken";
    EXPECT_LT(taken, 8U) << "the control: it never changed in time";
}

TEST(Row15, ABundleOnTheBootPartitionIsOverwrittenThere) {
    const Scratch scratch;
    const std::string secret = "a bundle with keys in it";
    const auto file = scratch.write("boot/firmware/makina.bundle", secret);
    const Descriptor before(open(file.c_str(), O_RDONLY | O_CLOEXEC));
    {
        const auto host = real_machine({.root = scratch.path()});
        host->wipe_delivery(host->deliveries().at(0));
    }
    EXPECT_FALSE(std::filesystem::exists(file));
    std::string bytes(secret.size(), 'x');
    ASSERT_EQ(pread(before.get(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(secret.size()));
    EXPECT_EQ(bytes, std::string(secret.size(), '\0'));
}

TEST(Row15, NothingOfABundleIsEverPutOnTheBootPartition) {
    for (const std::string& one : roles()) {
        FakeMachine machine = new_machine(one);
        machine.deliveries = {{"/boot/firmware/makina.bundle", seal(bundle_of(one, 2), first_signer())}};
        const auto host = host_of(machine, one);
        run_to_end(*host);
        EXPECT_THAT(machine.deliveries, IsEmpty());
        for (const std::string& change : host->changes) {
            const bool there = change.find(" /boot/") != std::string::npos;
            EXPECT_TRUE(!there || change == "wipe delivery /boot/firmware/makina.bundle") << change;
        }
    }
}

TEST(Row15, TheMarkIsWrittenBeforeTheSecretsGoAndTheCardForgetsThemAfterwards) {
    for (const std::string& one : roles()) {
        FakeMachine machine = new_machine(one);
        const auto host = host_of(machine, one);
        run_to_end(*host);
        const auto place = [&](const std::string& change) {
            const auto found = std::find(host->changes.begin(), host->changes.end(), change);
            EXPECT_NE(found, host->changes.end()) << change;
            return found - host->changes.begin();
        };
        EXPECT_LT(place(std::string("write ") + kept::joined), place(std::string("wipe ") + kept::bundle));
        EXPECT_LT(place(std::string("wipe ") + kept::bundle), place("trim"));
    }
}

TEST(Row15, ASupersededBundleAndItsKeysAreOverwritten) {
    for (const std::string& one : roles()) {
        FakeMachine machine = new_machine(one);
        machine.deliveries = {{stick, seal(bundle_of(one, 2), first_signer())}};
        run_to_end(*host_of(machine, one));
        // The same for a node that has its keys already.
        machine.deliveries = {{stick, seal(bundle_of(one, 3), first_signer())}};
        const auto host = host_of(machine, one);
        run_to_end(*host);
        EXPECT_EQ(std::count(host->changes.begin(), host->changes.end(), std::string("replace ") + own_key), 1) << one;
        for (const std::string& freed : machine.freed) EXPECT_EQ(freed.find("secret of "), std::string::npos) << one;
        for (const auto& [path, file] : machine.files) {
            for (const char* const old : {" 1: ", " 2: "}) {
                EXPECT_EQ(file.content.find("secret of " + one + old), std::string::npos) << path;
            }
        }
    }
}

}  // namespace
}  // namespace makina
