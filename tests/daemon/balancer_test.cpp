#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "firstboot/bundle/error.hpp"
#include "firstboot/join/balancer.hpp"
#include "firstboot/node/node.hpp"
#include "firstboot/run.hpp"
#include "tests/daemon/scene.hpp"

namespace makina {
namespace {

using namespace makina::test;
using testing::Contains;
using testing::Not;

using Kind = Accident::Kind;

constexpr const char* role = "load-balancer";
constexpr const char* stick = "/run/media/stick/makina.bundle";
constexpr const char* haproxy_file = "/etc/haproxy/haproxy.cfg";
constexpr const char* keepalived_file = "/etc/keepalived/keepalived.conf";
constexpr const char* reload_haproxy = "run systemctl reload-or-restart haproxy";
constexpr const char* reload_keepalived = "run systemctl reload-or-restart keepalived";

const std::string& payload_of(const Bundle& bundle, const std::string& name) {
    return std::ranges::find(bundle.payloads, name, &Payload::name)->content;
}

Bundle with(Bundle bundle, const std::string& name, const std::string& content) {
    std::ranges::find(bundle.payloads, name, &Payload::name)->content = content;
    return bundle;
}

FakeMachine joined_machine() {
    FakeMachine machine = new_machine(role);
    const auto host = host_of(machine, role);
    run_to_end(*host);
    return machine;
}

/// What was done of this list, in order.
std::vector<std::string> done_of(const FakeHost& host, const std::vector<std::string>& list) {
    std::vector<std::string> found;
    for (const std::string& change : host.changes) {
        if (std::ranges::find(list, change) != list.end()) found.push_back(change);
    }
    return found;
}

const std::vector<std::string> steps = {std::string("write ") + haproxy_file, reload_haproxy,
                                        std::string("write ") + keepalived_file, reload_keepalived};

void expect_runs(FakeMachine& machine, const Bundle& bundle) {
    FakeHost host(machine);
    EXPECT_EQ(host.text(haproxy_file), payload_of(bundle, "haproxy.cfg"));
    EXPECT_EQ(host.text("/run/read-by-haproxy"), payload_of(bundle, "haproxy.cfg"));
    EXPECT_EQ(host.text(keepalived_file), payload_of(bundle, "keepalived.conf"));
    EXPECT_EQ(host.text("/proc/77/comm"), "vrrp-" + std::to_string(bundle.epoch) + "\n");
}

TEST(Balancer, StartsWithTheImagesConfigurationAndReloadsNothing) {
    FakeMachine machine = new_machine(role);
    const auto host = host_of(machine, role);
    run_to_end(*host);
    EXPECT_EQ(done_of(*host, steps), std::vector<std::string>());
    expect_runs(machine, bundle_of(role, 1));
}

TEST(Balancer, TakesANewerConfigurationWithoutStopping) {
    FakeMachine machine = joined_machine();
    machine.deliveries = {{stick, seal(bundle_of(role, 2), first_signer())}};
    const auto host = host_of(machine, role);
    run_to_end(*host);
    EXPECT_EQ(done_of(*host, steps), steps);
    expect_runs(machine, bundle_of(role, 2));
    EXPECT_THAT(host->asked, Contains("run haproxy -c -f /etc/makina/balancer/haproxy.cfg"));
    EXPECT_THAT(host->asked, Contains("run keepalived --config-test --use-file /etc/makina/balancer/keepalived.conf"));
}

TEST(Balancer, ReloadsOnlyWhatHasChanged) {
    FakeMachine machine = joined_machine();
    Bundle next = bundle_of(role, 2);
    next = with(next, "keepalived.conf", payload_of(bundle_of(role, 1), "keepalived.conf"));
    machine.deliveries = {{stick, seal(next, first_signer())}};
    const auto host = host_of(machine, role);
    (void)run(*host, {.until_joined = true});
    EXPECT_EQ(done_of(*host, steps), std::vector(steps.begin(), steps.begin() + 2));
}

TEST(Balancer, AsksWhatRunsAndNotWhatWasWritten) {
    const Bundle bundle = bundle_of(role, 1);
    for (const std::string old : {"an older one\npath /configuration\n", "no answer"}) {
        FakeMachine machine = joined_machine();
        const auto host = host_of(machine, role);
        host->put("/run/read-by-haproxy", old);
        EXPECT_EQ(ask_balancer(*host, bundle).waiting_for, "haproxy to run with /etc/haproxy/haproxy.cfg");
        EXPECT_TRUE(do_balancer(*host, bundle).done);
        EXPECT_EQ(host->changes, std::vector<std::string>{reload_haproxy});
    }
    for (const std::string name : {"vrrp-0\n", "keepalived\n", ""}) {
        FakeMachine machine = joined_machine();
        const auto host = host_of(machine, role);
        host->put("/proc/77/comm", name);
        EXPECT_EQ(ask_balancer(*host, bundle).waiting_for, "keepalived to run with /etc/keepalived/keepalived.conf");
        EXPECT_TRUE(do_balancer(*host, bundle).done);
        EXPECT_EQ(host->changes, std::vector<std::string>{reload_keepalived});
    }
}

TEST(Balancer, WaitsForItsServersAndLeavesStartingThemToTheirUnits) {
    for (const std::string unit : {"haproxy", "keepalived"}) {
        FakeMachine machine = joined_machine();
        machine.files.erase("/run/active/" + unit);
        const auto host = host_of(machine, role);
        const std::string wanted = unit + " to run; systemctl status " + unit + " tells why it does not";
        EXPECT_EQ(do_balancer(*host, bundle_of(role, 1)).waiting_for, wanted);
        EXPECT_EQ(host->changes, std::vector<std::string>());
    }
}

struct Nonsense {
    std::string payload;
    std::string file;
    std::string reload;
    std::string words;
};

TEST(Balancer, KeepsWhatRunsIfTheServerRefusesTheNewer) {
    for (const Nonsense& one :
         {Nonsense{"haproxy.cfg", haproxy_file, reload_haproxy,
                   "join: haproxy refuses /etc/makina/balancer/haproxy.cfg and goes on with what it has: [ALERT]    "
                   "(77) : config : unknown keyword"},
          Nonsense{"keepalived.conf", keepalived_file, reload_keepalived,
                   "join: keepalived refuses /etc/makina/balancer/keepalived.conf and goes on with what it has: "
                   "(/etc/makina/balancer/keepalived.conf: Line 2) Unknown keyword"}}) {
        FakeMachine machine = joined_machine();
        const Bundle bad = with(bundle_of(role, 2), one.payload, "nonsense\n");
        machine.deliveries = {{stick, seal(bad, first_signer())}};
        const auto host = host_of(machine, role);
        host->stop_at = 3600;
        EXPECT_EQ(run(*host, {}), Ending::stopped);
        EXPECT_EQ(host->statuses.back().state, "failed");
        EXPECT_EQ(host->statuses.back().last_error, one.words);
        EXPECT_EQ(host->text(one.file), payload_of(bundle_of(role, 1), one.payload));
        EXPECT_THAT(host->changes, Not(Contains(one.reload)));
        // The next one that is handed over is taken all the same.
        machine.deliveries = {{stick, seal(bundle_of(role, 3), first_signer())}};
        const auto next = host_of(machine, role);
        run_to_end(*next);
        expect_runs(machine, bundle_of(role, 3));
    }
}

TEST(Balancer, ComesToTheSameEndAfterAPowerCutAtEveryChange) {
    const FakeMachine before = [] {
        FakeMachine machine = joined_machine();
        machine.deliveries = {{stick, seal(bundle_of(role, 2), first_signer())}};
        return machine;
    }();
    FakeMachine undisturbed = before;
    const auto first = host_of(undisturbed, role);
    run_to_end(*first);
    for (const Kind kind : {Kind::cut_before, Kind::cut_half_done, Kind::cut_after}) {
        for (const bool power : {true, false}) {
            for (std::size_t at = 1; at <= first->changes.size(); ++at) {
                FakeMachine machine = before;
                const auto host = host_of(machine, role);
                host->accident = Accident{kind, at};
                EXPECT_THROW(run_to_end(*host), Cut);
                count("cut_points");
                // Without it only the daemon has ended: what runs still has what it has read.
                if (power) power_cycle(machine);
                const auto next = host_of(machine, role);
                run_to_end(*next);
                EXPECT_EQ(essence(machine), essence(undisturbed));
                // After sealing up nobody asks any more; the servers read their files when the power comes back.
                if (!power || machine.files.contains("/run/read-by-haproxy")) expect_runs(machine, bundle_of(role, 2));
                if (HasFailure()) {
                    count("cut_points_failed");
                    FAIL() << "cut at " << at << ": " << first->changes.at(at - 1);
                }
            }
        }
    }
}

TEST(Balancer, TakesAPersonsOwnConfigurationThatTellsNothing) {
    FakeMachine machine = joined_machine();
    Bundle own = with(bundle_of(role, 2), "haproxy.cfg", "listen on everything\n");
    own = with(own, "keepalived.conf", "one address\n");
    machine.deliveries = {{stick, seal(own, first_signer())}};
    const auto host = host_of(machine, role);
    EXPECT_EQ(run(*host, {.until_joined = true}), Ending::joined);
    EXPECT_EQ(done_of(*host, steps), steps);
    EXPECT_EQ(host->text("/run/read-by-haproxy"), "listen on everything\n");
}

}  // namespace
}  // namespace makina
