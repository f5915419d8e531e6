#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <ctime>
#include <thread>

#include "builder/pki/certificate.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/machine/fetch.hpp"
#include "firstboot/machine/status_server.hpp"
#include "firstboot/machine/supervisor.hpp"
#include "tests/unit/scratch.hpp"

namespace makina {
namespace {

using ::testing::HasSubstr;

/// A folder with the files of a node: what it shows, and whom it believes.
class Card {
  public:
    Card(const Scratch& scratch, const std::string& name, const Credential& authority, const Credential& believed)
        : root_(scratch / name) {
        const Credential leaf =
            make_leaf({name, "", {name}, {"127.0.0.1"}}, Usage::peer, authority, std::time(nullptr));
        put("ca.crt", to_pem(believed.certificate));
        put("node.crt", to_pem(leaf.certificate));
        put("node.key", private_pem(leaf.key, ""));
    }
    [[nodiscard]] Files files() const { return Files(root_); }
    static Credentials credentials() { return {"/pki/ca.crt", "/pki/node.crt", "/pki/node.key"}; }
    void put(const std::string& name, const std::string& content) const {
        std::filesystem::create_directories(root_ / "pki");
        std::ofstream(root_ / "pki" / name) << content;
    }

  private:
    std::filesystem::path root_;
};

/// A socket of the loopback that listens, and does what it is told with each connection.
class Listener {
  public:
    explicit Listener(const std::function<void(int)>& with)
        : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        EXPECT_EQ(bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), size), 0);
        EXPECT_EQ(getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
        EXPECT_EQ(listen(socket_.get(), 8), 0);
        port = ntohs(address.sin_port);
        if (!with) return;
        thread_ = std::thread([this, with] {
            const Descriptor one(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
            if (one) with(one.get());
        });
    }
    ~Listener() {
        (void)shutdown(socket_.get(), SHUT_RDWR);
        if (thread_.joinable()) thread_.join();
    }
    std::uint16_t port = 0;

  private:
    Descriptor socket_;
    std::thread thread_;
};

void say(int socket, const std::string& text) {
    (void)send(socket, text.data(), text.size(), MSG_NOSIGNAL);
    (void)shutdown(socket, SHUT_WR);
    std::array<char, 4096> rest{};
    while (recv(socket, rest.data(), rest.size(), 0) > 0) {
    }
}

class MachinePeers : public ::testing::Test {
  protected:
    Scratch scratch_;
    Credential ours_ = make_authority("ours", std::time(nullptr));
    Credential foreign_ = make_authority("foreign", std::time(nullptr));
    Card etcd_1_{scratch_, "etcd-1", ours_, ours_};
    Card etcd_2_{scratch_, "etcd-2", ours_, ours_};
    Files server_files_ = etcd_1_.files();
    Supervisor supervisor_;
    StatusServer server_{server_files_};
    std::uint16_t port_ = 0;

