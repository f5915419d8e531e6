#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/payload.hpp"
#include "firstboot/node/node.hpp"
#include "firstboot/run.hpp"
#include "firstboot/utc.hpp"
#include "tests/daemon/scene.hpp"

namespace makina {
namespace {

using namespace makina::test;
using testing::HasSubstr;

/// A machine of a role, its host, and one stage to ask.
struct Bench {
    explicit Bench(const std::string& role) : machine(new_machine(role)), host(host_of(machine, role)) {}
    FakeMachine machine;
    std::unique_ptr<FakeHost> host;
};

std::string waits(Outcome (*stage)(Host&, const Bundle&), Bench& bench, const Bundle& bundle) {
    const std::size_t before = bench.host->changes.size();
    const Outcome outcome = stage(*bench.host, bundle);
    EXPECT_FALSE(outcome.done);
    EXPECT_EQ(bench.host->changes.size(), before);
    return outcome.waiting_for;
}

TEST(Identity, LeavesAMachineIdThatSystemdHasWritten) {
    for (const std::string id : {"0123456789abcdef0123456789abcdef\n", "ffffffffffffffffffffffffffffffff\n"}) {
        Bench bench("gateway");
        bench.host->put("/etc/machine-id", id);
        EXPECT_TRUE(do_identity(*bench.host, bundle_of("gateway")).done);
        EXPECT_EQ(bench.host->text("/etc/machine-id"), id);
    }
}

TEST(Identity, MakesAMachineIdWhereThereIsNone) {
    for (const std::string id : {"", "uninitialized\n", "0123\n", "00000000000000000000000000000000\n",
                                 "0123456789ABCDEF0123456789ABCDEF\n", "0123456789abcdef0123456789abcdef"}) {
        Bench bench("gateway");
        bench.host->put("/etc/machine-id", id);
        EXPECT_TRUE(do_identity(*bench.host, bundle_of("gateway")).done) << id;
        EXPECT_EQ(bench.host->text("/etc/machine-id"), "254a6f94b9de03284d7297bce1062b50\n");
    }
}

TEST(Identity, RepairsHostsOnlyIfTheNodeIsNotInThem) {
    Bench bench("gateway");
    bench.host->put("/etc/hosts", "127.0.0.1 localhost # gateway-1\n192.168.3.7\tgw gateway-1\n");
    const std::string before = bench.host->text("/etc/hosts");
    EXPECT_TRUE(do_identity(*bench.host, bundle_of("gateway")).done);
    EXPECT_EQ(bench.host->text("/etc/hosts"), before);
    Bench without("gateway");
    without.host->put("/etc/hosts", "127.0.0.1 localhost # gateway-1");
    EXPECT_TRUE(do_identity(*without.host, bundle_of("gateway")).done);
    EXPECT_EQ(without.host->text("/etc/hosts"), "127.0.0.1 localhost # gateway-1\n192.168.3.251 gateway-1\n");
}

TEST(Identity, MakesHostKeysAnewThatAPowerCutLeftEmpty) {
    for (const char* const empty : {"/etc/ssh/ssh_host_rsa_key", "/etc/ssh/ssh_host_ed25519_key.pub"}) {
        Bench bench("gateway");
        EXPECT_TRUE(do_identity(*bench.host, bundle_of("gateway")).done);
        bench.host->put(empty, "");
        EXPECT_EQ(ask_identity(*bench.host, bundle_of("gateway")).waiting_for, "the ssh host keys");
        EXPECT_TRUE(do_identity(*bench.host, bundle_of("gateway")).done);
        EXPECT_NE(bench.host->text(empty), "");
    }
}

TEST(Identity, HostKeysOutlastAPowerCut) {
    Bench bench("gateway");
    EXPECT_TRUE(do_identity(*bench.host, bundle_of("gateway")).done);
    power_cycle(bench.machine);
    for (const char* const file : {"/etc/ssh/ssh_host_rsa_key", "/etc/ssh/ssh_host_ed25519_key.pub"}) {
        EXPECT_NE(bench.host->text(file), "") << file;
    }
}

TEST(Identity, NamesAFaultOfSshKeygen) {
    Bench bench("gateway");
    bench.host->programs["ssh-keygen"] = [](FakeHost&, const std::vector<std::string>&) {
        return Answer{1, "", "could not write\nno space\n"};
    };
    try {
        (void)do_identity(*bench.host, bundle_of("gateway"));
        ADD_FAILURE();
    } catch (const Error& error) {
        EXPECT_STREQ(error.what(), "ssh-keygen failed: no space");
    }
}

TEST(Network, TakesNoAddressThatAnotherMachineHas) {
    Bench bench("worker");
    const Bundle bundle = bundle_of("worker");
    bench.machine.neighbours["192.168.3.251"] = "dc:a6:32:99:99:99";
    EXPECT_EQ(waits(do_network, bench, bundle),
              "192.168.3.251 is in use by dc:a6:32:99:99:99: two cards of the same node?");
    EXPECT_TRUE(bench.machine.interfaces[0].addresses.empty());
    bench.machine.neighbours.clear();
    EXPECT_TRUE(do_network(*bench.host, bundle).done);
    EXPECT_EQ(bench.machine.interfaces[0].addresses, std::vector<std::string>{"192.168.3.251/24"});
    // The other card was slower, and networkd has given the address up.
    bench.machine.neighbours["192.168.3.251"] = "dc:a6:32:99:99:99";
    EXPECT_TRUE(ask_network(*bench.host, bundle).done);
    bench.machine.interfaces[0].addresses.clear();
    EXPECT_THAT(waits(do_network, bench, bundle), HasSubstr("is in use by dc:a6:32:99:99:99"));
}

TEST(Network, LeavesASettingThatAPersonHasMade) {
    Bench bench("worker");
    bench.machine.files["/sys/class/net/eth0/ifindex"].content = "2\n";
    bench.machine.files["/run/systemd/netif/links/2"].content =
        "ADMIN_STATE=configured\nNETWORK_FILE=/etc/systemd/network/05-own.network\n";
    bench.host->put("/etc/systemd/network/05-own.network", "[Address]\nAddress=192.168.3.77/24\n");
    std::vector<std::string> told;
    bench.host->programs["networkctl"] = [&told](FakeHost&, const std::vector<std::string>& argv) {
        told.push_back(argv.at(1));
        return Answer{};
    };
    EXPECT_EQ(do_network(*bench.host, bundle_of("worker")).waiting_for,
              "the address 192.168.3.251/24 on eth0, which /etc/systemd/network/05-own.network does not give");
    bench.host->put("/etc/systemd/network/05-own.network", network_settings());
    EXPECT_EQ(do_network(*bench.host, bundle_of("worker")).waiting_for, "the address 192.168.3.251/24 on eth0");
    EXPECT_EQ(told, (std::vector<std::string>{"reload", "reconfigure"}));
}

TEST(Network, ChoosesTheInterfaceThatTheBundleNamesElseTheFirstWiredOneWithACable) {
    const Bundle bundle = bundle_of("worker");
    Bench bench("worker");
    bench.machine.interfaces = {{"wlan0", "dc:a6:32:00:00:02", true, {}},
                                {"eth0", "dc:a6:32:00:00:01", false, {}},
                                {"eth1", "dc:a6:32:00:00:03", true, {}}};
    EXPECT_EQ(waits(ask_network, bench, bundle), "the address 192.168.3.251/24 on eth1");
    EXPECT_TRUE(do_network(*bench.host, bundle).done);
    EXPECT_EQ(bench.machine.interfaces[2].addresses.size(), 1U);

    Bundle named = bundle;
    named.interface = "eth0";
    EXPECT_EQ(waits(do_network, bench, named), "the network cable of eth0");
    named.interface = "eth7";
    EXPECT_EQ(waits(do_network, bench, named), "the network interface eth7");
    bench.machine.interfaces.resize(1);
    EXPECT_EQ(waits(do_network, bench, bundle), "a wired network interface");
    EXPECT_EQ(waits(ask_network, bench, bundle), "a wired network interface");
}

TEST(Network, IsDoneOnceTheAddressHasCome) {
    Bench bench("worker");
    bench.host->programs["networkctl"] = [](FakeHost&, const std::vector<std::string>&) { return Answer{}; };
    EXPECT_EQ(do_network(*bench.host, bundle_of("worker")).waiting_for, "the address 192.168.3.251/24 on eth0");
    bench.machine.interfaces[0].addresses = {"10.0.0.1/8", "192.168.3.251/24"};
    EXPECT_TRUE(ask_network(*bench.host, bundle_of("worker")).done);
}

TEST(Network, DoesNotDisturbNetworkdWhileItAsksWhoHasTheAddress) {
    Bench bench("worker");
    std::size_t told = 0;
    bench.host->programs["networkctl"] = [&told](FakeHost&, const std::vector<std::string>&) {
        ++told;
        return Answer{};
    };
    bench.machine.files["/sys/class/net/eth0/ifindex"].content = "2\n";
    FakeFile& link = bench.machine.files["/run/systemd/netif/links/2"];
    link.content = std::string("# a comment\nADMIN_STATE=configuring\nNETWORK_FILE=") + network_file + "\n";
    EXPECT_EQ(waits(do_network, bench, bundle_of("worker")), "the address 192.168.3.251/24 on eth0");
    EXPECT_EQ(told, 0U);
    link.content = "ADMIN_STATE=failed\n";
    EXPECT_FALSE(do_network(*bench.host, bundle_of("worker")).done);
    EXPECT_EQ(told, 1U);
    // It is still at it after minutes: something is wrong, and it is told to begin again.
    link.content = "ADMIN_STATE=configuring\n";
    bench.machine.uptime = 300;
    EXPECT_FALSE(do_network(*bench.host, bundle_of("worker")).done);
    EXPECT_EQ(told, 2U);
}

TEST(Packages, AreAskedOfTheDatabaseAndInstalledIfTheyAreMissing) {
    Bench bench("worker");
    const Bundle bundle = bundle_of("worker");
    bench.host->put("/etc/makina/packages", "# comment\nlibc6\n\n  jq  # json\n");
    EXPECT_EQ(waits(ask_packages, bench, bundle), "the packages jq");
    EXPECT_TRUE(do_packages(*bench.host, bundle).done);
    EXPECT_EQ(bench.host->changes, std::vector<std::string>{"run /usr/lib/makina/install-packages"});
    EXPECT_TRUE(do_packages(*bench.host, bundle).done);
    EXPECT_EQ(bench.host->changes.size(), 1U);
    bench.machine.files.erase("/etc/makina/packages");
    bench.machine.files.erase("/var/lib/dpkg/status");
    EXPECT_TRUE(ask_packages(*bench.host, bundle).done);
}

TEST(Packages, ThatAreHalfInstalledAreMissing) {
    Bench bench("worker");
    bench.host->put("/etc/makina/packages", "a\nb\nc\nd\ne\nf\ng\n");
    bench.host->put("/var/lib/dpkg/status",
                    "Package: a\nStatus: install ok unpacked\n\nPackage: b\nStatus: deinstall ok config-files\n\n"
                    "Status: install ok installed\n\nPackage: g\nStatus: install ok installed\n");
    EXPECT_EQ(waits(ask_packages, bench, bundle_of("worker")), "the packages a, b, c, d, e and 1 more");
}

TEST(Packages, TellWhyTheyCouldNotBeInstalled) {
    Bench bench("worker");
    bench.host->programs["/usr/lib/makina/install-packages"] = [](FakeHost&, const std::vector<std::string>&) {
        return Answer{100, "", "Err:1 http://deb.debian.org\nE: Unable to locate package jq\n\n"};
    };
    EXPECT_EQ(do_packages(*bench.host, bundle_of("worker")).waiting_for,
              "the packages jq (E: Unable to locate package jq)");
    bench.host->programs.erase("/usr/lib/makina/install-packages");
    EXPECT_EQ(do_packages(*bench.host, bundle_of("worker")).waiting_for,
              "the packages jq (no program /usr/lib/makina/install-packages)");
}

struct Board {
    const char* model;
    const char* board;
    const char* words;
};

TEST(Preflight, KnowsTheBoardsOfEachFamily) {
    const std::vector<Board> boards = {
        {"Raspberry Pi 3 Model B Rev 1.2", "rpi4", "a Raspberry Pi 4: this is a Raspberry Pi 3 Model B Rev 1.2"},
        {"Raspberry Pi 4 Model B Rev 1.4", "rpi3", "a Raspberry Pi 3: this is a Raspberry Pi 4 Model B Rev 1.4"},
        {"Raspberry Pi 5 Model B Rev 1.0", "rpi4", "a Raspberry Pi 4: this is a Raspberry Pi 5 Model B Rev 1.0"},
        {"Raspberry Pi 2 Model B Rev 1.1", "rpi3", "a Raspberry Pi 3: this is a Raspberry Pi 2 Model B Rev 1.1"},
        {"Raspberry Pi 3 Model B Plus Rev 1.3", "rpi3", ""},
        {"Raspberry Pi Zero 2 W Rev 1.0", "rpi3", ""},
        {"Raspberry Pi Compute Module 3 Plus Rev 1.0", "rpi3", ""},
        {"Raspberry Pi 4 Model B Rev 1.1", "rpi4", ""},
        {"Raspberry Pi 400 Rev 1.0", "rpi4", ""},
        {"Raspberry Pi Compute Module 4 Rev 1.1", "rpi4", ""},
        {"Raspberry Pi 500 Rev 1.0", "rpi5", ""},
        {"Raspberry Pi 5 Model B Rev 1.0", "generic", ""},
        {"linux,dummy-virt", "rpi4", ""},
        {"", "rpi4", ""}};
    for (const Board& one : boards) {
        Bench bench("gateway");
        bench.machine.model = one.model;
        Bundle bundle = bundle_of("gateway");
        bundle.board = one.board;
        const Outcome outcome = do_preflight(*bench.host, bundle);
        EXPECT_EQ(outcome.waiting_for, one.words) << one.model << " for " << one.board;
        EXPECT_EQ(outcome.done, std::string(one.words).empty());
    }
}

TEST(Verify, InTheWrongMachineNothingIsTouched) {
    for (const std::string& role : roles()) {
        FakeMachine machine = new_machine(role);
        Bundle bundle = bundle_of(role);
        bundle.serial = "10000000abcdef01";
        machine.files[kept::bundle].content = seal(bundle, first_signer());
        machine.serial = "10000000abcdef02";
        const FakeMachine before = machine;
        const auto host = host_of(machine, role);
        host->after_change = nullptr;
        host->stop_at = a_day;
        EXPECT_EQ(run(*host, {}), Ending::stopped);
        EXPECT_EQ(host->statuses.back().state, "waiting");
        EXPECT_EQ(host->statuses.back().stage, "verify");
        EXPECT_EQ(host->statuses.back().waiting_for,
                  "the board with the serial number 10000000abcdef01: this one has 10000000abcdef02");
        EXPECT_EQ(host->changes, std::vector<std::string>{"set clock"});
        EXPECT_EQ(machine.files, before.files);
        EXPECT_EQ(host->statement, "");
        // The board is changed for the right one.
        machine.serial = "10000000abcdef01";
        power_cycle(machine);
        const auto next = host_of(machine, role);
        next->after_change = nullptr;
        run_to_end(*next);
    }
}

TEST(Verify, AJoinedNodeMayMoveToAnotherBoard) {
    FakeMachine machine = new_machine("worker");
    run_to_end(*host_of(machine, "worker"));
    machine.model = "Raspberry Pi 3 Model B Rev 1.2";
    power_cycle(machine);
    run_to_end(*host_of(machine, "worker"));
}

TEST(Preflight, HoldsABoundCardToItsBoard) {
    Bundle bundle = bundle_of("gateway");
    bundle.serial = "10000000abcdef01";
    bundle.mac = "dc:a6:32:00:00:01";
    Bench right("gateway");
    EXPECT_TRUE(do_preflight(*right.host, bundle).done);
    Bench other("gateway");
    other.machine.serial = "10000000abcdef02";
    EXPECT_EQ(waits(do_preflight, other, bundle),
              "the board with the serial number 10000000abcdef01: this one has 10000000abcdef02");
    other.machine.serial.clear();
    EXPECT_EQ(waits(do_preflight, other, bundle),
              "the board with the serial number 10000000abcdef01: this one has none");
    Bench card("gateway");
    card.machine.interfaces[0].mac = "dc:a6:32:00:00:09";
    EXPECT_EQ(waits(do_preflight, card, bundle),
              "the board with the network card dc:a6:32:00:00:01: this one has another");
    Bench machine("gateway");
    machine.machine.architecture = "amd64";
    EXPECT_EQ(waits(do_preflight, machine, bundle), "an arm64 machine: this is amd64");
}

TEST(Preflight, NeedsControlGroupsSwapOffAndRoomOnlyWhereTheRoleDoes) {
    const auto spoil = [](FakeHost& host) {
        host.put("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io\n");
        host.put("/proc/swaps", "Filename Type Size Used Priority\n/var/swap file 102396 0 -2\n");
    };
    Bench worker("worker");
    spoil(*worker.host);
    EXPECT_EQ(waits(do_preflight, worker, bundle_of("worker")),
              "the control groups memory, pids; cmdline.txt may switch them off, cgroup_enable=memory on");
    worker.host->put("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids");
    EXPECT_EQ(waits(do_preflight, worker, bundle_of("worker")), "swap to be off: /var/swap is in use");
    Bench gateway("gateway");
    spoil(*gateway.host);
    EXPECT_TRUE(do_preflight(*gateway.host, bundle_of("gateway")).done);
    gateway.machine.free = (std::uint64_t{512} << 20) - 1;
    EXPECT_EQ(waits(do_preflight, gateway, bundle_of("gateway")),
              "512 MiB of room on the root file system: there are 511 MiB");
    gateway.machine.free += 1;
    EXPECT_TRUE(ask_preflight(*gateway.host, bundle_of("gateway")).done);
}

TEST(Preflight, LoadsModulesAndSetsSysctls) {
    Bench bench("worker");
    const Bundle bundle = bundle_of("worker");
    EXPECT_EQ(waits(ask_preflight, bench, bundle), "the kernel modules br_netfilter");
    EXPECT_TRUE(do_preflight(*bench.host, bundle).done);
    EXPECT_EQ(bench.host->changes,
              (std::vector<std::string>{"run modprobe br_netfilter", "run /usr/lib/systemd/systemd-sysctl"}));
    bench.host->put("/proc/sys/kernel/panic", "0\n");
    EXPECT_EQ(waits(ask_preflight, bench, bundle), "the sysctls kernel.panic");
}

TEST(Preflight, BelievesALaterFileOfSysctls) {
    Bench bench("gateway");
    EXPECT_TRUE(do_preflight(*bench.host, bundle_of("gateway")).done);
    bench.host->put("/etc/sysctl.d/95-profile.conf", "kernel.panic=60\nvm.swappiness = 1\n-net.core.x = 1\n; note\n");
    EXPECT_EQ(waits(ask_preflight, bench, bundle_of("gateway")), "the sysctls kernel.panic");
    bench.host->put("/proc/sys/kernel/panic", "60\n");
    EXPECT_TRUE(ask_preflight(*bench.host, bundle_of("gateway")).done);
}

TEST(Preflight, NamesAModuleThatTheKernelDoesNotHave) {
    Bench bench("worker");
    bench.host->programs["modprobe"] = [](FakeHost&, const std::vector<std::string>&) {
        return Answer{1, "", "modprobe: FATAL: Module br_netfilter not found\n"};
    };
    try {
        (void)do_preflight(*bench.host, bundle_of("worker"));
        ADD_FAILURE();
    } catch (const Error& error) {
        EXPECT_STREQ(error.what(), "modprobe br_netfilter: modprobe: FATAL: Module br_netfilter not found");
    }
}

TEST(Keys, AreWrittenOnlyIfTheyDiffer) {
    for (const std::string& role : roles()) {
        Bench bench(role);
        const Bundle bundle = bundle_of(role);
        EXPECT_TRUE(do_keys(*bench.host, bundle).done);
        EXPECT_EQ(bench.host->changes.size(), bundle.payloads.size());
        EXPECT_TRUE(do_keys(*bench.host, bundle).done);
        EXPECT_EQ(bench.host->changes.size(), bundle.payloads.size());
        for (const Payload& payload : bundle.payloads) {
            const PayloadKind* const kind = payload_kind(role, payload.name);
            FakeFile& file = bench.machine.files.at(std::string(kind->path));
            EXPECT_EQ(file.content, payload.content);
            EXPECT_EQ(file.access.mode, kind->mode);
            EXPECT_EQ(file.access.user, kind->owner);
        }
        // One that was changed, one whose access was, one that is something else.
        const std::string key = "/etc/makina/pki/node.key";
        const std::vector<FakeFile> spoilt = {{"other\n", {0600, "root", "root"}},
                                              {bench.host->text(key), {0644, "root", "root"}},
                                              {bench.host->text(key), {0600, "pi", "root"}},
                                              {std::string(largest_payload + 1, 'x'), {0600, "root", "root"}},
                                              {"", {0600, "root", "root"}, PathFacts::Kind::symlink}};
        for (const FakeFile& file : spoilt) {
            bench.machine.files[key] = file;
            bench.host->changes.clear();
            bench.host->after_change = nullptr;
            EXPECT_EQ(ask_keys(*bench.host, bundle).waiting_for, "the keys node.key");
            EXPECT_TRUE(do_keys(*bench.host, bundle).done);
            EXPECT_EQ(bench.host->changes, std::vector<std::string>{"replace " + key});
        }
    }
}

TEST(Keys, OfAnotherRoleAreNoneOfThisOne) {
    Bench bench("worker");
    Bundle bundle = bundle_of("worker");
    bundle.payloads = {{"etcd-ca.key", "x"}};
    try {
        (void)ask_keys(*bench.host, bundle);
        ADD_FAILURE();
    } catch (const Error& error) {
        EXPECT_STREQ(error.what(), "a worker has no payload \"etcd-ca.key\"");
    }
}

TEST(Seal, IsDoneOnlyIfTheMarkIsThereAndTheBundleIsGone) {
    Bench bench("gateway");
    bench.host->after_change = nullptr;
    const Bundle bundle = bundle_of("gateway");
    EXPECT_EQ(ask_seal(*bench.host, bundle).waiting_for, "the done-mark");
    bench.host->put(kept::joined, encode(without_payloads(bundle)), {0600, "root", "root"});
    EXPECT_EQ(ask_seal(*bench.host, bundle).waiting_for, "the bundle to be wiped");
    bench.machine.files.erase(kept::bundle);
    EXPECT_TRUE(ask_seal(*bench.host, bundle).done);
    EXPECT_EQ(ask_seal(*bench.host, bundle_of("gateway", 2)).waiting_for, "the done-mark");
}

TEST(Stages, AreThoseOfTheRoleAndOfNoOther) {
    for (const std::string& role : roles()) {
        std::string names;
        for (const Stage& stage : stages_of(role)) names += std::string(stage.name) + " ";
        EXPECT_EQ(names, "identity storage network time packages preflight keys join seal ");
    }
    try {
        (void)stages_of("king");
        ADD_FAILURE();
    } catch (const Error& error) {
        EXPECT_STREQ(error.what(), "the role \"king\" has no way to join");
    }
}

TEST(Reset, ForgetsTheNotesAndKeepsTheRest) {
    Bench bench("worker");
    bench.host->world = nullptr;
    bench.host->network = nullptr;
    RunOptions options;
    options.most_rounds = 20;
    EXPECT_EQ(run(*bench.host, options), Ending::stopped);
    bench.host->put("/var/lib/makina/journal.bad", "x");
    const FakeMachine before = bench.machine;
    reset(*bench.host);
    EXPECT_FALSE(bench.host->has("/var/lib/makina/journal"));
    EXPECT_FALSE(bench.host->has("/var/lib/makina/journal.bad"));
    EXPECT_TRUE(bench.host->has(kept::bundle));
    EXPECT_TRUE(bench.host->has(kept::epoch));
    EXPECT_EQ(essence(bench.machine), essence(before));
    run_to_end(*host_of(bench.machine, "worker"));
}

TEST(Reset, KeepsTheMarkOfANodeThatHasNoBundleAnyMore) {
    Bench bench("gateway");
    run_to_end(*bench.host);
    bench.host->after_change = nullptr;
    reset(*bench.host);
    EXPECT_TRUE(bench.host->has(kept::joined));
    bench.host->put(kept::bundle, seal(bundle_of("gateway"), first_signer()), {0600, "root", "root"});
    reset(*bench.host);
    EXPECT_FALSE(bench.host->has(kept::joined));
}

TEST(Reset, RefusesAMemberOfACluster) {
    const std::vector<std::pair<std::string, std::string>> traces = {
        {"/var/lib/etcd/member", "an etcd member's data"},
        {"/var/lib/etcd/default/member", "an etcd member's data"},
        {"/var/lib/kubelet/pki/kubelet-client-current.pem", "a kubelet's identity"},
        {"/etc/kubernetes/kubelet.conf", "a kubelet's identity"}};
    for (const auto& [path, what] : traces) {
        Bench bench("gateway");
        run_to_end(*bench.host);
        bench.host->put(path, "");
        bench.host->changes.clear();
        try {
            reset(*bench.host);
            ADD_FAILURE() << path;
        } catch (const Error& error) {
            EXPECT_EQ(error.what(),
                      "this node is part of a cluster: " + path + " is " + what + "; nothing was changed");
        }
        EXPECT_EQ(bench.host->changes, std::vector<std::string>());
    }
}

TEST(Utc, SpellsATime) {
    EXPECT_EQ(utc(0), "1970-01-01 00:00:00 UTC");
    EXPECT_EQ(utc(951827696), "2000-02-29 12:34:56 UTC");
    EXPECT_EQ(utc(-1), "1969-12-31 23:59:59 UTC");
    EXPECT_EQ(utc(253402300799), "9999-12-31 23:59:59 UTC");
}

}  // namespace
}  // namespace makina
