#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "firstboot/run.hpp"
#include "tests/daemon/kubernetes_scene.hpp"
#include "tests/daemon/scene.hpp"

// kubeadm that is killed with its machine, that fails, and that hangs until it is given up, at each of its phases.
namespace makina::test {
namespace {

using Kind = Accident::Kind;

/// What goes wrong at a phase.
struct Fault {
    const char* name;
    Kind kind;
};

constexpr Fault faults[] = {{"the power goes before it", Kind::cut_before},
                            {"the power goes after it", Kind::cut_after},
                            {"kubeadm gives up before it", Kind::fail_before},
                            {"kubeadm gives up after it", Kind::fail_after}};

class Phases : public testing::TestWithParam<std::string> {
  protected:
    FakeMachine machine = new_machine(GetParam());

    /// kubeadm's own steps among the changes of an undisturbed first boot, counted from 1.
    std::map<std::size_t, std::string> phases() {
        const auto host = host_of(machine, GetParam());
        run_to_end(*host);
        std::map<std::size_t, std::string> found;
        for (std::size_t at = 0; at < host->changes.size(); ++at) {
            const std::string& change = host->changes[at];
            if (change.rfind("kubeadm phase ", 0) == 0 || change.rfind("run kubeadm ", 0) == 0) found[at + 1] = change;
        }
        return found;
    }
    /// Runs into the fault, and then to the end without another one.
    void suffer(std::size_t at, const Fault& fault) {
        machine = new_machine(GetParam());
        const auto host = host_of(machine, GetParam());
        host->accident = Accident{fault.kind, at};
        try {
            run_to_end(*host);
        } catch (const Cut&) {
            power_cycle(machine);
            const bool runs = machine.files.contains("/etc/kubernetes/kubelet.conf");
            const auto again = host_of(machine, GetParam());
            // The cluster misses a node whose kubelet has gone.
            if (!runs && again->has(outside_node)) again->put(outside_node, "NotReady");
            run_to_end(*again);
        }
    }
};

TEST_P(Phases, AreBegunAgainWhateverGoesWrong) {
    const std::string expected = [&] {
        const auto host = host_of(machine, GetParam());
        run_to_end(*host);
        return essence(machine);
    }();
    machine = new_machine(GetParam());
    const auto all = phases();
    EXPECT_GE(all.size(), 2U);
    for (const auto& [at, phase] : all) {
        for (const Fault& fault : faults) {
            suffer(at, fault);
            count("cases");
            EXPECT_EQ(essence(machine), expected) << phase << ": " << fault.name;
            count("cases_failed", HasFailure() ? 1 : 0);
            if (HasFailure()) return;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Each, Phases, testing::Values("control-plane", "worker"),
                         [](const auto& each) { return name_of(each.param); });

/// kubeadm fails so many times at this command, with these words, and then succeeds.
void fail_to(const std::string& command, FakeHost& host, int& times, const std::string& errors) {
    host.programs["kubeadm"] = [command, good = host.programs["kubeadm"], &times, errors](
                                   FakeHost& one, const std::vector<std::string>& argv) {
        if (argv.at(1) != command || times-- <= 0) return good(one, argv);
        return Answer{1, "[preflight] Running pre-flight checks\n", errors};
    };
}

/// kubeadm fails so many times to join; people are told of what it complains, and it is tried again.
void expect_told(int failures, const std::string& errors, const std::string& complaint) {
    FakeMachine machine = new_machine("worker");
    const auto host = host_of(machine, "worker");
    fail_to("join", *host, failures, errors);
    run_to_end(*host);
    EXPECT_LE(failures, 0);
    EXPECT_THAT(host->lines, testing::Contains("join: kubeadm join: " + complaint + "; it is tried again"));
}

TEST(Kubeadm, IsTriedAgainAndTellsWhatItComplainsOf) {
    expect_told(5,
                "W1126 warning\nerror execution phase preflight: [preflight] Some fatal errors occurred:\n"
                "\t[ERROR CRI]: container runtime is not running\n",
                "[ERROR CRI]: container runtime is not running");
}

TEST(Kubeadm, WhatItRefusedBeforeItBeganItIsAskedAgain) {
    FakeMachine machine = new_machine("control-plane");
    const auto host = host_of(machine, "control-plane");
    int failures = 2;
    fail_to("init", *host, failures, "\t[ERROR NumCPU]: the number of available CPUs 1 is less than the required 2\n");
    host->programs["kubeadm"] = [next = host->programs["kubeadm"]](FakeHost& one,
                                                                   const std::vector<std::string>& argv) {
        EXPECT_THAT(argv, testing::Not(testing::Contains("--skip-phases=preflight")));
        return next(one, argv);
    };
    run_to_end(*host);
    EXPECT_LE(failures, 0);
}

TEST(Kubeadm, RestsLongerEachTimeItFails) {
    for (const std::string command : {"init", "join"}) {
        const std::string role = command == "init" ? "control-plane" : "worker";
        FakeMachine machine = new_machine(role);
        const auto host = host_of(machine, role);
        int failures = 8;
        fail_to(command, *host, failures, "[ERROR Any]: something\n");
        std::vector<std::int64_t> begun;
        host->programs["kubeadm"] = [&, next = host->programs["kubeadm"]](FakeHost& one,
                                                                          const std::vector<std::string>& argv) {
            if (argv.at(1) == command) begun.push_back(one.machine.uptime);
            return next(one, argv);
        };
        run_to_end(*host);
        EXPECT_LE(failures, 0);
        ASSERT_GT(begun.size(), 8U) << command;
        for (std::size_t time = 1; time <= 8; ++time) {
            const std::int64_t least = std::min(std::int64_t{1} << time, std::int64_t{60});
            EXPECT_GE(begun[time] - begun[time - 1], least) << command << ", time " << time;
        }
        EXPECT_LT(begun[8] - begun[7], 90) << command;
    }
}

TEST(Kubeadm, ItsAdviceToProgrammersIsNoComplaint) {
    expect_told(1,
                "open /etc/kubernetes/admin.conf: no such file or directory\n"
                "To see the stack trace of this error execute with --v=5 or higher\n",
                "open /etc/kubernetes/admin.conf: no such file or directory");
}

}  // namespace
}  // namespace makina::test
