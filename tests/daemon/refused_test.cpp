#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "firstboot/bundle/error.hpp"
#include "firstboot/machine/machine.hpp"
#include "firstboot/machine/network.hpp"
#include "firstboot/node/node.hpp"
#include "firstboot/run.hpp"
#include "tests/daemon/scene.hpp"
#include "tests/unit/child.hpp"
#include "tests/unit/scratch.hpp"

namespace makina {
namespace {

using namespace makina::test;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* role = "worker";
constexpr const char* stick = "sda1:makina.bundle";
constexpr const char* way_out_words =
    "another bundle (makina-image bundle create): put makina.bundle on a USB stick or the boot partition";

std::string sealed(std::uint64_t epoch, const std::string& signer = first_signer()) {
    return seal(bundle_of(role, epoch), signer);
}

/// A card whose bundle somebody else has sealed.
FakeMachine untrusted_machine() {
    FakeMachine machine = new_machine(role);
    machine.files[kept::bundle].content = sealed(1, second_signer());
    return machine;
}

/// What an endless run ended with.
std::string ending(FakeHost& host) {
    try {
        (void)run(host, {});
    } catch (const Untrusted& untrusted) {
        return untrusted.what();
    }
    return "it was not refused";
}

TEST(Row1, ARefusedNodeStaysToTellSoAndTriesNothingAgain) {
    FakeMachine machine = untrusted_machine();
    const FakeMachine before = machine;
    const auto host = host_of(machine, role);
    host->after_change = nullptr;
    host->stop_at = 7 * a_day;
    EXPECT_EQ(ending(*host), "nobody whom this card believes has sealed it");
    EXPECT_GE(machine.uptime, 7 * a_day);
    const Status& status = host->statuses.back();
    EXPECT_EQ(status.state, "refused");
    EXPECT_EQ(status.stage, "verify");
    EXPECT_EQ(status.last_error, "nobody whom this card believes has sealed it");
    EXPECT_EQ(status.waiting_for, way_out_words);
    EXPECT_GE(status.uptime, 7 * a_day - 60);
    EXPECT_LT(status.since_uptime, 10);
    EXPECT_EQ(host->lights.back(), Light::refused);
    // The same bytes were looked at once.
    EXPECT_EQ(host->bundles, std::vector<std::string>{before.files.at(kept::bundle).content});
    EXPECT_THAT(host->changes, IsEmpty());
    EXPECT_EQ(machine.files, before.files);
    EXPECT_LT(host->lines.size(), 10U);
}

TEST(Row1, ARefusedNodeGoesOnWithABundleThatIsHandedOver) {
    FakeMachine machine = untrusted_machine();
    const auto host = host_of(machine, role);
    const auto world = host->world;
    std::string noticed;
    host->world = [&](FakeHost& one) {
        const std::int64_t now = one.machine.uptime;
        if (now > 600 && now < 620) one.machine.deliveries = {{stick, sealed(2, second_signer())}};
        if (now > 900 && now < 920) noticed = one.statuses.back().notice;
        if (now > 1200 && now < 1211) one.machine.deliveries = {{stick, sealed(3)}};
        world(one);
    };
    host->stop_at = 3600;
    EXPECT_EQ(run(*host, {}), Ending::stopped);
    EXPECT_EQ(noticed, std::string(stick) + " is refused: nobody whom this card believes has sealed it");
    EXPECT_EQ(host->statuses.back().state, "joined");
    EXPECT_EQ(host->statuses.back().waiting_for, "");
    EXPECT_EQ(host->statuses.back().epoch, 3U);
    EXPECT_THAT(machine.deliveries, IsEmpty());
}

TEST(Row1, ARefusedNodeLeavesACopyOfItsBundleWhereItIs) {
    FakeMachine machine = untrusted_machine();
    const auto host = host_of(machine, role);
    host->after_change = nullptr;
    host->world = [&](FakeHost& one) { one.machine.deliveries = {{stick, one.text(kept::bundle)}}; };
    host->stop_at = a_day;
    EXPECT_EQ(ending(*host), "nobody whom this card believes has sealed it");
    EXPECT_THAT(host->changes, IsEmpty());
    EXPECT_EQ(host->statuses.back().state, "refused");
}

TEST(Row1, ACardThatDoesNotSayWhomItBelievesNeedsANewCard) {
    FakeMachine machine = new_machine(role);
    machine.files[std::string(Trust::path)].content = "makina-trust 1\nhalf of it";
    machine.deliveries = {{stick, sealed(2)}};
    const auto host = host_of(machine, role);
    host->stop_at = a_day;
    EXPECT_THAT(ending(*host), HasSubstr("/usr/lib/makina/trust"));
    EXPECT_EQ(host->statuses.back().state, "refused");
    EXPECT_EQ(host->statuses.back().waiting_for, "a new card: this one does not say any more whom it believes");
    EXPECT_THAT(host->changes, IsEmpty());
}

TEST(Row1, WhoRunsItUntilItHasJoinedIsToldAtOnce) {
    FakeMachine machine = untrusted_machine();
    const auto host = host_of(machine, role);
    host->after_change = nullptr;
    RunOptions options;
    options.until_joined = true;
    EXPECT_THROW((void)run(*host, options), Untrusted);
    EXPECT_LT(machine.uptime, 60);
}

TEST(StatusPage, IsOnTheNodesOwnAddressElseOnThoseThatItHas) {
    const std::vector<Interface> interfaces = {{"eth0", "dc:a6:32:00:00:01", true, {"192.168.3.11/24", "10.0.0.1/8"}},
                                               {"eth1", "dc:a6:32:00:00:02", false, {}},
                                               {"eth2", "dc:a6:32:00:00:03", true, {"192.168.4.1/24"}}};
    EXPECT_THAT(page_addresses("192.168.3.12/24", interfaces), ElementsAre("192.168.3.12"));
    EXPECT_THAT(page_addresses("", interfaces), ElementsAre("192.168.3.11", "10.0.0.1", "192.168.4.1"));
    EXPECT_THAT(page_addresses("", {}), IsEmpty());
}

std::string page_at(std::uint16_t port) {
    const Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const std::string request = "GET / HTTP/1.0\r\n\r\n";
    if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        send(socket.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) {
        return "";
    }
    std::string text;
    std::array<char, 4096> buffer{};
    for (ssize_t count = 0; (count = recv(socket.get(), buffer.data(), buffer.size(), 0)) > 0;) {
        text.append(buffer.data(), static_cast<std::size_t>(count));
    }
    return text;
}

/// The whole program on a card's files.
TEST(Row1, ThePageOfARefusedNodeSaysWhyAndWhatToDo) {
    const Scratch scratch;
    scratch.write(std::string(Trust::path).substr(1), encode(trust_of(role)));
    std::filesystem::permissions(scratch.write(std::string(kept::bundle).substr(1), "no bundle at all"),
                                 std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    const auto port = static_cast<std::uint16_t>(20000 + getpid() % 10000);
    const std::string place = "127.0.0.1:" + std::to_string(port);
    const pid_t daemon = fork();
    ASSERT_GE(daemon, 0);
    if (daemon == 0) {
        execl(MAKINA_FIRSTBOOT, MAKINA_FIRSTBOOT, "run", "--root", scratch.path().c_str(), "--page", place.c_str(),
              nullptr);
        _exit(127);
    }
    std::string page;
    for (int tenth = 0; tenth < 300 && page.find("<b>refused</b>") == std::string::npos; ++tenth) {
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        page = page_at(port);
    }
    EXPECT_THAT(page, AllOf(HasSubstr("<b>refused</b> at verify"), HasSubstr("<th>last error</th>"),
                            HasSubstr("put makina.bundle on a USB stick")));
    // Whoever ends it hears of it, and systemd does not start it again.
    kill(daemon, SIGTERM);
    int status = 0;
    ASSERT_EQ(waitpid(daemon, &status, 0), daemon);
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 3);
}

}  // namespace
}  // namespace makina
