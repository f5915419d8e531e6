#include <gtest/gtest.h>

#include "tests/kubernetes/round.hpp"
#include "tests/unit/figures.hpp"

// What goes wrong while a new card takes a dead control plane's place: its own power goes, or a second control plane's.
namespace makina::kubernetes {
namespace {

constexpr const char* the_death = "the cluster to miss ";
constexpr const char* the_removal = "the old member to be gone from the list";
constexpr const char* kubeadm = "kubeadm join to come to its end";

/// A moment of a replacement: so many seconds after the node has said what it waits for.
struct Moment {
    const char* waiting_for;
    double from, to;  ///< chance decides
};

Profile control_planes_alone() {
    Profile profile = seven_machines();
    std::erase_if(profile.nodes, [](const Node& node) { return node.role == Role::worker; });
    return profile;
}

/// The control plane that is replaced in the nth accident; the next ones are the others.
const std::string& nth(std::size_t n) {
    return masters.at(n % masters.size());
}

/// One kind of accident, at each of its moments.
struct Accident {
    const char* name;
    std::uint64_t seed;
    const char* figure;
    std::vector<Moment> moments;
    /// What happens in the nth replacement when its moment has come.
    void (*happen)(Round& round, std::size_t n);
};

void new_card_loses_power(Round& round, std::size_t n) {
    round.cut_power(nth(n));
    round.boot(nth(n));
}

void second_control_plane_dies(Round& round, std::size_t n) {
    round.cut_power(nth(n + 1));
    round.pass(30);
    round.boot(nth(n + 1));
}

/// None in the short form: each takes a quarter of an hour.
std::vector<Accident> accidents() {
    if (!figures::long_form()) return {};
    return {{"NewCardLosesPower",
             100,
             "replacement_cuts",
             {{the_death, 0, 10},
              {the_removal, 0, 1},
              {kubeadm, 0, 4},
              {kubeadm, 4, 8},
              {kubeadm, 8, 14},
              {kubeadm, 14, 25}},
             new_card_loses_power},
            {"SecondControlPlaneDies",
             200,
             "second_failures",
             {{the_death, 0, 20}, {the_removal, 0, 1}, {kubeadm, 2, 12}},
             second_control_plane_dies}};
}

class Accidents : public ::testing::TestWithParam<Accident> {};

TEST_P(Accidents, EndWell) {
    if (const std::string reason = why_not(); !reason.empty()) GTEST_SKIP() << reason;
    const Accident& accident = GetParam();
    Round round(control_planes_alone(), accident.seed);
    round.form();
    for (std::size_t n = 0; n < accident.moments.size() && !HasFailure(); ++n) {
        const Moment& moment = accident.moments[n];
        round.replace(nth(n), [&] {
            round.wait_until_it_waits(nth(n), moment.waiting_for);
            round.pass(round.chance(moment.from, moment.to));
            accident.happen(round, n);
        });
        figures::count(accident.figure);
    }
}

/// The node that is replaced; none in the short form.
std::vector<std::string> with_kills() {
    return figures::long_form() ? std::vector<std::string>{"master-1"} : std::vector<std::string>{};
}

class DaemonAlone : public ::testing::TestWithParam<std::string> {};

/// All of them in one replacement, the machine and what kubelet has started on it go on.
TEST_P(DaemonAlone, GoesOnWithAReplacementHoweverOftenItIsKilled) {
    if (const std::string reason = why_not(); !reason.empty()) GTEST_SKIP() << reason;
    const std::string& node = GetParam();
    // How far the last ones find it is left to chance: a join that was cut off late is not begun again.
    const std::vector<Moment> moments = {{the_death, 0, 10}, {the_removal, 0, 1}, {kubeadm, 0, 4}, {kubeadm, 4, 8},
                                         {"", 8, 14},        {"", 8, 14},         {"", 8, 14}};
    Round round(control_planes_alone(), 300);
    round.form();
    round.replace(node, [&] {
        for (const Moment& moment : moments) {
            round.wait_until_it_waits(node, moment.waiting_for);
            round.pass(round.chance(moment.from, moment.to));
            if (round.has_joined(node)) return;
            round.kill_daemon(node);
            figures::count("daemon_kills");
            if (::testing::Test::HasFailure()) return;
        }
    });
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(DaemonAlone);
INSTANTIATE_TEST_SUITE_P(Kills, DaemonAlone, ::testing::ValuesIn(with_kills()));
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Accidents);
INSTANTIATE_TEST_SUITE_P(Kinds, Accidents, ::testing::ValuesIn(accidents()),
                         [](const auto& each) { return std::string(each.param.name); });

}  // namespace
}  // namespace makina::kubernetes
