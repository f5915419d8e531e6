#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "firstboot/bundle/payload.hpp"
#include "firstboot/join/kubeadm.hpp"
#include "firstboot/node/node.hpp"
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
    bool loses = false;  ///< what kubeadm has written and nobody has synced is there without content
};

constexpr Fault faults[] = {{"the power goes before it", Kind::cut_before},
                            {"the power goes after it", Kind::cut_after},
                            {"the power goes after it and takes what was written", Kind::cut_after, true},
                            {"kubeadm gives up before it", Kind::fail_before},
                            {"kubeadm gives up after it", Kind::fail_after},
                            {"kubeadm hangs before it", Kind::hang_before},
                            {"kubeadm hangs after it", Kind::hang_after}};

bool hangs(const Fault& fault) {
    return fault.kind == Kind::hang_before || fault.kind == Kind::hang_after;
}

/// Files that kubeadm and the kubelet write, and not the daemon.
bool is_kubeadms(const std::string& path) {
    const auto is_below = [&](std::string_view folder) { return path.rfind(folder, 0) == 0; };
    const bool conf =
        is_below("/etc/kubernetes/") && path.ends_with(".conf") && path.find('/', 16) == std::string::npos;
    return conf || is_below("/etc/kubernetes/manifests/") || is_below("/var/lib/kubelet/");
}

class Phases : public testing::TestWithParam<std::string> {
  protected:
    FakeMachine machine = new_machine(GetParam());
    std::set<std::string> synced;

    std::unique_ptr<FakeHost> powered_on() {
        auto host = host_of(machine, GetParam());
        host->programs["sync"] = [this](FakeHost&, const std::vector<std::string>& argv) {
            synced.insert(argv.begin() + 1, argv.end());
            return Answer{};
        };
        return host;
    }
    void lose_what_is_not_synced() {
        for (auto& [path, file] : machine.files) {
            if (is_kubeadms(path) && !synced.contains(path)) file.content.clear();
        }
    }
    /// kubeadm's own steps among the changes of an undisturbed first boot, counted from 1.
    std::map<std::size_t, std::string> phases() {
        const auto host = powered_on();
        run_to_end(*host);
        std::map<std::size_t, std::string> found;
        for (std::size_t at = 0; at < host->changes.size(); ++at) {
            const std::string& change = host->changes[at];
            for (const std::string kind : {"kubeadm phase ", "run kubeadm ", "write /var/lib/makina/kubeadm"}) {
                if (change.rfind(kind, 0) == 0) found[at + 1] = change;
            }
        }
        return found;
    }
    /// Runs into the fault, and then to the end without another one.
    void suffer(std::size_t at, const Fault& fault) {
        machine = new_machine(GetParam());
        synced.clear();
        const auto host = powered_on();
        host->accident = Accident{fault.kind, at};
        try {
            run_to_end(*host);
        } catch (const Cut&) {
            if (fault.loses) lose_what_is_not_synced();
            power_cycle(machine);
            const auto again = powered_on();
            const bool runs = !again->text("/etc/kubernetes/kubelet.conf").empty();
            // The cluster misses a node whose kubelet has gone.
            if (!runs && again->has(outside_node)) again->put(outside_node, "NotReady");
            run_to_end(*again);
        }
    }
};

TEST_P(Phases, AreBegunAgainWhateverGoesWrong) {
    const std::string expected = [&] {
        const auto host = powered_on();
        run_to_end(*host);
        return essence(machine);
    }();
    machine = new_machine(GetParam());
    const auto all = phases();
    EXPECT_GE(all.size(), 2U);
    for (const auto& [at, phase] : all) {
        for (const Fault& fault : faults) {
            // The daemon's own notes are no program.
            if (hangs(fault) && phase.starts_with("write ")) continue;
            suffer(at, fault);
            if (hangs(fault)) {
                EXPECT_GE(machine.uptime, 1500) << phase << ": " << fault.name;
                count("hangs");
            }
            count("cases");
            EXPECT_EQ(essence(machine), expected) << phase << ": " << fault.name;
            count("cases_failed", HasFailure() ? 1 : 0);
            if (HasFailure()) return;
        }
    }
}

/// A card whose bundle has the authorities only, as kubeadm makes the rest; each of its certificates and keys is there
/// without content once, and one of them is not there at all.
/// The power goes when kubeadm has done its work, before that is noted.
void expect_cut_after_kubeadm(FakeHost& host) {
    host.programs["kubeadm"] = [good = host.programs["kubeadm"]](FakeHost& one, const std::vector<std::string>& argv) {
        (void)good(one, argv);
        throw Cut{};
        return Answer{};
    };
    EXPECT_THROW(run_to_end(host), Cut);
}

