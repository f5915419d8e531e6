#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <chrono>

#include "builder/rehearse/address_watch.hpp"
#include "builder/rehearse/frames.hpp"
#include "builder/rehearse/network_switch.hpp"
#include "tests/unit/clusters.hpp"

namespace makina {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const Address shared = clusters::address("192.168.3.240");
const Mac one = card_for(clusters::address("192.168.3.241"));
const Mac two = card_for(clusters::address("192.168.3.242"));
constexpr Mac everybody = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

std::string frame(const Mac& to, const Mac& from, const std::string& content = "content") {
    std::string bytes(to.begin(), to.end());
    bytes.append(from.begin(), from.end());
    return bytes + "\x88\xb5" + content;
}

/// What a machine with the address answers to this question, as RFC 826 has it.
std::string answer_to(const std::string& question, const Mac& from, Address address = shared) {
    std::string answer = question.substr(6, 6) + std::string(from.begin(), from.end());
    answer += question.substr(12, 9) + '\x02' + std::string(from.begin(), from.end());
    for (int shift = 24; shift >= 0; shift -= 8) answer += static_cast<char>(address.value >> shift & 0xff);
    return answer + question.substr(22, 10) + std::string(18, '\0');
}

TEST(Frames, EachMachineHasItsOwnCards) {
    EXPECT_EQ(to_string(one), "02:4d:c0:a8:03:f1");
    EXPECT_EQ(to_string(card_for(clusters::address("192.168.3.241"), 1)), "02:4e:c0:a8:03:f1");
}

TEST(ForwardingTable, SendsToAllUntilItHasLearned) {
    ForwardingTable table;
    EXPECT_THAT(table.ways(0, frame(two, one), 3), ElementsAre(1, 2));
    EXPECT_THAT(table.ways(2, frame(one, two), 3), ElementsAre(0));
    EXPECT_THAT(table.ways(0, frame(two, one), 3), ElementsAre(2));
    EXPECT_THAT(table.ways(0, frame(everybody, one), 3), ElementsAre(1, 2));
}

TEST(ForwardingTable, SendsNothingBackToWhereItCameFrom) {
    ForwardingTable table;
    (void)table.ways(0, frame(everybody, one), 3);
    EXPECT_THAT(table.ways(0, frame(one, two), 3), IsEmpty());
}

TEST(ForwardingTable, LearnsAnewWhenAMachineMovesAndForgetsAPort) {
    ForwardingTable table;
    (void)table.ways(0, frame(everybody, one), 3);
    (void)table.ways(1, frame(everybody, one), 3);
    EXPECT_THAT(table.ways(2, frame(one, two), 3), ElementsAre(1));
    table.forget(1);
    EXPECT_THAT(table.ways(2, frame(one, two), 3), ElementsAre(0, 1));
}

TEST(ForwardingTable, PassesNothingThatIsNoFrame) {
    ForwardingTable table;
    EXPECT_THAT(table.ways(0, "short", 3), IsEmpty());
    EXPECT_THAT(table.ways(0, "", 3), IsEmpty());
}

TEST(AddressWatch, AsksAsAMachineWithoutAnAddressDoes) {
    AddressWatch watch(shared);
    const std::string question = watch.question(0);
    ASSERT_EQ(question.size(), 60U);
    EXPECT_EQ(question.substr(0, 12), std::string("\xff\xff\xff\xff\xff\xff\x02\x57\0\0\0\1", 12));
    EXPECT_EQ(question.substr(12, 10), std::string("\x08\x06\0\1\x08\0\6\4\0\1", 10));
    EXPECT_EQ(question.substr(28, 4), std::string(4, '\0')) << "nobody learns an address from it";
    EXPECT_EQ(question.substr(38, 4), "\xc0\xa8\x03\xf0");
}

/// Questions at a steady pace, answered by whoever holds the address at the time.
class Asking {
  public:
    void until(double end, const std::vector<std::size_t>& holders) {
        for (; now_ < end; now_ += AddressWatch::interval) {
            const std::string question = watch.question(now_);
            for (const std::size_t port : holders) {
                EXPECT_TRUE(watch.hear(port, answer_to(question, port == 0 ? one : two), now_ + 0.1));
            }
        }
    }
    AddressWatch watch{shared};

