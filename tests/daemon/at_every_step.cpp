#include "tests/daemon/at_every_step.hpp"

#include <gmock/gmock.h>

#include <algorithm>

#include "firstboot/node/node.hpp"

namespace makina::test {
namespace {

using ::testing::HasSubstr;
using Kind = Accident::Kind;

}  // namespace

Ending AtEveryStep::run_for(FakeHost& host) {
    host.stop_at = machine.uptime + patience;
    RunOptions options;
    options.until_joined = true;
    return run(host, options);
}

std::vector<std::string> AtEveryStep::undisturbed_steps() {
    begin_anew();
    const auto undisturbed = powered_on();
    EXPECT_EQ(run_for(*undisturbed), Ending::joined);
    return undisturbed->changes;
}

void AtEveryStep::cut_everywhere(const std::string& figure, const std::string& from) {
    const std::vector<std::string> steps = undisturbed_steps();
    const auto first = from.empty() ? steps.begin() : std::find(steps.begin(), steps.end(), from);
    ASSERT_NE(first, steps.end());
    for (const Kind kind : {Kind::cut_before, Kind::cut_half_done, Kind::cut_after}) {
        for (auto at = static_cast<std::size_t>(first - steps.begin()) + 1; at <= steps.size(); ++at) {
            const std::string where = "cut at " + std::to_string(at) + ": " + steps[at - 1];
            begin_anew();
            const auto host = powered_on();
            host->accident = Accident{kind, at};
            EXPECT_THROW((void)run_for(*host), Cut) << where;
            power_cycle(machine);
            while_off();
            const auto next = powered_on();
            EXPECT_EQ(run_for(*next), Ending::joined) << where << "\n" << next->lines.back();
            expect_done(where);
            count(figure);
            if (HasFailure()) return count(figure + "_failed");
        }
    }
}

void AtEveryStep::fail_everywhere(const std::string& figure) {
    const std::vector<std::string> steps = undisturbed_steps();
    for (const Kind kind : {Kind::fail_before, Kind::fail_after}) {
        for (std::size_t at = 1; at <= steps.size(); ++at) {
            expect_over({kind, at}, "fault at " + std::to_string(at) + ": " + steps[at - 1], figure);
            if (HasFailure()) return;
        }
    }
}

void AtEveryStep::hang_everywhere(const std::string& figure, const std::string& program, std::int64_t seconds) {
    const std::vector<std::string> steps = undisturbed_steps();
    std::size_t found = 0;
    for (std::size_t at = 1; at <= steps.size(); ++at) {
        const std::string& step = steps[at - 1];
        if (!step.starts_with(program + " ") && !step.starts_with("run " + program + " ")) continue;
        ++found;
        for (const Kind kind : {Kind::hang_before, Kind::hang_after}) {
            const std::string where = "hanging at " + std::to_string(at) + ": " + step;
            expect_over({kind, at}, where, figure);
            EXPECT_GE(machine.uptime, seconds) << where;
            count("hangs");
            if (HasFailure()) return;
        }
    }
    EXPECT_GE(found, 2U);
}

void AtEveryStep::expect_over(const Accident& accident, const std::string& where, const std::string& figure) {
    begin_anew();
    const auto host = powered_on();
    host->accident = accident;
    EXPECT_EQ(run_for(*host), Ending::joined) << where << "\n" << host->lines.back();
    expect_done(where);
    count(figure);
    if (HasFailure()) count(figure + "_failed");
}

void ThirdCard::begin_anew() {
    const auto before_change = etcd.before_change;
    etcd = EtcdModel({"etcd-1", "etcd-2", "etcd-3"});
    etcd.alive.erase("etcd-3");
    etcd.before_change = before_change;
    etcd.keys[epoch_key] = "1";
    machine = new_machine(role);
    write_card(new_card());
}

Bundle ThirdCard::new_card(std::uint64_t epoch) const {
    Bundle bundle = bundle_of(role, epoch);
    bundle.node = "etcd-3";
    bundle.address = EtcdModel::address(3) + "/24";
    bundle.genesis.clear();
    bundle.peers.clear();
    for (std::size_t number = 1; number <= 3; ++number) {
        bundle.peers.push_back({"etcd-" + std::to_string(number), role, EtcdModel::address(number)});
    }
    return bundle;
}

void ThirdCard::write_card(const Bundle& bundle) {
    FakeHost host(machine);
    Trust trust = trust_of(role);
    trust.node = bundle.node;
    host.put(std::string(Trust::path), encode(trust));
    host.put(kept::bundle, seal(bundle, first_signer()), {0600, "root", "root"});
    host.put(network_file, "[Address]\nAddress=" + bundle.address + "\n");
}

void ThirdCard::expect_done(const std::string& where) {
    EXPECT_EQ(etcd.wrongs(), std::vector<std::string>()) << where;
    ASSERT_EQ(etcd.members().size(), 3U) << where;
    const Member* const own = etcd.named("etcd-3");
    ASSERT_NE(own, nullptr) << where;
    EXPECT_GT(own->id, 3U) << where;
    EXPECT_FALSE(own->learner) << where;
    EXPECT_EQ(etcd.keys[epoch_key], "2") << where;
    EXPECT_TRUE(machine.files.contains(kept::joined)) << where;
}

void ThirdCard::expect_waiting(const std::string& words) {
    const auto host = powered_on();
    EXPECT_EQ(run_for(*host), Ending::stopped);
    EXPECT_EQ(host->statuses.back().stage, "join");
    EXPECT_THAT(host->statuses.back().waiting_for, HasSubstr(words));
    EXPECT_EQ(etcd.changes(), 0U);
    EXPECT_EQ(etcd.wrongs(), std::vector<std::string>());
}

}  // namespace makina::test
