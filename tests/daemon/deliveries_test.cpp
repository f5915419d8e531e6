#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "firstboot/bundle/error.hpp"
#include "firstboot/node/node.hpp"
#include "firstboot/run.hpp"
#include "tests/daemon/scene.hpp"

namespace makina {
namespace {

using namespace makina::test;
using testing::HasSubstr;

using Kind = Accident::Kind;

constexpr const char* role = "worker";
constexpr const char* stick = "/run/media/stick/makina.bundle";

std::string sealed(std::uint64_t epoch) {
    return seal(bundle_of(role, epoch), first_signer());
}

FakeMachine joined_machine() {
    FakeMachine machine = new_machine(role);
    const auto host = host_of(machine, role);
    run_to_end(*host);
    return machine;
}

std::string epoch_of_mark(const FakeMachine& machine) {
    const auto found = machine.files.find(kept::joined);
    return found == machine.files.end() ? "none" : std::to_string(decode_bundle(found->second.content).epoch);
}

/// The bundle with a trust file among its payloads.
Bundle bringing(Bundle bundle, const Trust& trust) {
    bundle.payloads.push_back({"trust", encode(trust)});
    std::sort(bundle.payloads.begin(), bundle.payloads.end(),
              [](const Payload& a, const Payload& b) { return a.name < b.name; });
    return bundle;
}

TEST(Delivery, IsTakenAtEveryPowerCutAndEndsTheSame) {
    for (const FakeMachine& before : {new_machine(role), joined_machine()}) {
        FakeMachine undisturbed = before;
        undisturbed.deliveries = {{stick, sealed(2)}};
        const auto first = host_of(undisturbed, role);
        run_to_end(*first);
        EXPECT_EQ(epoch_of_mark(undisturbed), "2");
        EXPECT_EQ(undisturbed.files.at(kept::epoch).content, "2\n");
        EXPECT_TRUE(undisturbed.deliveries.empty());
        EXPECT_THAT(undisturbed.files.at("/etc/makina/pki/node.key").content, HasSubstr("secret of worker 2"));
        const std::string expected = essence(undisturbed);
        for (const Kind kind : {Kind::cut_before, Kind::cut_half_done, Kind::cut_after}) {
            for (std::size_t at = 1; at <= first->changes.size(); ++at) {
                FakeMachine machine = before;
                machine.deliveries = {{stick, sealed(2)}};
                const auto host = host_of(machine, role);
                host->accident = Accident{kind, at};
                EXPECT_THROW(run_to_end(*host), Cut);
                count("cut_points");
                power_cycle(machine);
                const auto next = host_of(machine, role);
                run_to_end(*next);
                EXPECT_EQ(essence(machine), expected);
                if (HasFailure()) {
                    count("cut_points_failed");
                    FAIL() << "cut at " << at << ": " << first->changes.at(at - 1);
                }
            }
        }
    }
}

TEST(Delivery, IsTakenOnceAFaultIsOver) {
    FakeMachine undisturbed = joined_machine();
    undisturbed.deliveries = {{stick, sealed(2)}};
    const FakeMachine before = undisturbed;
    const auto first = host_of(undisturbed, role);
    run_to_end(*first);
    for (const Kind kind : {Kind::fail_before, Kind::fail_after}) {
        for (std::size_t at = 1; at <= first->changes.size(); ++at) {
            FakeMachine machine = before;
            const auto host = host_of(machine, role);
            host->accident = Accident{kind, at};
            run_to_end(*host);
            count("fault_points");
            EXPECT_EQ(essence(machine), essence(undisturbed)) << at << ": " << first->changes.at(at - 1);
        }
    }
}

TEST(Delivery, IsDurableBeforeItIsWipedAndWipedBeforeItsEpochIsRemembered) {
    FakeMachine machine = joined_machine();
    machine.deliveries = {{stick, sealed(2)}};
    const auto host = host_of(machine, role);
    run_to_end(*host);
    const std::vector<std::string> expected = {"write /var/lib/makina/journal", "write /var/lib/makina/bundle",
                                               "wipe delivery /run/media/stick/makina.bundle",
                                               "write /var/lib/makina/epoch"};
    EXPECT_EQ(std::vector(host->changes.begin(), host->changes.begin() + 4), expected);
}

struct Refused {
    const char* name;
    std::string bytes;
    std::string words;
};

std::vector<Refused> refused() {
    Bundle foreign = bundle_of(role, 2);
    foreign.node = "worker-2";
    Bundle another = bundle_of(role, 2);
    another.card = std::string(32, 'b');
    Bundle elsewhere = bundle_of(role, 2);
    elsewhere.cluster_id = std::string(32, 'a');
    std::string changed = sealed(2);
    changed.back() = 'X';
    return {
        {"Lower", sealed(1), "epoch 1 is older than 2, which this node has used"},
        {"AnotherOfTheSameEpoch", seal(another, first_signer()), "epoch 2 is not newer than 2, which this node has"},
        {"FastForward", sealed(1003), "epoch 1003 is more than 1000 above 2, which this node has used"},
        {"Foreign", seal(foreign, first_signer()), "it is for worker-2, and this is worker-1"},
        {"OfAnotherCluster", seal(elsewhere, first_signer()), "it is for worker-1, and this is worker-1"},
        {"OfAnotherSigner", seal(bundle_of(role, 3), second_signer()), "nobody whom this card believes has sealed it"},
        {"Changed", changed, "SHA-256"},
        {"Garbage", "\x7f\x45\x4c\x46", "it is no sealed bundle"},
        {"Empty", "", "it is empty, too large or cannot be read"}};
}

class Refusal : public testing::TestWithParam<Refused> {};

TEST_P(Refusal, StaysIsNamedAndChangesNothing) {
    for (const bool joined : {false, true}) {
        FakeMachine machine = new_machine(role);
        machine.files[kept::bundle].content = sealed(2);
        if (joined) run_to_end(*host_of(machine, role));
        FakeMachine without = machine;
        machine.deliveries = {{stick, GetParam().bytes}};
        const auto host = host_of(machine, role);
        run_to_end(*host);
        EXPECT_EQ(host->statuses.back().notice.rfind(std::string(stick) + " is refused: ", 0), 0U);
        EXPECT_THAT(host->statuses.back().notice, HasSubstr(GetParam().words));
        ASSERT_EQ(machine.deliveries.size(), 1U);
        EXPECT_EQ(machine.deliveries[0].bytes, GetParam().bytes);
        EXPECT_EQ(epoch_of_mark(machine), "2");
        if (joined) {
            EXPECT_EQ(host->changes, std::vector<std::string>());
        }
        run_to_end(*host_of(without, role));
        machine.deliveries.clear();
        EXPECT_EQ(essence(machine), essence(without));
    }
}

INSTANTIATE_TEST_SUITE_P(Every, Refusal, testing::ValuesIn(refused()),
                         [](const auto& parameter) { return std::string(parameter.param.name); });

TEST(Delivery, ThatIsTheNodesOwnIsOnlyWiped) {
    FakeMachine machine = new_machine(role);
    machine.deliveries = {{stick, sealed(1)}};
    const auto host = host_of(machine, role);
    const Verification verification = verify(*host);
    EXPECT_TRUE(verification.outcome.done);
    EXPECT_EQ(verification.outcome.notice, "");
    EXPECT_EQ(host->changes.at(0), std::string("wipe delivery ") + stick);
    EXPECT_EQ(std::count(host->changes.begin(), host->changes.end(), "write /var/lib/makina/bundle"), 0);

    // The same once the node has joined and its own copy is gone.
    FakeMachine joined = joined_machine();
    joined.deliveries = {{stick, sealed(1)}};
    const auto later = host_of(joined, role);
    run_to_end(*later);
    EXPECT_TRUE(joined.deliveries.empty());
}

TEST(Delivery, OnACardWithoutABundleIsTaken) {
    FakeMachine machine = new_machine(role);
    machine.files.erase(kept::bundle);
    const auto host = host_of(machine, role);
    host->after_change = nullptr;
    RunOptions options;
    options.most_rounds = 3;
    EXPECT_EQ(run(*host, options), Ending::stopped);
    EXPECT_EQ(host->statuses.back().state, "waiting");
    EXPECT_EQ(host->statuses.back().waiting_for,
              "a bundle: none on this card; put makina.bundle on the boot partition or a USB stick");
    machine.deliveries = {{stick, sealed(7)}};
    const auto next = host_of(machine, role);
    next->after_change = nullptr;
    EXPECT_TRUE(verify(*next).identity.has_value());
    EXPECT_EQ(machine.files.at(kept::epoch).content, "7\n");
}

TEST(Delivery, IsNoticedWhileTheNodeWaits) {
    FakeMachine machine = new_machine(role);
    machine.interfaces[0].carrier = false;
    const auto host = host_of(machine, role);
    const auto world = host->world;
    host->world = [&](FakeHost& one) {
        if (one.machine.uptime > 600 && one.machine.uptime < 700) one.machine.deliveries = {{stick, sealed(1003)}};
        if (one.machine.uptime > 1200 && one.machine.uptime < 1300) one.machine.deliveries = {{stick, sealed(2)}};
        if (one.machine.uptime > 1800) one.machine.interfaces[0].carrier = true;
        world(one);
    };
    run_to_end(*host);
    EXPECT_EQ(epoch_of_mark(machine), "2");
    EXPECT_THAT(host->lines,
                testing::Contains(HasSubstr("note: /run/media/stick/makina.bundle is refused: epoch 1003")));
    EXPECT_EQ(host->statuses.back().notice, "");
}

TEST(Delivery, IsNoticedAfterTheNodeHasJoined) {
    FakeMachine machine = joined_machine();
    const auto host = host_of(machine, role);
    const auto world = host->world;
    host->world = [&](FakeHost& one) {
        if (one.machine.uptime > 600 && one.machine.uptime < 660) one.machine.deliveries = {{stick, sealed(2)}};
        world(one);
    };
    host->stop_at = 3600;
    EXPECT_EQ(run(*host, {}), Ending::stopped);
    EXPECT_EQ(epoch_of_mark(machine), "2");
    EXPECT_EQ(host->statuses.back().state, "joined");
}

TEST(Delivery, TheNewestOfSeveralIsTaken) {
    FakeMachine machine = new_machine(role);
    machine.deliveries = {{"/boot/firmware/makina.bundle", sealed(2)}, {stick, sealed(3)}};
    const auto host = host_of(machine, role);
    run_to_end(*host);
    EXPECT_EQ(epoch_of_mark(machine), "3");
    ASSERT_EQ(machine.deliveries.size(), 1U);
    EXPECT_THAT(host->statuses.back().notice, HasSubstr("epoch 2 is older than 3"));
}

TEST(Delivery, ThatCannotBeWipedIsNotUsed) {
    FakeMachine machine = joined_machine();
    machine.deliveries = {{stick, sealed(2)}};
    const auto host = host_of(machine, role);
    host->accident = Accident{Kind::fail_before, 3, true, "read-only file system"};
    host->stop_at = 3600;
    EXPECT_EQ(run(*host, {}), Ending::stopped);
    EXPECT_EQ(host->changes.at(2), std::string("wipe delivery ") + stick);
    EXPECT_EQ(host->statuses.back().state, "failed");
    EXPECT_THAT(host->statuses.back().last_error, HasSubstr("read-only file system"));
    EXPECT_EQ(machine.files.at("/etc/makina/pki/node.key").content.find("worker 2"), std::string::npos);
    // The stick is taken out.
    machine.deliveries.clear();
    power_cycle(machine);
    run_to_end(*host_of(machine, role));
    EXPECT_EQ(epoch_of_mark(machine), "2");
}

TEST(Delivery, BringsANewSignerAndThenTheOldOneIsNotBelieved) {
    FakeMachine machine = joined_machine();
    Trust both = trust_of(role);
    both.anchors.push_back(second_signer());
    machine.deliveries = {{stick, seal(bringing(bundle_of(role, 2), both), first_signer())}};
    run_to_end(*host_of(machine, role));
    EXPECT_EQ(machine.files.at(kept::trust).content, encode(both));
    // The new one alone, and the old signer was stolen. The bundle that says so is the old signer's last.
    Trust newest = trust_of(role);
    newest.anchors = {second_signer()};
    newest.revoked = {first_signer()};
    const FakeMachine before = [&] {
        FakeMachine with = machine;
        with.deliveries = {{stick, seal(bringing(bundle_of(role, 3), newest), first_signer())}};
        return with;
    }();
    FakeMachine undisturbed = before;
    const auto first = host_of(undisturbed, role);
    run_to_end(*first);
    EXPECT_EQ(epoch_of_mark(undisturbed), "3");
    for (std::size_t at = 1; at <= first->changes.size(); ++at) {
        FakeMachine cut = before;
        const auto host = host_of(cut, role);
        host->accident = Accident{Kind::cut_after, at};
        EXPECT_THROW(run_to_end(*host), Cut);
        count("cut_points");
        power_cycle(cut);
        run_to_end(*host_of(cut, role));
        EXPECT_EQ(essence(cut), essence(undisturbed)) << first->changes.at(at - 1);
    }
    undisturbed.deliveries = {{stick, sealed(4)}};
    const auto refusing = host_of(undisturbed, role);
    run_to_end(*refusing);
    EXPECT_THAT(refusing->statuses.back().notice, HasSubstr("nobody whom this card believes has sealed it"));
    EXPECT_EQ(epoch_of_mark(undisturbed), "3");
}

TEST(Delivery, OfADamagedTrustFileLeavesTheCardsOwn) {
    FakeMachine machine = new_machine(role);
    FakeHost(machine).put(kept::trust, "makina-trust 1\nhalf of it");
    run_to_end(*host_of(machine, role));
    EXPECT_EQ(epoch_of_mark(machine), "1");
}

TEST(Verify, RefusesABundleThatIsNotRootsAlone) {
    const std::vector<std::pair<FakeFile, std::string>> cases = {
        {{sealed(1), {0640, "root", "root"}}, "/var/lib/makina/bundle is not root's alone (0600, root:root)"},
        {{sealed(1), {0600, "pi", "pi"}}, "/var/lib/makina/bundle is not root's alone (0600, root:root)"},
        {{"", {0600, "root", "root"}, PathFacts::Kind::symlink}, "/var/lib/makina/bundle is no regular file"},
        {{std::string(Bundle::largest + 1, 'x'), {0600, "root", "root"}},
         "/var/lib/makina/bundle is larger than a bundle can be"},
        {{"garbage", {0600, "root", "root"}}, "it is no sealed bundle"}};
    for (const auto& [file, words] : cases) {
        FakeMachine machine = new_machine(role);
        machine.files[kept::bundle] = file;
        const FakeMachine before = machine;
        const auto host = host_of(machine, role);
        host->after_change = nullptr;
        host->stop_at = 600;
        try {
            (void)run(*host, {});
            ADD_FAILURE() << words;
        } catch (const Untrusted& untrusted) {
            EXPECT_EQ(untrusted.what(), words);
        }
        EXPECT_EQ(host->changes, std::vector<std::string>());
        EXPECT_EQ(machine.files, before.files);
        EXPECT_EQ(host->statuses.back().state, "refused");
        EXPECT_EQ(host->statuses.back().last_error, words);
        EXPECT_EQ(host->lights.back(), Light::refused);
        EXPECT_THAT(host->lines, testing::Contains("refused: " + words));
    }
}

TEST(Verify, RefusesAnOlderBundleThanTheNodeHasUsed) {
    FakeMachine machine = new_machine(role);
    FakeHost(machine).put(kept::epoch, "5\n");
    const auto host = host_of(machine, role);
    try {
        (void)verify(*host);
        ADD_FAILURE();
    } catch (const Untrusted& untrusted) {
        EXPECT_STREQ(untrusted.what(), "/var/lib/makina/bundle: epoch 1 is older than 5, which this node has used");
    }
}

TEST(Verify, ReplacesADamagedBundleByAGenuineOne) {
    FakeMachine machine = new_machine(role);
    machine.files[kept::bundle].content[200] = '#';
    machine.deliveries = {{stick, sealed(1)}};
    run_to_end(*host_of(machine, role));
    EXPECT_EQ(epoch_of_mark(machine), "1");
    EXPECT_TRUE(machine.deliveries.empty());
}

TEST(Verify, KeepsToTheMarkIfItIsDamagedOnlyAsLongAsThereIsABundle) {
    FakeMachine machine = new_machine(role);
    FakeHost(machine).put(kept::joined, "damaged\n", {0600, "root", "root"});
    run_to_end(*host_of(machine, role));
    EXPECT_EQ(epoch_of_mark(machine), "1");
    // Another node's mark is nobody's.
    FakeMachine other = joined_machine();
    Bundle mark = without_payloads(bundle_of(role));
    mark.node = "worker-9";
    other.files[kept::joined].content = encode(mark);
    const auto host = host_of(other, role);
    host->after_change = nullptr;
    EXPECT_FALSE(verify(*host).outcome.done);
}

TEST(Verify, FinishesSealingUpAtOnce) {
    for (const std::string& left : {sealed(1), std::string("\0\0\0", 3), std::string()}) {
        FakeMachine machine = joined_machine();
        FakeHost(machine).put(kept::bundle, left, {0600, "root", "root"});
        const auto host = host_of(machine, role);
        const Verification verification = verify(*host);
        EXPECT_TRUE(verification.identity && verification.identity->joined);
        EXPECT_EQ(host->changes, (std::vector<std::string>{"wipe /var/lib/makina/bundle", "trim"}));
    }
}

TEST(Verify, NamesAMissingTrustFileAndADamagedMemory) {
    FakeMachine machine = new_machine(role);
    machine.files.erase(std::string(Trust::path));
    try {
        (void)verify(*host_of(machine, role));
        ADD_FAILURE();
    } catch (const Error& error) {
        EXPECT_STREQ(error.what(), "/usr/lib/makina/trust is missing: this is no card that makina-image has written");
    }
    FakeMachine damaged = new_machine(role);
    FakeHost(damaged).put(kept::epoch, "07\n");
    try {
        (void)verify(*host_of(damaged, role));
        ADD_FAILURE();
    } catch (const Error& error) {
        EXPECT_STREQ(error.what(), "/var/lib/makina/epoch is damaged: it is no number; remove it");
    }
}

}  // namespace
}  // namespace makina
