#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <random>
#include <set>

#include "tests/kubernetes/cluster.hpp"
#include "tests/kubernetes/writer.hpp"
#include "tests/unit/figures.hpp"

// Nobody touches these nodes: cards are made, put in and powered on, in any order, and what is destroyed is replaced by
// its next card.
namespace makina::kubernetes {
namespace {

using figures::count;
using figures::measure;

using ::testing::IsEmpty;
using ::testing::Not;

/// Seconds that a node may take, on a machine that does other things too.
constexpr double patience = 400;

std::vector<std::string> together(std::vector<std::string> some, const std::vector<std::string>& more) {
    some.insert(some.end(), more.begin(), more.end());
    return some;
}

/// One cluster from its first power-on to its last replacement.
class Round {
  public:
    explicit Round(std::uint64_t seed)
        : random_(seed),
          where_("round " + std::to_string(seed)),
          cluster_(seven_machines(), lab::workshop() / ("round-" + std::to_string(seed)), programs()) {}

    void form();
    void replace(const std::string& node);
    void expect_whole();

  private:
    void boot(const std::vector<std::string>& nodes);
    void wait_until_joined(std::vector<std::string> nodes, const std::string& figure);
    [[nodiscard]] std::string uid(const std::string& node, const std::string& asked) const;
    [[nodiscard]] std::string member_id(const std::string& node, const std::string& asked) const;

    std::mt19937_64 random_;
    std::string where_;
    Cluster cluster_;
    std::map<std::string, double> powered_on_;
};

void Round::boot(const std::vector<std::string>& nodes) {
    for (const std::string& node : nodes) {
        cluster_.boot(node);
        powered_on_[node] = lab::steady_seconds();
    }
}

/// Measures for each how long it was from its power-on.
void Round::wait_until_joined(std::vector<std::string> nodes, const std::string& figure) {
    const auto all_joined = [&] {
        std::erase_if(nodes, [&](const std::string& node) {
            const bool joined = cluster_.lab().have_joined({node});
            if (joined) measure(figure, lab::steady_seconds() - powered_on_[node]);
            return joined;
        });
        return nodes.empty();
    };
    EXPECT_TRUE(lab::becomes_true(patience, all_joined)) << where_ << "\n" << cluster_.story(nodes);
}

void Round::form() {
    const std::vector<std::string> all = together(masters, workers);
    for (const std::string& node : together(balancers, all)) cluster_.new_card(node);
    std::vector<std::string> order = together(balancers, all);
    std::shuffle(order.begin(), order.end(), random_);
    for (const std::string& node : order) where_ += " " + node;
    boot(order);
    wait_until_joined(all, "join");
    count("masters", masters.size());
    count("workers", workers.size());
    expect_whole();
}

/// The API lists everybody as Ready, and whichever control plane one asks, its etcd is the same, with three votes.
void Round::expect_whole() {
    const std::size_t wanted = masters.size() + workers.size();
    const auto ready = [&] { return cluster_.ready_nodes("master-3"); };
    EXPECT_TRUE(lab::becomes_true(60, [&] { return ready().size() == wanted; }))
        << where_ << ": " << ::testing::PrintToString(ready());
    std::set<std::string> ids;
    for (const std::string& master : masters) {
        ids.insert(cluster_.cluster_id(master));
        const std::vector<Member> members = cluster_.members(master);
        EXPECT_EQ(members.size(), 3U) << where_ << ", asked " << master;
        for (const Member& member : members) EXPECT_FALSE(member.learner) << where_ << ", asked " << master;
    }
    EXPECT_EQ(ids.size(), 1U) << where_;
    EXPECT_FALSE(ids.contains("")) << where_;
    count("split", ids.size() > 1 ? 1 : 0);
}

std::string Round::uid(const std::string& node, const std::string& asked) const {
    for (const nlohmann::json& one : cluster_.listed(asked, "nodes")) {
        if (one["metadata"]["name"] == node) return one["metadata"]["uid"].get<std::string>();
    }
    return "";
}

std::string Round::member_id(const std::string& node, const std::string& asked) const {
    for (const Member& member : cluster_.members(asked)) {
        if (member.name == node) return member.id;
    }
    return "";
}

/// The node is destroyed, card and all, while somebody writes; its next card takes its place.
void Round::replace(const std::string& node) {
    const bool is_master = std::ranges::find(masters, node) != masters.end();
    const std::string other = node == "master-3" ? "master-1" : "master-3";
    const std::string old_uid = uid(node, other);
    const std::string old_member = member_id(node, other);
    EXPECT_THAT(old_uid, Not(IsEmpty())) << where_;
    Writer writer(cluster_, other);
    EXPECT_TRUE(lab::becomes_true(20, [&] { return !writer.acknowledged().empty(); })) << where_;
    cluster_.machine(node).power_off();
    cluster_.new_card(node);
    boot({node});
    wait_until_joined({node}, "replace");
    writer.stop();
    expect_whole();
    if (is_master) {
        EXPECT_NE(uid(node, other), old_uid) << where_ << ": " << node;
        EXPECT_NE(member_id(node, other), old_member) << where_ << ": " << node;
    }
    const std::size_t lost = writer.lost(other);
    EXPECT_EQ(lost, 0U) << where_ << ": " << node << ", of " << writer.acknowledged().size();
    count("replacements");
    count("acked", writer.acknowledged().size());
    count("acked_lost", lost);
}

TEST(ZeroTouch, MastersAndWorkersFormAClusterInAnyOrderAndNewCardsTakeTheDeadOnesPlaces) {
    if (const std::string reason = why_not(); !reason.empty()) GTEST_SKIP() << reason;
    const std::uint64_t rounds = figures::long_form() ? 10 : 1;
    for (std::uint64_t seed = 0; seed < rounds && !HasFailure(); ++seed) {
        Round round(seed);
        round.form();
        // The founder first.
        for (const char* const node : {"master-1", "master-2", "worker-1"}) {
            if (!HasFailure()) round.replace(node);
        }
    }
}

}  // namespace
}  // namespace makina::kubernetes
