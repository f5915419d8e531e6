#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <chrono>
#include <random>
#include <thread>

#include "firstboot/bundle/error.hpp"
#include "firstboot/machine/http.hpp"
#include "firstboot/machine/machine.hpp"
#include "firstboot/machine/status_server.hpp"
#include "tests/unit/scratch.hpp"

namespace makina {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const Documents documents = {"{\"state\":\"waiting\"}", "<!doctype html><title>waiting</title>"};

TEST(MachineHttp, GivesThePageAndTheDocument) {
    EXPECT_THAT(http_answer("GET / HTTP/1.1\r\nHost: x\r\n\r\n", documents),
                AllOf(StartsWith("HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"),
                      HasSubstr("\r\nContent-Length: 37\r\n"), HasSubstr("\r\nConnection: close\r\n"),
                      EndsWith("\r\n\r\n" + documents.html)));
    EXPECT_THAT(http_answer("GET /status.json HTTP/1.0\r\n\r\n", documents),
                AllOf(StartsWith("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"),
                      EndsWith("\r\n\r\n" + documents.json)));
    EXPECT_THAT(http_answer("HEAD / HTTP/1.1\r\n\r\n", documents),
                AllOf(HasSubstr("\r\nContent-Length: 37\r\n"), EndsWith("\r\n\r\n")));
}

TEST(MachineHttp, RefusesEverythingElse) {
    const std::map<std::string, std::string> answers = {
        {"GET /status HTTP/1.1\r\n\r\n", "404 Not Found"},
        {"GET /../etc/shadow HTTP/1.1\r\n\r\n", "404 Not Found"},
        {"GET /?x HTTP/1.1\r\n\r\n", "404 Not Found"},
        {"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "405 Method Not Allowed"},
        {"get / HTTP/1.1\r\n\r\n", "405 Method Not Allowed"},
        {" / HTTP/1.1\r\n\r\n", "405 Method Not Allowed"},
        {"", "400 Bad Request"},
        {"\r\n\r\n", "400 Bad Request"},
        {"GET\r\n\r\n", "400 Bad Request"},
        {"GET /\r\n\r\n", "400 Bad Request"},
        {"GET / HTTP/2.0\r\n\r\n", "400 Bad Request"},
        {"GET  HTTP/1.1\r\n\r\n", "400 Bad Request"},
        {"GET / HTTP/1.1\r\n", "400 Bad Request"},
        {"GET http://x/ HTTP/1.1\r\n\r\n", "400 Bad Request"},
        {std::string("GET /\0 HTTP/1.1\r\n\r\n", 19), "404 Not Found"},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400 Bad Request"}};
    for (const auto& [request, status] : answers) {
        EXPECT_THAT(http_answer(request, documents), StartsWith("HTTP/1.1 " + status + "\r\n")) << request;
    }
    EXPECT_THAT(http_answer("PUT / HTTP/1.1\r\n\r\n", documents), HasSubstr("\r\nAllow: GET, HEAD\r\n"));
}

TEST(MachineHttp, RepeatsNothingOfWhatItWasSent) {
    EXPECT_THAT(http_answer("GET /<script> HTTP/1.1\r\nX: <script>\r\n\r\n", documents), Not(HasSubstr("script>")));
}

/// A server on a port of the loopback that was free a moment ago.
class MachineStatus : public ::testing::Test {
  protected:
    Scratch scratch_;
    Files files_{scratch_.path()};
    StatusServer server_{files_};
    std::uint16_t port_ = 0;

    void SetUp() override {
        {
            const Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
            sockaddr_in address = loopback(0);
            socklen_t size = sizeof address;
            ASSERT_EQ(bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), size), 0);
            ASSERT_EQ(getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
            port_ = ntohs(address.sin_port);
        }
        server_.publish(documents.json, documents.html);
        server_.open_page({"127.0.0.1"}, port_);
    }
    static sockaddr_in loopback(std::uint16_t port) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        return address;
    }
    [[nodiscard]] Descriptor connected() const {
        Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        const sockaddr_in address = loopback(port_);
        if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return {};
        return socket;
    }
    static std::string rest(const Descriptor& socket) {
        std::string text;
        std::array<char, 4096> buffer{};
        for (;;) {
            pollfd waiting{socket.get(), POLLIN, 0};
            if (poll(&waiting, 1, 30'000) <= 0) return text + " (and it hangs)";
            const ssize_t count = recv(socket.get(), buffer.data(), buffer.size(), 0);
            if (count <= 0) return text;
            text.append(buffer.data(), static_cast<std::size_t>(count));
        }
    }
    [[nodiscard]] std::string asked(const std::string& request) const {
        const Descriptor socket = connected();
        (void)send(socket.get(), request.data(), request.size(), MSG_NOSIGNAL);
        return rest(socket);
    }
    /// The server's thread takes a new status when it gets to it; what it tells by then, at the latest after a second.
    [[nodiscard]] std::string told_soon(const std::string& wanted) const {
        std::string told;
        for (int attempt = 0; attempt < 100 && told != wanted; ++attempt) {
            if (attempt > 0) std::this_thread::sleep_for(std::chrono::milliseconds(10));
            told = ask_status(scratch_.path());
        }
        return told;
    }
    void expect_alive() const {
        EXPECT_THAT(asked("GET /status.json HTTP/1.1\r\n\r\n"), EndsWith(documents.json));
        EXPECT_EQ(ask_status(scratch_.path()), documents.json);
    }
};

TEST_F(MachineStatus, IsToldAtTheSocketAndByHttp) {
    expect_alive();
    struct stat facts {};
    ASSERT_EQ(stat((scratch_ / "run/makina/status").c_str(), &facts), 0);
    EXPECT_EQ(facts.st_mode & 0777U, 0666U);
    server_.publish("{}", "");
    EXPECT_EQ(told_soon("{}"), "{}");
}

TEST_F(MachineStatus, ALongStatusIsToldToTheEnd) {
    const std::string document(900'000, 'x');
    server_.publish(document, "");
    EXPECT_EQ(told_soon(document), document);
    EXPECT_THAT(asked("GET /status.json HTTP/1.1\r\n\r\n"), EndsWith("\r\n\r\n" + document));
}

TEST_F(MachineStatus, ARequestInPiecesIsUnderstood) {
    const Descriptor socket = connected();
    for (const char letter : std::string("GET / HTTP/1.1\r\nHost: node\r\n\r\n")) {
        ASSERT_EQ(send(socket.get(), &letter, 1, MSG_NOSIGNAL), 1);
    }
    EXPECT_THAT(rest(socket), EndsWith(documents.html));
}

TEST_F(MachineStatus, TooLongARequestIsRefused) {
    EXPECT_THAT(asked("GET / HTTP/1.1\r\nX: " + std::string(5000, 'x') + "\r\n\r\n"),
                StartsWith("HTTP/1.1 400 Bad Request\r\n"));
    expect_alive();
}

TEST_F(MachineStatus, WhoIsSlowIsLeftWithoutAnAnswer) {
    const Descriptor socket = connected();
    ASSERT_EQ(send(socket.get(), "GET / ", 6, MSG_NOSIGNAL), 6);
    EXPECT_EQ(rest(socket), "");
    expect_alive();
}

TEST_F(MachineStatus, ManyWhoSayNothingDoNotShutOthersOut) {
    std::vector<Descriptor> silent;
    silent.reserve(60);
    for (int number = 0; number < 60; ++number) silent.push_back(connected());
    // The local socket has places of its own; a page's reader gets one when the silent have had their two seconds.
    EXPECT_EQ(ask_status(scratch_.path()), documents.json);
    expect_alive();
}

TEST_F(MachineStatus, ThousandsOfConnectionsPass) {
    for (int number = 0; number < 1000; ++number) ASSERT_TRUE(connected());
    expect_alive();
}

TEST_F(MachineStatus, NoiseHurtsNobody) {
    std::mt19937 random(6480);
    for (int round = 0; round < 300; ++round) {
        std::string noise(random() % 4000, '\0');
        for (char& letter : noise) letter = static_cast<char>(random());
        if (round % 3 == 0) noise.insert(0, "GET ");
        const Descriptor socket = connected();
        (void)send(socket.get(), noise.data(), noise.size(), MSG_NOSIGNAL);
        if (round % 2 == 0) {
            // Gone at once, with a reset.
            const linger now{1, 0};
            (void)setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
            continue;
        }
        (void)shutdown(socket.get(), SHUT_WR);
        // Whatever it was, it was no request for the page.
        EXPECT_THAT(rest(socket), Not(HasSubstr(documents.html)));
    }
    expect_alive();
}

TEST_F(MachineStatus, IsOnNoOtherAddress) {
    EXPECT_THROW(server_.open_page({"0.0.0.0"}, port_), Error);
    EXPECT_THROW(server_.open_page({""}, port_), Error);
    const Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address = loopback(port_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
    EXPECT_NE(connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
}

TEST_F(MachineStatus, MayBeOnSeveralAddressesAndLeavesThem) {
    const auto answers = [&](std::uint32_t last) {
        const Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_in address = loopback(port_);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + last);
        return connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    };
    const auto answers_soon = [&](std::uint32_t last, bool wanted) {
        for (int attempt = 0; attempt < 100 && answers(last) != wanted; ++attempt) {
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
        return answers(last);
    };
    server_.open_page({"127.0.0.2", "127.0.0.1", "127.0.0.3"}, port_);
    for (const std::uint32_t last : {1, 2, 3}) EXPECT_TRUE(answers_soon(last, true)) << last;
    expect_alive();
    server_.open_page({"127.0.0.1", "127.0.0.3"}, port_);
    EXPECT_FALSE(answers_soon(2, false));
    EXPECT_TRUE(answers(3));
    expect_alive();
    server_.open_page({}, port_);
    EXPECT_FALSE(answers_soon(1, false));
    EXPECT_EQ(ask_status(scratch_.path()), documents.json);
}

TEST_F(MachineStatus, MayBeOnAnAddressThatIsNotThereYet) {
    // TEST-NET-1 of RFC 5737 is nobody's.
    EXPECT_NO_THROW(server_.open_page({"192.0.2.7"}, port_));
}

TEST(MachineAskStatus, ReadsWhatTheLastDaemonLeft) {
    const Scratch scratch;
    try {
        (void)ask_status(scratch.path());
        FAIL();
    } catch (const Error& error) {
        EXPECT_STREQ(error.what(), "makina-firstboot does not run here, and has left no /run/makina/status.json");
    }
    scratch.write("run/makina/status.json", "{\"state\":\"refused\"}");
    EXPECT_EQ(ask_status(scratch.path()), "{\"state\":\"refused\"}");
}

}  // namespace
}  // namespace makina