TEST(Kubeadm, MakesCertificatesAgainThatAPowerCutHasEmptied) {
    const std::string pki = "/etc/kubernetes/pki/";
    const std::vector<std::string> names = {"apiserver", "apiserver-kubelet-client", "front-proxy-client",
                                            "etcd/server"};
    Bundle bundle = bundle_of("control-plane");
    std::erase_if(bundle.payloads, [&](const Payload& payload) {
        const std::string path(payload_kind("control-plane", payload.name)->path);
        return std::ranges::any_of(
            names, [&](const std::string& name) { return path == pki + name + ".crt" || path == pki + name + ".key"; });
    });
    const auto powered_on = [](FakeMachine& machine) {
        auto host = host_of(machine, "control-plane");
        host->after_change = nullptr;
        host->world = [](FakeHost& one) {
            if (one.machine.uptime >= 20) one.machine.moment = {issued + a_day, true};
        };
        return host;
    };
    for (const std::string& name : names) {
        for (const std::string end : {".crt", ".key"}) {
            for (const bool gone : {false, true}) {
                FakeMachine machine = new_machine("control-plane");
                machine.files[kept::bundle].content = seal(bundle, first_signer());
                const auto first = powered_on(machine);
                expect_cut_after_kubeadm(*first);
                ASSERT_TRUE(first->has(pki + name + end));
                if (gone) machine.files.erase(pki + name + end);
                if (!gone) machine.files[pki + name + end].content.clear();
                // The authorities are the bundle's, and what a person has put there stays.
                machine.files[pki + "ca.crt"].content.clear();
                first->put(pki + "oidc-ca.crt", "");
                power_cycle(machine);
                const auto again = powered_on(machine);
                run_to_end(*again);
                EXPECT_EQ(again->text(pki + name + ".crt"), "certificate of " + name + "\n");
                EXPECT_EQ(again->text(pki + name + ".key"), "key of " + name + "\n");
                EXPECT_NE(again->text(pki + "ca.crt"), "");
                EXPECT_TRUE(again->has(pki + "oidc-ca.crt"));
            }
        }
    }
}

TEST(Kubeadm, GivesTheKubeletAnotherCertificateIfAPowerCutHasEmptiedItsOwn) {
    FakeMachine machine = new_machine("control-plane");
    const auto first = host_of(machine, "control-plane");
    expect_cut_after_kubeadm(*first);
    const std::string pair = "/var/lib/kubelet/pki/kubelet-client-2026-09-21-14-13-20.pem";
    const std::string current = "/var/lib/kubelet/pki/kubelet-client-current.pem";
    first->put(pair, "");
    first->put(current, pair);
    machine.files[current].kind = PathFacts::Kind::symlink;
    first->put("/etc/kubernetes/kubelet.conf", "client-certificate: " + current + "\n", {0600, "root", "root"});
    power_cycle(machine);
    const auto again = host_of(machine, "control-plane");
    run_to_end(*again);
    EXPECT_FALSE(again->has(pair));
    EXPECT_FALSE(again->has(current));
    EXPECT_EQ(again->text("/etc/kubernetes/kubelet.conf").find(current), std::string::npos);
}

TEST(Kubeadm, JoinsAWorkerAgainWhoseFilesAreEmptyBeforeItIsSealed) {
    for (const std::string path : {"/etc/kubernetes/kubelet.conf", "/var/lib/kubelet/config.yaml"}) {
        FakeMachine machine = new_machine("worker");
        const auto first = host_of(machine, "worker");
        first->after_change = [](FakeHost& one) {
            if (one.text(KubeadmRecord::path).find("finished") != std::string::npos) throw Cut{};
        };
        EXPECT_THROW(run_to_end(*first), Cut);
        machine.files.at(path).content.clear();
        power_cycle(machine);
        const auto again = host_of(machine, "worker");
        again->put(outside_node, "NotReady");
        run_to_end(*again);
        EXPECT_NE(again->text(path), "") << path;
    }
}

TEST(Kubeadm, AnOlderCardThatWasCutOffIsNotRememberedInPlaceOfANewer) {
    for (const bool is_whole : {true, false}) {
        FakeMachine machine = new_machine("worker");
        const auto first = host_of(machine, "worker");
        expect_cut_after_kubeadm(*first);
        if (!is_whole) machine.files.at("/var/lib/kubelet/config.yaml").content.clear();
        power_cycle(machine);
        const auto again = host_of(machine, "worker");
        again->put(outside_epoch, "2");
        again->stop_at = 600;
        EXPECT_EQ(run(*again, {.until_joined = true}), Ending::stopped);
        EXPECT_EQ(again->statuses.back().waiting_for,
                  "a newer card: the cluster knows epoch 2 of worker-1, this one has 1");
        EXPECT_EQ(again->text(outside_epoch), "2");
        EXPECT_TRUE(again->has("/etc/kubernetes/kubelet.conf"));
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

TEST(Kubeadm, UndoesAJoinAtTheRuntimeAtWhichItWasBegun) {
    FakeMachine machine = new_machine("worker");
    const auto host = host_of(machine, "worker");
    int failures = 1;
    fail_to("join", *host, failures, "[ERROR Any]: something\n");
    int resets = 0;
    host->programs["kubeadm"] = [&, next = host->programs["kubeadm"]](FakeHost& one,
                                                                      const std::vector<std::string>& argv) {
        if (argv.at(1) == "reset") {
            ++resets;
            EXPECT_THAT(argv, testing::Contains("--cri-socket=unix:///run/containerd/containerd.sock"));
        }
        return next(one, argv);
    };
    run_to_end(*host);
    EXPECT_EQ(resets, 1);
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
