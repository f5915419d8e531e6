#include <gtest/gtest.h>

#include "firstboot/node/node.hpp"
#include "firstboot/run.hpp"
#include "tests/daemon/scene.hpp"

namespace makina {
namespace {

using namespace makina::test;

using Kind = Accident::Kind;

class Role : public testing::TestWithParam<std::string> {
  protected:
    /// The machine after an undisturbed first boot.
    FakeMachine at_end() {
        FakeMachine machine = new_machine(GetParam());
        const auto host = host_of(machine, GetParam());
        run_to_end(*host);
        changes = host->changes;
        return machine;
    }

    std::vector<std::string> changes;
};

TEST_P(Role, ComesToItsEnd) {
    const FakeMachine machine = at_end();
    EXPECT_TRUE(machine.files.contains(kept::joined));
    EXPECT_FALSE(machine.files.contains(kept::bundle));
    EXPECT_EQ(machine.files.at(kept::epoch).content, "1\n");
    EXPECT_EQ(machine.disk.root_sectors, (std::uint64_t{16} << 21) - 8192 - (1 << 20));
    EXPECT_GT(changes.size(), 20U);
}

TEST_P(Role, ChangesNothingTheSecondTime) {
    FakeMachine machine = at_end();
    const auto host = host_of(machine, GetParam());
    run_to_end(*host);
    EXPECT_EQ(host->changes, std::vector<std::string>());
}

/// Runs with an accident, then, after the power has come back, to the end. False if the accident never happened.
bool resumes(const std::string& role, FakeMachine& machine, const Accident& accident) {
    const auto host = host_of(machine, role);
    host->accident = accident;
    bool cut = false;
    try {
        run_to_end(*host);
    } catch (const Cut&) {
        cut = true;
    }
    if (!cut) return false;
    power_cycle(machine);
    return true;
}

void expect_same_end(const std::string& role, FakeMachine& machine, const std::string& expected,
                     const std::string& where) {
    const auto host = host_of(machine, role);
    run_to_end(*host);
    EXPECT_EQ(essence(machine), expected) << where;
}

TEST_P(Role, ComesToTheSameEndAfterAPowerCutAtEveryChange) {
    const std::string role = GetParam();
    FakeMachine undisturbed = at_end();
    const std::string expected = essence(undisturbed);
    for (const Kind kind : {Kind::cut_before, Kind::cut_half_done, Kind::cut_after}) {
        for (std::size_t at = 1;; ++at) {
            FakeMachine machine = new_machine(role);
            if (!resumes(role, machine, {kind, at})) break;
            const std::string where = "cut at " + std::to_string(at) + ": " + changes.at(at - 1);
            count("cut_points");
            expect_same_end(role, machine, expected, where);
            if (HasFailure()) {
                count("cut_points_failed");
                FAIL() << where;
            }
        }
    }
    count("cut_points_failed", 0);
}

TEST_P(Role, ComesToTheSameEndAfterTwoPowerCuts) {
    const std::string role = GetParam();
    FakeMachine undisturbed = at_end();
    const std::string expected = essence(undisturbed);
    for (std::size_t first = 1; first <= changes.size(); ++first) {
        for (std::size_t second = 1;; ++second) {
            FakeMachine machine = new_machine(role);
            const Kind kind = (first + second) % 2 == 0 ? Kind::cut_half_done : Kind::cut_after;
            if (!resumes(role, machine, {kind, first})) break;
            if (!resumes(role, machine, {Kind::cut_half_done, second})) break;
            const std::string where = "cuts at " + std::to_string(first) + " and " + std::to_string(second);
            count("cut_points");
            expect_same_end(role, machine, expected, where);
            if (HasFailure()) {
                count("cut_points_failed");
                FAIL() << where;
            }
        }
    }
}

TEST_P(Role, TriesAgainAfterAFaultAtEveryChange) {
    const std::string role = GetParam();
    FakeMachine undisturbed = at_end();
    const std::string expected = essence(undisturbed);
    for (const std::string error : {"no space left on device", "input/output error"}) {
        for (const Kind kind : {Kind::fail_before, Kind::fail_after}) {
            for (std::size_t at = 1; at <= changes.size(); ++at) {
                FakeMachine machine = new_machine(role);
                const auto host = host_of(machine, role);
                host->accident = Accident{kind, at, false, error};
                run_to_end(*host);
                count("fault_points");
                EXPECT_EQ(essence(machine), expected) << "fault at " << at << ": " << changes.at(at - 1);
                if (HasFailure()) {
                    count("fault_points_failed");
                    FAIL() << error << " at " << at << ": " << changes.at(at - 1);
                }
            }
        }
    }
    count("fault_points_failed", 0);
}

TEST_P(Role, IsNeverJoinedWhileACardCannotBeWritten) {
    const std::string role = GetParam();
    FakeMachine undisturbed = at_end();
    const std::string expected = essence(undisturbed);
    for (const Kind kind : {Kind::fail_before, Kind::fail_after}) {
        for (std::size_t at = 1; at <= changes.size(); ++at) {
            FakeMachine machine = new_machine(role);
            {
                const auto host = host_of(machine, role);
                host->accident = Accident{kind, at, true};
                host->stop_at = 7200;
                EXPECT_EQ(run(*host, {}), Ending::stopped);
                if (kind == Kind::fail_before && host->states.contains("joined")) {
                    // Only what comes after the wiping may have failed.
                    EXPECT_FALSE(host->has(kept::bundle));
                    EXPECT_TRUE(host->has(kept::joined));
                }
                EXPECT_LT(host->lines.size(), 100U);
            }
            count("fault_points");
            power_cycle(machine);
            expect_same_end(role, machine, expected, "for ever from " + std::to_string(at));
            if (HasFailure()) {
                count("fault_points_failed");
                FAIL() << "for ever from " << at << ": " << changes.at(at - 1);
            }
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Every, Role, testing::ValuesIn(roles()),
                         [](const auto& parameter) { return name_of(parameter.param); });

}  // namespace
}  // namespace makina
