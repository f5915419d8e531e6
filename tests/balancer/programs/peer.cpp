// The peers of the balancers in these tests, each a process:
//   peer api-server ADDRESS:PORT NAME CERTIFICATE KEY STATE   stands for an API server: TLS, /readyz and long answers.
//       What it says to /readyz is in the file STATE: "ready", "not-ready" (500) or "silent" (nothing).
//   peer client ADDRESS:PORT AUTHORITY RATE    makes so many new connections a second, whatever becomes of those before
//   peer lasting ADDRESS:PORT AUTHORITY COUNT  holds so many open, and opens them again
// A client writes a line for each: "new BEGUN ENDED ok NAME" or "new BEGUN ENDED failed REASON" when it has ended;
// "watch BEGUN ENDED open -" when one that lasts is open, "watch BEGUN ENDED failed REASON" when it ends. Times are
// seconds of the clock that never jumps.
#include <openssl/crypto.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <functional>
#include <thread>
#include <vector>

#include "firstboot/bundle/error.hpp"
#include "tests/balancer/programs/tls.hpp"

namespace makina::balancer {
namespace {

constexpr double patience = 2;  // seconds for a whole connection

void pause(double seconds) {
    std::this_thread::sleep_for(std::chrono::duration<double>(std::max(seconds, 0.0)));
}

// --- the API server ---

std::string word_in(const std::string& file) {
    std::string word;
    std::ifstream(file) >> word;
    return word;
}

void answer(Connection& connection, const std::string& name, const std::string& state) {
    std::string question;
    while (question.find("\r\n\r\n") == std::string::npos) {
        const std::string more = connection.read(steady_now() + 10);
        if (more.empty()) return;
        question += more;
    }
    const auto says = [&](const std::string& status, const std::string& body) {
        connection.write("HTTP/1.1 " + status + "\r\nContent-Length: " + std::to_string(body.size()) +
                             "\r\nConnection: close\r\n\r\n" + body,
                         steady_now() + 10);
    };
    if (question.starts_with("GET /watch ")) {
        connection.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", steady_now() + 10);
        for (;; pause(0.2)) connection.write(".", steady_now() + 10);
    }
    if (!question.starts_with("GET /readyz ")) return says("200 OK", name);
    const std::string word = word_in(state);
    if (word == "silent") return pause(30);
    says(word == "ready" ? "200 OK" : "500 Internal Server Error", "");
}

int serve(const std::vector<std::string>& words) {
    const Context context = server_context(words.at(2), words.at(3));
    const sockaddr_in here = endpoint_of(words.at(0));
    const Descriptor listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int yes = 1;
    if (setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
        bind(listener.get(), reinterpret_cast<const sockaddr*>(&here), sizeof here) != 0 ||
        listen(listener.get(), 512) != 0) {
        throw_system("listening");
    }
    for (;;) {
        Descriptor socket(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (!socket) continue;
        std::thread([&, socket = std::move(socket)]() mutable {
            try {
                Connection connection(context.get(), std::move(socket), steady_now() + 10);
                answer(connection, words.at(1), words.at(4));
            } catch (const Error&) {
                // Who has gone needs no answer.
            }
        }).detach();
    }
}

// --- clients ---

void tell(const char* kind, double begun, const std::string& end, const std::string& word) {
    // One call a line: stdio locks it.
    std::printf("%s %.6f %.6f %s %s\n", kind, begun, steady_now(), end.c_str(), word.c_str());
}

/// Asks, and gives what there was to read first.
std::string ask(Connection& connection, const std::string& path, double until) {
    connection.write("GET " + path + " HTTP/1.1\r\nHost: api\r\n\r\n", until);
    return connection.read(until);
}

void connect_once(SSL_CTX* context, const sockaddr_in& to, const std::string& name) {
    const double begun = steady_now();
    try {
        Connection connection(context, to, name, begun + patience);
        const std::string text = ask(connection, "/version", begun + patience);
        const auto body = text.find("\r\n\r\n");
        if (!text.starts_with("HTTP/1.1 200 ") || body == std::string::npos) throw Error("answering:odd");
        tell("new", begun, "ok", text.substr(body + 4));
    } catch (const Error& error) {
        tell("new", begun, "failed", error.what());
    }
}

void hold_one(SSL_CTX* context, const sockaddr_in& to, const std::string& name) {
    for (;; pause(0.2)) {
        const double begun = steady_now();
        bool open = false;
        try {
            Connection connection(context, to, name, begun + patience);
            (void)ask(connection, "/watch", begun + patience);
            tell("watch", begun, "open", "-");
            open = true;
            while (!connection.read(steady_now() + 5).empty()) {
            }
            tell("watch", begun, "failed", "reading:closed");
        } catch (const Error& error) {
            if (open) tell("watch", begun, "failed", error.what());
        }
    }
}

int connect_often(const std::vector<std::string>& words, bool lasting) {
    const Context context = client_context(words.at(1));
    const sockaddr_in to = endpoint_of(words.at(0));
    const std::string name = words.at(0).substr(0, words.at(0).find(':'));
    (void)std::setvbuf(stdout, nullptr, _IOLBF, 0);
    const int count = std::stoi(words.at(2));
    if (lasting) {
        std::vector<std::thread> threads;
        threads.reserve(static_cast<std::size_t>(count));
        for (int i = 0; i < count; ++i) threads.emplace_back(hold_one, context.get(), std::cref(to), std::cref(name));
        for (std::thread& thread : threads) thread.join();
    }
    for (double next = steady_now();; next += 1.0 / count) {
        pause(next - steady_now());
        std::thread(connect_once, context.get(), std::cref(to), std::cref(name)).detach();
    }
}

}  // namespace
}  // namespace makina::balancer

int main(int argc, char** argv) {
    using namespace makina::balancer;
    // Who has gone is told of by write's result.
    (void)std::signal(SIGPIPE, SIG_IGN);
    try {
        const std::vector<std::string> words(argv + std::min(argc, 2), argv + argc);
        const std::string what = argc > 1 ? argv[1] : "";
        if (what == "api-server") return serve(words);
        if (what == "client" || what == "lasting") return connect_often(words, what == "lasting");
        (void)std::fprintf(stderr, "peer: api-server, client or lasting\n");
    } catch (const std::exception& error) {
        (void)std::fprintf(stderr, "peer: %s\n", error.what());
    }
    return 1;
}
