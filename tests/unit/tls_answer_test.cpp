#include "builder/pki/tls_answer.hpp"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <ctime>
#include <thread>

#include "builder/process.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/handle.hpp"

namespace makina {
namespace {

/// Answers one connection to a port of the loopback.
class OneAnswer {
  public:
    OneAnswer() : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        auto* const plain = reinterpret_cast<sockaddr*>(&address);
        if (bind(listener_.get(), plain, size) != 0 || listen(listener_.get(), 1) != 0 ||
            getsockname(listener_.get(), plain, &size) != 0) {
            throw std::runtime_error("no socket on the loopback");
        }
        port = std::to_string(ntohs(address.sin_port));
        thread_ = std::thread([this] {
            try {
                const Descriptor client(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
                answer_over_tls(client.get(), "ok", std::time(nullptr));
            } catch (const Error& error) {
                fault_ = error.what();
            }
        });
    }
    OneAnswer(const OneAnswer&) = delete;
    OneAnswer& operator=(const OneAnswer&) = delete;
    ~OneAnswer() {
        if (thread_.joinable()) thread_.join();
    }
    /// What it threw, when it is over.
    std::string fault() {
        thread_.join();
        return fault_;
    }
    std::string port;

  private:
    Descriptor listener_;
    std::string fault_;
    std::thread thread_;
};

TEST(TlsAnswer, SaysThatAllIsWellWhateverIsAsked) {
    OneAnswer answer;
    const std::string url = "https://127.0.0.1:" + answer.port + "/readyz?verbose";
    const Result asked = run({{"curl", "--silent", "--show-error", "--fail", "--insecure", "--noproxy", "*",
                               "--max-time", "20", "--write-out", " %{http_code}", url}});
    EXPECT_EQ(asked.status, 0) << asked.errors;
    EXPECT_EQ(asked.output, "ok 200");
    EXPECT_EQ(answer.fault(), "");
}

TEST(TlsAnswer, IsNoFaultOfOursIfNoTlsIsSpoken) {
    OneAnswer answer;
    (void)run({{"curl", "--silent", "--noproxy", "*", "--max-time", "20", "http://127.0.0.1:" + answer.port}});
    EXPECT_NE(answer.fault().find("answering over TLS: "), std::string::npos);
}

}  // namespace
}  // namespace makina