  private:
    double now_ = 0;
};

TEST(AddressWatch, TellsWhenTheAddressMoves) {
    Asking asking;
    asking.until(10, {0});
    asking.until(13, {});
    asking.until(20, {1});
    const auto& holdings = asking.watch.holdings();
    ASSERT_EQ(holdings.size(), 2U);
    EXPECT_THAT(holdings[0].ports, ElementsAre(0));
    EXPECT_DOUBLE_EQ(holdings[0].since, 0.1);
    EXPECT_THAT(holdings[1].ports, ElementsAre(1));
    EXPECT_DOUBLE_EQ(holdings[1].since, 13.1);
}

TEST(AddressWatch, TwoAnswersToOneQuestionAreTwoHolders) {
    Asking asking;
    asking.until(5, {0});
    asking.until(8, {0, 1});
    asking.until(12, {1});
    const auto& holdings = asking.watch.holdings();
    ASSERT_EQ(holdings.size(), 3U);
    EXPECT_THAT(holdings[1].ports, ElementsAre(0, 1));
    EXPECT_DOUBLE_EQ(holdings[1].since, 5.1);
    EXPECT_THAT(holdings[2].ports, ElementsAre(1));
}

TEST(AddressWatch, ASlowMachineKeepsItsAddressAndASilentOneLosesIt) {
    Asking asking;
    asking.until(5, {0});
    asking.until(8, {});
    asking.until(10, {0});
    asking.until(20, {});
    const auto& holdings = asking.watch.holdings();
    ASSERT_EQ(holdings.size(), 2U);
    EXPECT_THAT(holdings[1].ports, IsEmpty());
    EXPECT_DOUBLE_EQ(holdings[1].since, 10 - AddressWatch::interval) << "the last question that it answered";
}

TEST(AddressWatch, TakesOnlyAnswersToItsOwnQuestions) {
    AddressWatch watch(shared);
    const std::string question = watch.question(0);
    EXPECT_FALSE(watch.hear(0, frame(two, one), 0.1));
    EXPECT_FALSE(watch.hear(0, question, 0.1)) << "a question is for everybody";
    std::string foreign = answer_to(question, one);
    foreign.replace(0, 6, std::string(two.begin(), two.end()));
    EXPECT_FALSE(watch.hear(0, foreign, 0.1)) << "an answer to somebody else";
    EXPECT_TRUE(watch.hear(0, answer_to(question, one, clusters::address("192.168.3.9")), 0.1));
    for (int quarter = 1; quarter < 20; ++quarter) (void)watch.question(quarter * 0.25);
    EXPECT_TRUE(watch.hear(0, answer_to(question, one), 5));
    (void)watch.question(9);
    EXPECT_THAT(watch.holdings(), IsEmpty()) << "it came too late to say anything";
}

double seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// The next frame at the end of a cable that is none of the switch's own questions; empty if none comes.
std::string received(const Descriptor& cable, int milliseconds = 5000) {
    for (;;) {
        pollfd waiting{cable.get(), POLLIN, 0};
        if (poll(&waiting, 1, milliseconds) <= 0) return {};
        std::array<char, 2048> buffer{};
        const ssize_t count = recv(cable.get(), buffer.data(), buffer.size(), 0);
        if (count < 0) return {};
        std::string bytes(buffer.data(), static_cast<std::size_t>(count));
        if (bytes.substr(12, 2) != "\x08\x06") return bytes;
    }
}

void send_frame(const Descriptor& cable, const std::string& bytes) {
    ASSERT_EQ(send(cable.get(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
}

TEST(NetworkSwitch, PassesFramesBetweenItsPorts) {
    NetworkSwitch hub(3, std::nullopt, seconds);
    const Descriptor first = hub.plug(0);
    const Descriptor second = hub.plug(1);
    const Descriptor third = hub.plug(2);
    const std::string call = frame(everybody, one);
    send_frame(first, call);
    EXPECT_EQ(received(second), call);
    EXPECT_EQ(received(third), call);
    const std::string reply = frame(one, two, std::string(1500, 'x'));
    send_frame(second, reply);
    EXPECT_EQ(received(first), reply);
    EXPECT_EQ(received(third, 100), "") << "it knows by now where the first one is";
}

TEST(NetworkSwitch, PassesNothingThroughACutCableOrAnEmptyPort) {
    NetworkSwitch hub(3, std::nullopt, seconds);
    const Descriptor first = hub.plug(0);
    Descriptor second = hub.plug(1);
    const std::string call = frame(everybody, one);
    hub.cut(1, true);
    send_frame(first, call);
    send_frame(second, frame(everybody, two));
    EXPECT_EQ(received(second, 200), "");
    EXPECT_EQ(received(first, 100), "");
    hub.cut(1, false);
    send_frame(first, call);
    EXPECT_EQ(received(second), call);
    hub.unplug(1);
    send_frame(first, call);
    EXPECT_EQ(received(second, 100), "");
    const Descriptor again = hub.plug(1);
    send_frame(first, call);
    EXPECT_EQ(received(again), call);
}

TEST(NetworkSwitch, FindsOutWhoHoldsTheWatchedAddress) {
    NetworkSwitch hub(2, shared, seconds);
    const Descriptor first = hub.plug(0);
    const Descriptor second = hub.plug(1);
    const double end = seconds() + 20;
    while (hub.holdings().empty() && seconds() < end) {
        std::array<char, 2048> buffer{};
        pollfd waiting{second.get(), POLLIN, 0};
        if (poll(&waiting, 1, 1000) <= 0) continue;
        const ssize_t count = recv(second.get(), buffer.data(), buffer.size(), 0);
        ASSERT_EQ(count, 60);
        send_frame(second, answer_to(std::string(buffer.data(), 60), two));
    }
    ASSERT_EQ(hub.holdings().size(), 1U);
    EXPECT_THAT(hub.holdings()[0].ports, ElementsAre(1));
}

}  // namespace
}  // namespace makina
