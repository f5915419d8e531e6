#include <gtest/gtest.h>

#include "tests/kubernetes/round.hpp"
#include "tests/unit/figures.hpp"

// What goes wrong while a new card takes a dead control plane's place: its own power goes, or a second control plane's.
namespace makina::kubernetes {
namespace {

using figures::count;

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

class Accidents : public ::testing::Test {
  protected:
    void SetUp() override {
        if (const std::string reason = why_not(); !reason.empty()) GTEST_SKIP() << reason;
        if (!figures::long_form()) GTEST_SKIP() << "takes half an hour: MAKINA_ALL=1";
    }
    static void wait_for(Round& round, const Moment& moment, const std::string& node, const std::string& asked) {
        round.wait_until_it_waits(node, moment.waiting_for);
        round.pass(round.chance(moment.from, moment.to), asked);
    }
    /// The control plane that is replaced in the nth accident, and one of the others.
    static std::string nth(std::size_t n) { return masters.at(n % masters.size()); }
};

TEST_F(Accidents, ThePowerOfTheNewCardGoes) {
    Round round(control_planes_alone(), 100);
    round.form();
    const std::vector<Moment> moments = {{the_death, 0, 10}, {the_removal, 0, 1}, {kubeadm, 0, 4},
                                         {kubeadm, 4, 8},    {kubeadm, 8, 14},    {kubeadm, 14, 25}};
    for (std::size_t at = 0; at < moments.size() && !HasFailure(); ++at) {
        const std::string node = nth(at);
        round.replace(node, [&] {
            wait_for(round, moments[at], node, nth(at + 1));
            round.cut_power(node);
            round.boot(node);
        });
        count("replacement_cuts");
    }
}

TEST_F(Accidents, ASecondControlPlaneDiesMeanwhile) {
    Round round(control_planes_alone(), 200);
    round.form();
    const std::vector<Moment> moments = {{the_death, 0, 20}, {the_removal, 0, 1}, {kubeadm, 2, 12}};
    for (std::size_t at = 0; at < moments.size() && !HasFailure(); ++at) {
        const std::string second = nth(at + 1);
        round.replace(nth(at), [&] {
            wait_for(round, moments[at], nth(at), nth(at + 2));
            round.cut_power(second);
            round.pass(30, nth(at + 2));
            round.boot(second);
        });
        count("second_failures");
    }
}

}  // namespace
}  // namespace makina::kubernetes