    void SetUp() override {
        port_ = Listener(nullptr).port;
        server_.publish("{}", "page");
        server_.state("what etcd-1 says\n");
        server_.open_peers("127.0.0.1", port_, Tls(server_files_, Card::credentials()));
    }
    [[nodiscard]] Request question(const std::string& name = "etcd-1", const std::string& target = "/statement") const {
        Request request;
        request.address = "127.0.0.1";
        request.port = port_;
        request.target = target;
        request.tls = Card::credentials();
        request.name = name;
        return request;
    }
    static Response asked(const Card& card, const Request& request) { return fetch_all(card.files(), {request}).at(0); }
};

TEST_F(MachinePeers, TellNodesOfTheirClusterWhatTheyState) {
    const Response response = asked(etcd_2_, question());
    EXPECT_EQ(response.status, 200) << response.fault;
    EXPECT_EQ(response.body, "what etcd-1 says\n");
    EXPECT_TRUE(response.connected);
    server_.state("something newer\n");
    EXPECT_EQ(asked(etcd_2_, question()).body, "something newer\n");
    // The certificate is for the address as well.
    EXPECT_EQ(asked(etcd_2_, question("")).status, 200);
    EXPECT_EQ(asked(etcd_2_, question("etcd-1", "/status.json")).status, 404);
    EXPECT_EQ(asked(etcd_2_, question("etcd-1", "/")).status, 404);
}

TEST_F(MachinePeers, SayThatTheyHaveNothingToState) {
    server_.state("");
    EXPECT_EQ(asked(etcd_2_, question()).status, 503);
}

TEST_F(MachinePeers, AreNotBelievedUnderAnotherName) {
    const Response response = asked(etcd_2_, question("etcd-3"));
    EXPECT_EQ(response.status, 0);
    EXPECT_TRUE(response.connected);
    EXPECT_EQ(response.fault, "its certificate: hostname mismatch");
    EXPECT_EQ(response.body, "");
}

TEST_F(MachinePeers, AreNotBelievedWithAnotherAuthority) {
    const Card stranger(scratch_, "etcd-9", ours_, foreign_);
    const Response response = asked(stranger, question());
    EXPECT_EQ(response.status, 0);
    EXPECT_THAT(response.fault, HasSubstr("its certificate: "));
}

TEST_F(MachinePeers, TellNothingToWhoIsNotOfTheirCluster) {
    const Card stranger(scratch_, "etcd-9", foreign_, ours_);
    const Response refused = asked(stranger, question());
    EXPECT_EQ(refused.status, 0);
    EXPECT_EQ(refused.body, "");
    // Nor in plain text.
    Request plain = question();
    plain.tls.reset();
    EXPECT_EQ(asked(etcd_2_, plain).status, 0);
    // And go on telling the others.
    EXPECT_EQ(asked(etcd_2_, question()).status, 200);
}

TEST_F(MachinePeers, TakeANewCertificateWithoutANewPort) {
    const Credential later = make_authority("later", std::time(nullptr));
    const Card renewed(scratch_, "etcd-1-renewed", later, later);
    const Files files = renewed.files();
    server_.open_peers("127.0.0.1", port_, Tls(files, Card::credentials()));
    // Whoever connects while it is being taken may still meet the old one.
    int status = 200;
    for (int attempt = 0; attempt < 50 && status != 0; ++attempt) status = asked(etcd_2_, question()).status;
    EXPECT_EQ(status, 0);
    const Card other(scratch_, "etcd-2-renewed", later, later);
    EXPECT_EQ(asked(other, question("")).status, 200);
}

TEST_F(MachinePeers, AreAskedAllAtOnce) {
    const Listener silent(nullptr);
    std::vector<Request> requests(4, question());
    for (std::size_t at = 1; at < requests.size(); ++at) {
        requests[at].port = silent.port;
        requests[at].milliseconds = 700;
    }
    const std::int64_t begun = steady_milliseconds();
    const auto responses = fetch_all(etcd_2_.files(), requests);
    EXPECT_LT(steady_milliseconds() - begun, 1400);
    EXPECT_EQ(responses.at(0).status, 200);
    for (std::size_t at = 1; at < requests.size(); ++at) EXPECT_EQ(responses.at(at).fault, "no answer in time");
}

TEST(MachineFetch, SaysWhyThereIsNoAnswer) {
    const Scratch scratch;
    const Files files(scratch.path());
    const std::string good = "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    const std::vector<std::pair<std::string, std::string>> rows = {
        {good, ""},
        {"HTTP/1.1 503 No\r\n\r\n", ""},
        {"", "the answer is not HTTP, or a part of it is missing"},
        {"hello", "the answer is not HTTP, or a part of it is missing"},
        {"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nhi", "the answer is not HTTP, or a part of it is missing"},
        {"HTTP/1.0 200 OK\r\ncontent-LENGTH:3\r\n\r\nhi", "the answer is not HTTP, or a part of it is missing"},
        {"HTTP/1.0 2x0 OK\r\n\r\n", "the answer is not HTTP, or a part of it is missing"},
        {"HTTP/1.0 200 OK\r\n", "the answer is not HTTP, or a part of it is missing"},
        {std::string(3000, 'x'), "the answer is too long"}};
    for (const auto& [answer, fault] : rows) {
        const Listener listener([text = answer](int socket) { say(socket, text); });
        Request request;
        request.address = "127.0.0.1";
        request.port = listener.port;
        request.target = "/";
        request.largest = 2000;
        const Response response = fetch_all(files, {request}).at(0);
        EXPECT_EQ(response.fault, fault) << answer;
        EXPECT_EQ(response.status == 0, !fault.empty()) << answer;
    }
    Request request;
    request.address = "127.0.0.1";
    request.port = Listener(nullptr).port;
    request.target = "/";
    EXPECT_EQ(fetch_all(files, {request}).at(0).fault, "connection refused");
    request.address = "somewhere";
    EXPECT_EQ(fetch_all(files, {request}).at(0).fault, "\"somewhere\" is not an address");
    request.tls = Credentials{"/no", "/no", "/no"};
    EXPECT_THROW((void)fetch_all(files, {request}), Error);
}

}  // namespace
}  // namespace makina
