#include "tests/kubernetes/round.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "tests/kubernetes/by_hand.hpp"
#include "tests/kubernetes/writer.hpp"
#include "tests/unit/figures.hpp"

namespace makina::kubernetes {
namespace {

using figures::count;
using figures::measure;

using ::testing::IsEmpty;
using ::testing::Not;

/// Seconds that a node may take, on a machine that does other things too and after any accident: kubeadm alone gives up
/// after minutes.
constexpr double patience = 900;
/// Seconds in which one of the etcds that are there says what members it has.
constexpr double longest_silence = 20;
/// Seconds between two nodes that are powered on.
constexpr double longest_pause = 6;

/// The control planes among the nodes change places, so that rounds 0 to 5 have all their six orders.
void permute_masters(std::vector<std::string>& nodes, std::uint64_t round) {
    std::vector<std::string> permuted = masters;
    for (std::uint64_t turn = round % 6; turn > 0; --turn) std::ranges::next_permutation(permuted);
    auto next = permuted.begin();
    for (std::string& node : nodes) {
        if (std::ranges::find(masters, node) != masters.end()) node = *next++;
    }
}

/// A control plane that is not this one.
std::string another_than(const std::string& node) {
    return node == "master-3" ? "master-1" : "master-3";
}

}  // namespace

Round::Round(Profile profile, std::uint64_t seed)
    : seed_(seed),
      random_(seed),
      where_("round " + std::to_string(seed)),
      cluster_(std::move(profile), lab::workshop() / ("round-" + std::to_string(seed)), programs()) {}

std::vector<std::string> Round::nodes_of(Role role) {
    std::vector<std::string> names;
    for (const Node* const node : profile().with_role(role)) names.push_back(node->name);
    return names;
}

void Round::boot(const std::string& node) {
    cluster_.boot(node);
    powered_on_[node] = lab::steady_seconds();
}

/// Measures for each how long it was from its power-on.
void Round::wait_until_joined(const std::vector<std::string>& nodes, const std::string& figure) {
    std::vector<std::string> late = nodes;
    (void)becomes_true(patience, [&] {
        std::erase_if(late, [&](const std::string& node) {
            const bool has_joined = cluster_.lab().have_joined({node});
            if (has_joined) measure(figure, lab::steady_seconds() - powered_on_[node]);
            return has_joined;
        });
        return late.empty();
    });
    EXPECT_TRUE(late.empty()) << where_ << "\n" << cluster_.story(late);
}

void Round::form() {
    std::vector<std::string> order;
    for (const Node& node : profile().nodes) order.push_back(node.name);
    for (const std::string& node : order) cluster_.new_card(node);
    for (const std::string& master : masters) {
        EXPECT_THAT(bundle_on(cluster_.machine(master)).genesis, Not(IsEmpty())) << where_ << ": " << master;
    }
    std::shuffle(order.begin(), order.end(), random_);
    permute_masters(order, seed_);
    for (const std::string& node : order) {
        // A person goes from one to the next.
        std::this_thread::sleep_for(std::chrono::duration<double>(chance(0, longest_pause)));
        where_ += " " + node;
        boot(node);
    }
    std::erase_if(order, [&](const std::string& node) { return profile().find(node)->role == Role::load_balancer; });
    wait_until_joined(order, "join");
    count("masters", masters.size());
    count("workers", nodes_of(Role::worker).size());
    expect_whole();
}

void Round::expect_whole() {
    const std::size_t wanted = masters.size() + nodes_of(Role::worker).size();
    const auto ready = [&] { return cluster_.ready_nodes("master-3"); };
    EXPECT_TRUE(lab::becomes_true(60, [&] { return ready().size() == wanted; }))
        << where_ << ": " << ::testing::PrintToString(ready());
    count("split", cluster_.expect_one_etcd(where_).size() > 1 ? 1 : 0);
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

void Round::replace(const std::string& node, const std::function<void()>& accident) {
    const std::string other = another_than(node);
    const std::string old_uid = uid(node, other);
    const std::string old_member = member_id(node, other);
    EXPECT_THAT(old_uid, Not(IsEmpty())) << where_;
    Writer writer(cluster_, other);
    EXPECT_TRUE(lab::becomes_true(20, [&] { return !writer.acknowledged().empty(); })) << where_;
    cut_power(node);
    cluster_.replacement_card(node);
    EXPECT_THAT(bundle_on(cluster_.machine(node)).genesis, IsEmpty()) << where_ << ": " << node;
    boot(node);
    replaced_ = node;
    looked_ = answered_ = lab::steady_seconds();
    if (accident) accident();
    wait_until_joined({node}, "replace");
    replaced_.clear();
    writer.stop();
    expect_whole();
    if (profile().find(node)->role == Role::control_plane) {
        EXPECT_NE(uid(node, other), old_uid) << where_ << ": " << node;
        EXPECT_NE(member_id(node, other), old_member) << where_ << ": " << node;
    }
    const std::size_t lost = writer.lost(other);
    EXPECT_EQ(lost, 0U) << where_ << ": " << node << ", of " << writer.acknowledged().size();
    count("replacements");
    count("acked", writer.acknowledged().size());
    count("acked_lost", lost);
}

void Round::wait_until_it_waits(const std::string& node, const std::string& words) {
    bool waits = false;
    (void)becomes_true(patience, [&] {
        waits = cluster_.lab().status(node, "waiting_for").starts_with(words);
        return waits || cluster_.lab().have_joined({node});
    });
    EXPECT_TRUE(waits) << where_ << ": " << node << " did not wait for " << words << "\n" << cluster_.story({node});
}

bool Round::becomes_true(double seconds, const std::function<bool()>& question) {
    return lab::becomes_true(seconds, [&] {
        const double now = lab::steady_seconds();
        if (!replaced_.empty() && now - looked_ >= 1) {
            looked_ = now;
            expect_no_other_member();
        }
        return question();
    });
}

void Round::expect_no_other_member() {
    for (const std::string& master : masters) {
        if (master == replaced_ || !cluster_.machine(master).is_on()) continue;
        const std::vector<std::string> members = cluster_.known_members(master);
        if (!members.empty()) answered_ = lab::steady_seconds();
        count("member_lists", members.empty() ? 0 : 1);
        EXPECT_LE(members.size(), masters.size())
            << where_ << ": " << replaced_ << ", asked " << master << ": " << ::testing::PrintToString(members);
    }
    EXPECT_LT(lab::steady_seconds() - answered_, longest_silence) << where_ << ": " << replaced_ << ": no etcd answers";
}

void Round::kill_daemon(const std::string& node) {
    lab::Machine& machine = cluster_.machine(node);
    // A program's name has 15 letters at most.
    const Result killed = machine.run({"pkill", "-KILL", "makina-firstboo"});
    EXPECT_EQ(killed.status, 0) << where_ << ": " << node << " has no daemon";
    // What it said is not to be taken for what the next one says.
    fs::remove(machine.file("/run/makina/status.json"));
    pass(5);
    machine.start_daemon();
}

void Round::pass(double seconds) {
    const double end = lab::steady_seconds() + seconds;
    (void)becomes_true(seconds, [&] { return lab::steady_seconds() >= end; });
}

}  // namespace makina::kubernetes
